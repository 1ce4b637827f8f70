"""EDF and EDF+: the channels of one rate in their physical units, and annotations as a column of labels."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional
from stream_infomax.sources.table_columns import Values, distinct, shown

with optional():
    import edfio

# The columns beside the channels.
ANNOTATION = "annotation"
TIME = "time"
# What they are counted as where they are not asked for.
ANNOTATIONS = "annotations"
# Rows of a block.
BLOCK_ROWS = 16_384

log = logging.getLogger(__name__)


class Channel(NamedTuple):
    """Where a channel stands in a data record, and what its whole numbers mean."""

    place: int
    rate: float
    gain: float
    offset: float
    unit: str


class EdfTable:
    """An EDF file; see `Reader`.

    Its columns are the channels of one rate, the text of the annotation that covers a row, and the time of a row. An
    annotation without a duration lasts until the next one begins; where several cover a row, the one that began last
    counts. In a file with gaps (EDF+D) the times are always followed.

    Parameters
    ----------
    path
        The file.
    rate
        That of the channels; 0 where they have only one.
    channels
        Names of those that are wanted; empty for all. They decide the rate too.

    Raises
    ------
    ValueError
        Where channels of several rates would be used, or there is none.
    """

    constants: Mapping[str, str] = {}

    def __init__(self, path: Path, rate: float, channels: Sequence[str | int]) -> None:
        self.path = path
        header, n_incomplete = _read(path)
        self._layout = _Layout(path, header.num_data_records)
        named = [signal.label for signal in header.signals]
        found = dict(zip(distinct(named), self._channels(header), strict=True))
        if not found:
            raise ValueError("it holds annotations, and no channel")
        self.rate = _one_rate(found, rate, channels)
        self._chosen = [channel for channel in found.values() if channel.rate == self.rate]
        names = [name for name, channel in found.items() if channel.rate == self.rate]
        self._per_record = self._layout.lengths[self._chosen[0].place]
        self.rows = self._per_record * self._layout.n_records
        if not self.rows:
            raise ValueError("it holds no data record")
        self.names = (*names, ANNOTATION, TIME)
        self.numeric = (*[True] * len(names), False, False)
        self.aside = frozenset({len(names), len(names) + 1})
        self.units = (*(channel.unit for channel in self._chosen), "", "s")
        onsets = None if header.reserved.startswith("EDF+C") or header.reserved == "" else self._layout.onsets()
        self._onsets = onsets if onsets is not None and not _is_even(onsets, header.data_record_duration) else None
        self.clock = len(names) + 1 if self._onsets is not None else None
        self._stretches = _covering([one for one in header.annotations if one.text.strip()])
        self.left_out: Mapping[str, int] = {
            "channels of another rate": len(found) - len(names),
            "incomplete data records": n_incomplete,
            ANNOTATIONS: len(header.annotations),
        }

    def _channels(self, header: Any) -> Iterator[Channel]:
        places = [place for place, label in enumerate(self._layout.labels) if label != "EDF Annotations"]
        for place, signal in zip(places, header.signals, strict=True):
            low, high = signal.digital_min, signal.digital_max
            if low == high or signal.physical_min == signal.physical_max:
                log.warning("%s: %s has no physical range; its numbers are taken as they are", self.path, signal.label)
                gain, offset = 1.0, 0.0
            else:
                gain = (signal.physical_max - signal.physical_min) / (high - low)
                offset = signal.physical_max - gain * high
            yield Channel(place, float(f"{signal.sampling_frequency:.9g}"), gain, offset, signal.physical_dimension)

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some channels, in their physical units."""
        records = self._layout.map()
        step = max(1, BLOCK_ROWS // self._per_record)
        for first in range(start // self._per_record, -(-stop // self._per_record), step):
            some = records[first : first + step]
            values = np.empty((len(some) * self._per_record, len(columns)))
            for place, column in enumerate(columns):
                channel = self._chosen[column]
                begin = self._layout.begins[channel.place]
                counted = some[:, begin : begin + self._per_record].reshape(-1)
                values[:, place] = channel.gain * counted + channel.offset
            place_of = first * self._per_record
            yield values[max(0, start - place_of) : stop - place_of]

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the annotations of all rows."""
        begins = np.array([begin for begin, _ in self._stretches])
        texts = ["", *(text for _, text in self._stretches)]
        for stamps in self.times(column):
            yield [texts[i] for i in np.searchsorted(begins, stamps + 1e-6, side="right")]

    def times(self, column: int) -> Iterator[Values]:
        """Yield the times of all rows in seconds from the beginning of the file."""
        within = np.arange(self._per_record) / self.rate
        step = max(1, BLOCK_ROWS // self._per_record)
        for first in range(0, self._layout.n_records, step):
            numbers = np.arange(first, min(first + step, self._layout.n_records))
            onsets = numbers * (self._per_record / self.rate) if self._onsets is None else self._onsets[numbers]
            yield (onsets[:, None] + within).reshape(-1)


class _Layout:
    """Where everything stands in a file: the parts of its head that say so, and the records behind it."""

    def __init__(self, path: Path, n_records: int) -> None:
        self.path, self.n_records = path, n_records
        with path.open("rb") as file:
            head = file.read(256)
            self.start = int(head[184:192])
            n_signals = int(head[252:256])
            fields = file.read(256 * n_signals)
        self.labels = [fields[16 * i : 16 * (i + 1)].decode("latin-1").strip() for i in range(n_signals)]
        begin = 216 * n_signals
        self.lengths = [int(fields[begin + 8 * i : begin + 8 * (i + 1)]) for i in range(n_signals)]
        self.begins = np.concatenate([[0], np.cumsum(self.lengths)]).tolist()

    def map(self) -> npt.NDArray[np.int16]:
        """Return the data records (n, samples), read where they lie."""
        return np.memmap(self.path, "<i2", "r", self.start, (self.n_records, self.begins[-1]))

    def onsets(self) -> Values | None:
        """Return when each record begins, in seconds; None where there is no signal of annotations."""
        if "EDF Annotations" not in self.labels:
            return None
        place = self.labels.index("EDF Annotations")
        begin, end = self.begins[place], self.begins[place + 1]
        return np.array([float(bytes(record[begin:end]).split(b"\x14", 1)[0]) for record in self.map()])


def _read(path: Path) -> tuple[Any, int]:
    """Return the head of a file and its annotations, and whether its last record is incomplete."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            header = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
        except (LookupError, ArithmeticError, NameError) as error:  # edfio checks little of what it reads
            raise ValueError(f"its head makes no sense ({error})") from error
    for warning in said:
        log.warning("%s: %s", path, warning.message)
    return header, sum("Incomplete" in str(warning.message) for warning in said)


def rates_of(path: Path) -> dict[float, list[str]]:
    """Return the names of a file's channels by their rate."""
    found: dict[float, list[str]] = {}
    for signal in _read(path)[0].signals:
        found.setdefault(float(f"{signal.sampling_frequency:.9g}"), []).append(signal.label)
    return found


def _one_rate(found: Mapping[str, Channel], rate: float, channels: Sequence[str | int]) -> float:
    """Return the rate of the channels that are used; ValueError where it is not one."""
    numbered = list(found)
    names = [numbered[int(one)] if str(one).isdecimal() and one not in found else str(one) for one in channels]
    wanted = {name: found[name] for name in names if name in found} or found
    rates: dict[float, list[str]] = {}
    for name, channel in wanted.items():
        rates.setdefault(channel.rate, []).append(name)
    if rate:
        near = [one for one in rates if math.isclose(one, rate, rel_tol=1e-6)]
        if not near:
            raise ValueError(f"rate = {rate:g}: it has channels of {_in_words(rates)}")
        return near[0]
    if len(rates) > 1:
        raise ValueError(f"its channels have several rates, of which rate has to say one: {_in_words(rates)}")
    return next(iter(rates))


def _in_words(rates: Mapping[float, Sequence[str]]) -> str:
    return "; ".join(f"{rate:g} ({shown(names, 4)})" for rate, names in rates.items())


def _is_even(onsets: Values, duration: float) -> bool:
    """Return whether each record begins where the one before it ends."""
    return bool(np.allclose(np.diff(onsets), duration, rtol=0, atol=1e-3 * duration))


def _covering(annotations: Sequence[Any]) -> list[tuple[float, str]]:
    """Return from when on which annotation covers what follows; an empty text for none."""
    ordered = sorted(annotations, key=lambda one: one.onset)
    onsets = [one.onset for one in ordered]
    ends = []
    for number, one in enumerate(ordered):
        following = next((onset for onset in onsets[number + 1 :] if onset > one.onset), math.inf)
        ends.append(one.onset + one.duration if one.duration else following)
    found: list[tuple[float, str]] = []
    open_: list[tuple[float, str]] = []  # those that last, the one that began last at the end

    def close(until: float) -> None:
        while open_ and open_[-1][0] <= until:
            end, _ = open_.pop()
            while open_ and open_[-1][0] <= end:
                open_.pop()
            found.append((end, open_[-1][1] if open_ else ""))

    for one, end in zip(ordered, ends, strict=True):
        close(one.onset)
        open_.append((end, one.text.strip()))
        found.append((one.onset, one.text.strip()))
    close(math.inf)
    return [stretch for stretch in found if math.isfinite(stretch[0])]
