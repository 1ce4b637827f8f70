"""A configuration that fits tables: times, labels, channels, and rows or windows of rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import make
from stream_infomax.sources.table import TIMES, TableSettings
from stream_infomax.sources.table_columns import Reader, runs_of, shown
from stream_infomax.sources.table_files import ACCEPTED, UNUSABLE, read_table

# Rows that are looked at.
SAMPLE = 20_000
# With as many channels a row says enough; with fewer, windows of so many numbers are cut.
ENOUGH = 17
NUMBERS = 64
# Neighbouring rows that are so much alike are a signal.
ALIKE = 0.3
# What a channel may miss.
MISSING = 0.5
UNITS = {"ms": 1e-3, "millis": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "micros": 1e-6, "ns": 1e-9}

Values = npt.NDArray[np.float64]


class Proposal(msgspec.Struct):
    """A configuration in the making.

    Attributes
    ----------
    source, stages
        Their tables, as TOML has them.
    said
        What was found and chosen, a sentence or two each.
    finite
        The share of rows without a missing value.
    """

    source: dict[str, Any]
    stages: list[dict[str, Any]]
    said: list[str]
    finite: float = 1.0

    def raw(self, name: str) -> dict[str, Any]:
        """Return the whole configuration."""
        return {"run": {"folder": f"runs/{name}", "seed": 0}, "source": self.source, "stage": self.stages}


class Look(msgspec.Struct):
    """What the first usable table is like."""

    reader: Reader
    source: dict[str, Any]
    said: list[str]
    rate: float = 0.0
    columns: list[int] = []
    clocks: list[str] = []
    values: Values = np.zeros((0, 0))


def propose_table(path: Path, files: Sequence[Path]) -> Proposal:
    """Return what fits tables; the first one that can be read decides."""
    look = _first(path, files)
    _find_times(look)
    _find_channels(look)
    finite = np.asarray(np.isfinite(look.values).all(axis=1))
    length = _length(look, finite, len(files))
    _find_labels(look, length or 1)
    reader, n_channels = look.reader, len(look.columns)
    texts = [
        name
        for column, name in enumerate(reader.names)
        if not reader.numeric[column]
        and column not in reader.aside
        and name not in (look.source.get("time"), look.source.get("label"))
    ]
    if texts and "channels" in look.source:
        look.said.append(f"Not used, because they hold no numbers: {shown(texts)}.")
    per = f", {look.rate:g} rows a second" if look.rate else "; it says no rate (source.rate gives one)"
    names = shown([reader.names[column] for column in look.columns])
    look.said.insert(0, f"{reader.path.name}: {reader.rows:,} rows of {_channels(n_channels)} ({names}){per}.")
    learner: dict[str, Any] = {"name": "learner", "kind": "learner"}
    if not length:
        return Proposal(look.source, [learner], look.said, float(finite.mean()))
    hop = max(1, length // 2)
    seconds = f" ({length / look.rate:.3g} s)" if look.rate else ""
    why = "Neighbouring rows are alike, and a" if n_channels > 1 else "A"
    look.said.append(
        f"{why} row of {_channels(n_channels)} says little: windows of {length} rows{seconds} every {hop}, and as many "
        "components as hold 98 % of the variance."
    )
    windows = {"name": "windows", "kind": "windows", "service": "learner", "length": length, "hop": hop}
    whole = np.convolve(~finite, np.ones(length), "valid")[::hop] == 0 if len(finite) >= length else np.ones(1)
    return Proposal(look.source, [windows, {**learner, "energy": 0.99}], look.said, float(whole.mean()))


def _channels(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"


def _first(path: Path, files: Sequence[Path]) -> Look:
    """Return the first table that can be read."""
    reasons = []
    for file in files:
        try:
            return _look(path, file)
        except UNUSABLE as error:
            reasons.append(f"{file}: {error}")
    raise SettingError("path", str(path), ACCEPTED, f"no usable table there ({'; '.join(reasons[:3])})")


def _look(path: Path, file: Path) -> Look:
    source: dict[str, Any] = {"kind": "table", "path": str(path)}
    said: list[str] = []
    suffix = file.suffix.lower()
    if suffix in (".npy", ".npz"):
        _find_layout(file, source, said)
    elif suffix == ".edf":
        from stream_infomax.sources.table_edf import rates_of

        rates = rates_of(file)
        if len(rates) > 1:
            source["rate"] = max(rates, key=lambda rate: (len(rates[rate]), rate))
            all_rates = "; ".join(f"{rate:g} ({shown(names, 4)})" for rate, names in rates.items())
            said.append(f"Its channels have several rates: {all_rates}. Those of {source['rate']:g} are used.")
    settings = {key: value for key, value in source.items() if key != "kind"}
    return Look(read_table(file, make(TableSettings, settings)), source, said)


def _find_layout(file: Path, source: dict[str, Any], said: list[str]) -> None:
    """Say which member of an archive holds the rows, and whether it is (channels, rows)."""
    from stream_infomax.sources.npy_head import head_of_file, read_heads
    from stream_infomax.sources.table_numpy import CHANNEL_NAMES

    members = read_heads(file) if file.suffix.lower() == ".npz" else {"": head_of_file(file)}
    numbers = {name: one for name, one in members.items() if one.is_number and len(one.shape) in (1, 2)}
    matrices = {name: one for name, one in numbers.items() if len(one.shape) == 2} or numbers
    if not matrices:
        return
    name = max(matrices, key=lambda name: matrices[name].bytes)
    shape = matrices[name].shape
    if len(matrices) > 1:
        source["array"] = name
        said.append(f"The largest of its arrays that can be a table holds the rows: {name} {shape}.")
    if len(shape) == 2 and shape[0] < shape[1]:
        lengths = {one.shape[0] for other, one in members.items() if len(one.shape) == 1 and other not in CHANNEL_NAMES}
        names = any(members[other].shape == shape[:1] for other in CHANNEL_NAMES if other in members)
        if names or shape[1] in lengths or shape[0] * 4 < shape[1]:
            source["transposed"] = True
            said.append(f"Its shape {shape} looks like (channels, rows).")


def _find_times(look: Look) -> None:
    """Say which column has times, if one has."""
    reader = look.reader
    look.rate = look.source.get("rate", 0.0) or reader.rate
    if reader.clock is not None or reader.rate:
        return
    for column, name in enumerate(reader.names):
        words = re.split(r"[^a-zµ]+", name.lower())
        is_named = bool({*TIMES, "t", "times", "elapsed", "epoch", *UNITS} & set(words))
        if reader.numeric[column] and not is_named:
            continue
        try:
            stamps = next(reader.times(column))[:SAMPLE]
        except UNUSABLE:
            continue
        steps = np.diff(stamps)
        if np.isfinite(stamps).mean() < 0.9 or len(steps) < 2:
            continue
        if (steps > 0).mean() < 0.9:
            if set(TIMES) & set(words):  # a clock is no channel, also where it cannot be followed
                look.clocks.append(name)
            continue
        unit = _unit(stamps, [*words, reader.units[column]]) if reader.numeric[column] else 1.0
        look.source["time"] = name
        if unit != 1:
            look.source["time_unit"] = unit
        runs = runs_of(reader, column, None, unit)
        look.rate = runs.rate
        about = f", counted in {unit:g} s" if unit != 1 else ""
        look.said.append(
            f"Times are in the column {name}{about}; {runs.gaps} gaps in them. Rows behind a gap are another segment."
        )
        return


def _unit(stamps: Values, words: list[str]) -> float:
    """Return the seconds of one unit of times: as the column's name says, else as their size does."""
    for word in words:
        if word in UNITS:
            return UNITS[word]
    size = abs(float(stamps[np.isfinite(stamps)][0]))
    return 1e-9 if size > 1e17 else 1e-6 if size > 1e14 else 1e-3 if size > 1e11 else 1.0


