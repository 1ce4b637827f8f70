"""Recordings of the lab streaming layer: one stream of an XDF file, with the markers of another one."""

from __future__ import annotations

import gzip
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional
from stream_infomax.sources.bounds import check_size
from stream_infomax.sources.inventory import Entry

with optional():
    import pyxdf

# Seconds by which a row may come late before rows are missing, beside one and a half rows.
LATE = 0.1
DAMAGED = "damaged parts of files"
EMPTY = "markers without a text or a row"


class Choice(NamedTuple):
    """Which stream of a file is meant, by what is not empty, and which one's markers are its labels."""

    name: str
    type: str
    number: int
    markers: str

    def __str__(self) -> str:
        chosen = {"name": self.name, "type": self.type, "number": self.number or ""}
        return " and ".join(f"{key} {value!r}" for key, value in chosen.items() if value) or "numbers"


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a recording that are one segment.

    Attributes
    ----------
    start, rows
        The first, and how many.
    begin, seconds
        Seconds from the beginning of the recording to the first row, and from there to that of the next run.
    label
        The marker that holds for them; empty: none.
    """

    start: int
    rows: int
    begin: float
    seconds: float
    label: str


@dataclass(frozen=True)
class Content:
    """A stream as it is read: rows (n, channels), their times in seconds from the first one on, and what it is like."""

    rows: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    rate: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    runs: tuple[Run, ...]
    left_out: Counter[str]


@dataclass(frozen=True)
class Recording:
    """What is known of a file without its rows."""

    path: Path
    segment: str
    rate: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    runs: tuple[Run, ...]
    left_out: Counter[str]
    labels: dict[str, str]
    # For the inventory.
    key: bytes
    entry: Entry


def read(path: Path, choice: Choice) -> Content:
    """Read a stream of a file.

    Raises
    ------
    ValueError
        Where the file is damaged beyond use, or holds no such stream, more than one, or texts in place of numbers.
    """
    try:
        with _open(path) as file:
            there = pyxdf.resolve_streams(file)
    except Exception as error:  # pyxdf meets damaged bytes with whatever they lead to
        raise ValueError(f"it is no XDF file: {type(error).__name__}: {error}") from error
    wanted = _one(there, str(choice), [one for one in there if _fits(one, choice)])
    ids = [wanted["stream_id"]]
    if choice.markers:
        texts = [one for one in there if one["channel_format"] == "string" and one["name"] == choice.markers]
        ids.append(_one(there, f"texts and name {choice.markers!r}", texts)["stream_id"])
    left_out: Counter[str] = Counter()
    try:
        with _damage(left_out), _open(path) as file:
            streams, _ = pyxdf.load_xdf(
                file, ids, verbose=False, jitter_break_threshold_seconds=LATE, jitter_break_threshold_samples=2
            )
    except Exception as error:
        raise ValueError(f"it cannot be read: {type(error).__name__}: {error}") from error
    by_id = {stream["info"]["stream_id"]: stream for stream in streams}
    if not by_id.keys() >= set(ids):
        raise ValueError("a stream whose head is there is damaged")
    return _content(by_id[ids[0]], by_id[ids[1]] if choice.markers else None, left_out)


def _open(path: Path) -> IO[bytes]:
    """Open a file; pyxdf would leave one open that it does not like."""
    if path.suffix != ".xdfz":
        return path.open("rb")
    return io.BufferedReader(_Limited(path, "rb"))


class _Limited(gzip.GzipFile):
    """A compressed file that ends in an error where it comes to more than a file of its size may."""

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        n_bytes = super().readinto(buffer)
        check_size(Path(str(self.name)), self.tell())
        return n_bytes


def _content(stream: Any, markers: Any, left_out: Counter[str]) -> Content:
    rows = np.asarray(stream["time_series"])
    stamps = np.asarray(stream["time_stamps"], np.float64)
    if not len(rows):
        raise ValueError("the stream has no row")
    rate = float(stream["info"]["nominal_srate"][0])
    times = stamps - stamps[0]
    found = _markers(markers, stamps, left_out) if markers else []
    with np.errstate(over="ignore"):
        values = rows.astype(np.float32)
    names, units = _channels(stream, rows.shape[1])
    return Content(values, times, rate, names, units, _runs(times, rate, found), left_out)


def _runs(times: npt.NDArray[np.float64], rate: float, markers: Sequence[tuple[int, str]]) -> tuple[Run, ...]:
    """Return the rows between two breaks or markers."""
    steps = np.diff(times)
    breaks = (steps < -LATE) | ((steps > LATE + 1.5 / rate) if rate else False)
    labels = dict(markers)
    starts = sorted({0, *(np.flatnonzero(breaks) + 1).tolist(), *labels})
    last = float(times[-1]) + (1 / rate if rate else 0.0)
    runs, label = [], ""
    for start, stop in pairwise([*starts, len(times)]):
        label = labels.get(start, label)
        end = float(times[stop]) if stop < len(times) else last
        begin = float(times[start])
        runs.append(Run(start, stop - start, begin, max(0.0, end - begin), label))
    return tuple(runs)


def _markers(stream: Any, stamps: npt.NDArray[np.float64], left_out: Counter[str]) -> list[tuple[int, str]]:
    """Return for each marker the first row that is not before it."""
    found = []
    for texts, at in zip(stream["time_series"], stream["time_stamps"], strict=True):
        row = int(np.searchsorted(stamps, at - 1e-6))
        if row == len(stamps) or not texts or not texts[0]:
            left_out[EMPTY] += 1
        else:
            found.append((row, str(texts[0])))
    return found


def _channels(stream: Any, width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of channels and their units, as far as the file has them all."""
    try:
        described = stream["info"]["desc"][0]["channels"][0]["channel"]
    except (KeyError, IndexError, TypeError):
        described = []
    names = tuple(str((one.get("label") or [""])[0] or "") for one in described)
    units = tuple(str((one.get("unit") or [""])[0] or "") for one in described)
    numbered = tuple(map(str, range(width)))
    return (
        names if len(names) == width and all(names) and len(set(names)) == width else numbered,
        units if len(units) == width and any(units) else ("",) * width,
    )


def _fits(stream: Any, choice: Choice) -> bool:
    """Return whether a stream of numbers is the one that is meant."""
    return (
        stream["channel_format"] != "string"
        and choice.name in ("", stream["name"])
        and choice.type in ("", stream["type"])
        and choice.number in (0, stream["stream_id"])
    )


def _one(there: Sequence[Any], what: str, found: Sequence[Any]) -> Any:
    if len(found) == 1:
        return found[0]
    listed = "; ".join(
        f"{one['name']!r} (number {one['stream_id']}, type {one['type']!r}, {one['channel_count']} channels of "
        f"{one['channel_format']}, {one['nominal_srate']:g} Hz)"
        for one in there[:8]
    )
    raise ValueError(f"{'more than one' if found else 'no'} stream with {what}; it has {listed or 'no stream'}")


@contextmanager
def _damage(left_out: Counter[str]) -> Iterator[None]:
    """Count what pyxdf passes over, which it only logs."""

    def count(record: logging.LogRecord) -> bool:
        left_out[DAMAGED] += record.levelno >= logging.ERROR
        return True

    logger = logging.getLogger("pyxdf.pyxdf")
    logger.addFilter(count)
    try:
        yield
    finally:
        logger.removeFilter(count)
