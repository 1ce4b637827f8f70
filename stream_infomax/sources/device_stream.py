"""DeviceStream: what a source remembers of one device's stream: its counter, its clock and its segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import msgspec
import numpy as np

from stream_infomax.sources.live import Rows, called

# How far ahead a counter may be for the frames between to be lost ones, and not a device that began afresh.
MOST_LOST = 2**32
# How far behind it may be for the frame to be a repeated one: within a session, and where there is none.
MOST_REPEATED = 2**31
MOST_REPEATED_UNNAMED = 1024
# Seconds by which a device's clock may differ from what the rows before say.
TOLERANCE = 0.5
# Segments of a device that went on under another name, because of a gap.
RENAMED = 8

Verdict = Literal["follows", "gap", "restart", "repeat"]


@dataclass(slots=True)
class DeviceStream:
    """One stream of a device.

    Attributes
    ----------
    session
        That of the device, as it says.
    dtype
        Of its values.
    expected
        The count of the next message; None where the device does not count.
    clock
        The time at which the next row is due; None where nobody can say.
    segment
        The name of the open segment; empty between two.
    newest
        The name of the newest segment.
    theirs
        What the device calls the newest segment; empty where it leaves that to the source.
    begun
        The time of its first row.
    rows
        Rows in it so far.
    broken
        Whether rows are missing since the last frame.
    renamed
        Names that the device's segments have got, because rows of them are missing; the newest few.
    gathered
        Rows that are no frame yet, because there are too few of them; `gathered_rows` of them.
    gathered_time
        The time of the first.
    gathered_count
        The count of the message that they begin with: where they are lost, that one is expected again.
    gathered_labels
        Their labels.
    resumed
        Whether it is from a checkpoint, and nothing has come since.
    heard
        When its newest message came, on this process's clock.
    """

    session: str
    dtype: str
    expected: int | None = None
    clock: float | None = None
    segment: str = ""
    newest: str = ""
    theirs: str = ""
    begun: float = 0.0
    rows: int = 0
    broken: bool = False
    renamed: dict[str, str] | None = None
    gathered: list[Rows] = field(default_factory=list)
    gathered_rows: int = 0
    gathered_time: float = 0.0
    gathered_count: int | None = None
    gathered_labels: Mapping[str, str] = field(default_factory=dict)
    resumed: bool = False
    heard: float = 0.0

    def follow(self, session: str, count: int | None) -> tuple[Verdict, int]:
        """Return how a message stands to those before it, and how many are missing between; take it as the newest.

        A repeated one changes nothing.
        """
        expected = self.expected
        if session != self.session:
            self.session, self.expected = session, None if count is None else count + 1
            return "restart", 0
        if count is None or expected is None:
            self.expected = None if count is None else count + 1
            return "follows", 0
        if count == expected:
            self.expected = count + 1
            return "follows", 0
        if count < expected and not self._is_afresh(count, expected):
            return "repeat", 0
        self.expected = count + 1
        if expected < count <= expected + MOST_LOST:
            return "gap", count - expected
        return "restart", 0

    def _is_afresh(self, count: int, expected: int) -> bool:
        """Return whether a count that is behind comes from a device that has begun afresh, and not twice."""
        if self.session:
            return expected - count > MOST_REPEATED
        return (count == 0 and expected > 1) or expected - count > MOST_REPEATED_UNNAMED

    def jumps(self, time: float, rate: float) -> bool:
        """Return whether a time does not follow: it is earlier than the rows before say, or far later."""
        if self.clock is None:
            return False
        return time < self.clock - TOLERANCE or (rate > 0 and time > self.clock + TOLERANCE)

    def enter(self, theirs: str, time: float) -> str:
        """Begin a segment with rows of this time, and return its name.

        Parameters
        ----------
        theirs
            What the device calls it; empty: the source cuts.
        time
            Of the first row, in seconds.
        """
        again = bool(theirs) and theirs == self.theirs and bool(self.segment)
        if not theirs:
            name = called(time, self.newest)
        elif again:  # rows are missing: so it is another one, for everybody
            name = numbered(theirs, self.newest)
            self._rename(theirs, name)
        else:
            name = theirs
        self.segment, self.newest, self.theirs = name, name, theirs
        self.begun, self.rows, self.broken = time, 0, False
        return name

    def leave(self, n_rows: int, time: float, rate: float, seconds: float) -> bool:
        """Take note of rows that were given, of which the first has this time.

        Returns
        -------
        Whether the source ends their segment, which it cuts every so many seconds.
        """
        self.rows += n_rows
        self.clock = time + n_rows / rate if rate else time
        if self.theirs:
            return False
        return self.rows >= seconds * rate if rate else time - self.begun >= seconds

    def gather(self, rows: Rows, n_rows: int, time: float, labels: Mapping[str, str]) -> None:
        """Keep rows that are too few for a frame."""
        if not self.gathered:
            self.gathered_time, self.gathered_labels = time, labels
            self.gathered_count = None if self.expected is None else self.expected - 1
        self.gathered.append(rows)
        self.gathered_rows += n_rows

    def gathered_together(self) -> Rows:
        """Return the rows that were gathered, and forget them."""
        rows = self.gathered[0] if len(self.gathered) == 1 else np.concatenate(self.gathered)
        self.gathered, self.gathered_rows = [], 0
        return rows

    def name_of(self, theirs: str) -> str:
        """Return what a segment of the device is called here."""
        return (self.renamed or {}).get(theirs, theirs)

    def _rename(self, theirs: str, name: str) -> None:
        self.renamed = self.renamed or {}
        self.renamed[theirs] = name
        if len(self.renamed) > RENAMED:
            del self.renamed[next(iter(self.renamed))]

    def state(self) -> list[Any]:
        """Return everything that a stream is after a restart."""
        state = [getattr(self, name) for name in _KEPT]
        if self.gathered:
            state[_KEPT.index("expected")] = self.gathered_count
        return state

    @classmethod
    def of(cls, state: Sequence[Any]) -> DeviceStream:
        """Return the stream of which this is the state. Where it does not count, some may be missing now."""
        values = {name: msgspec.convert(value, _TYPES[name]) for name, value in zip(_KEPT, state, strict=True)}
        made = cls(**values, resumed=True)
        made.broken = made.broken or made.expected is None
        return made


_DTYPE = Literal["", "float32", "float64", "int16", "int32", "int64", "uint8", "bool"]
_TYPES: dict[str, Any] = {
    "session": str,
    "dtype": _DTYPE,
    "expected": int | None,
    "clock": float | None,
    "segment": str,
    "newest": str,
    "theirs": str,
    "begun": float,
    "rows": int,
    "broken": bool,
    "renamed": dict[str, str] | None,
}
_KEPT = tuple(one.name for one in fields(DeviceStream) if not one.name.startswith(("heard", "resumed", "gathered")))


def numbered(name: str, previous: str) -> str:
    """Return a name with a number behind it, the next after that of the previous one."""
    base, _, number = previous.rpartition(" #")
    return f"{name} #{int(number) + 1 if base == name and number.isdigit() else 2}"