def _find_channels(look: Look) -> None:
    """Say which columns are channels, where some that hold numbers are none."""
    reader = look.reader
    columns = [
        column
        for column, name in enumerate(reader.names)
        if reader.numeric[column] and column not in reader.aside and name != look.source.get("time")
    ]
    if not columns:
        raise ValueError(f"{reader.path.name} has no column of numbers beside its times; it has {shown(reader.names)}")
    blocks = list(reader.blocks(columns, 0, min(reader.rows, SAMPLE), Counter()))
    values = np.concatenate(blocks)
    dropped: dict[str, list[str]] = {}
    kept = []
    for place, column in enumerate(columns):
        is_clock = reader.names[column] in look.clocks
        reason = "are times that do not go up from row to row" if is_clock else _unfit(values[:, place])
        if reason:
            dropped.setdefault(reason, []).append(reader.names[column])
        else:
            kept.append(place)
    use = "Not used, because" if kept else "Used, as there is nothing else, though"
    for reason, names in dropped.items():
        look.said.append(f"{use} they {reason}: {shown(names)}.")
    if not kept:
        kept, dropped = list(range(len(columns))), {}
    look.columns = [columns[place] for place in kept]
    look.values = values[:, kept]
    if dropped:
        look.source["channels"] = [reader.names[column] for column in look.columns]


def _unfit(values: Values) -> str:
    """Return why a column is no channel; empty where it is one."""
    there = values[np.isfinite(values)]
    if len(there) < (1 - MISSING) * len(values):
        return "are missing in more than half of the rows"
    if len(there) > 2 and np.ptp(there) == 0:
        return "never change"
    if len(values) > 10 and np.isfinite(values).all() and (np.diff(values) == 1).all():
        return "count rows"
    return ""


def _length(look: Look, finite: npt.NDArray[np.bool_], n_files: int) -> int:
    """Return the rows of a window; 0 where rows are learnt from as they are."""
    n_channels = look.values.shape[1]
    if n_channels >= ENOUGH:
        look.said.append(f"With {n_channels} channels each row is learnt from as it is.")
        return 0
    if n_channels > 1 and _likeness(look.values[finite]) < ALIKE:
        look.said.append("Neighbouring rows are not alike: each row is learnt from as it is.")
        return 0
    # Thirty windows a number are three warm-ups.
    most = math.isqrt(max(1, look.reader.rows * n_files // (15 * n_channels)))
    length = min(NUMBERS // n_channels, most, max(1, look.reader.rows // 4))
    return length if length >= 4 or n_channels == 1 else 0


def _likeness(rows: Values) -> float:
    """Return the correlation of rows with those before them, the median over channels."""
    if len(rows) < 3:
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = rows / np.abs(rows).max(axis=0)  # so that no square overflows, and none vanishes
        centred = rows - rows.mean(axis=0)
        found = (centred[1:] * centred[:-1]).sum(axis=0) / (centred**2).sum(axis=0)
    return float(np.median(np.abs(found[np.isfinite(found)]))) if np.isfinite(found).any() else 0.0


def _find_labels(look: Look, length: int) -> None:
    """Say which column has labels: texts, or whole numbers beside the matrix, that stay for several windows."""
    reader = look.reader
    for column, name in enumerate(reader.names):
        beside = column in reader.aside
        if name in (look.source.get("time"), "time") or (reader.numeric[column] and not beside):
            continue
        try:
            begin = next(reader.texts(column))[:SAMPLE]
            if not any(begin) and reader.rows <= SAMPLE:
                continue
            runs = runs_of(reader, None, column)
        except UNUSABLE:
            continue
        texts = {run.label for run in runs.runs}
        if len(texts) < 2 or len(texts) > 100 or reader.rows < 4 * length * len(runs.runs):
            continue
        look.source["label"] = name
        look.said.append(
            f"Labels are in the column {name} ({shown(sorted(texts - {''}), 4)}): each of {len(runs.runs)} stretches "
            "is a segment."
        )
        return
