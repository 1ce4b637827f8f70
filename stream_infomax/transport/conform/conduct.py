"""How a device behaves from frame to frame: its counter, session, times, rate, segments and values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stream_infomax.frames.frame import Array
from stream_infomax.transport.conform.clocking import Clocking
from stream_infomax.transport.conform.inspection import Finding, Inspected, Verdict, is_late_label, shown
from stream_infomax.transport.conform.values import Values

# Seconds by which the time of a device and that of this machine may differ for both to be wall clocks.
WALL_CLOCK = 60.0
# Seconds by which a time may be off what the rows before it say.
CLOCK_JUMP = 0.5
# How far behind a count may be, of a device without sessions, to be one that came twice.
MOST_REPEATED = 1024
MOST_SESSIONS = 16
# Relative differences that a clock, or rows that are counted over a few seconds, may have.
CLOCK_TOLERANCE, RATE_TOLERANCE = 0.01, 0.05
# A recording that is sent as fast as it can comes so many times as fast as it was recorded.
RECORDING = 3.0
# What a wrong unit of time multiplies seconds with.
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


class Form(NamedTuple):
    """What the arrays of a frame are: name, dtype, axes with the shape of a row, in words; rows of the first."""

    arrays: tuple[tuple[str, str, str], ...] = ()
    n_rows: int = 0

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Form:
        """Return the form of some arrays."""
        described = []
        for name, array in arrays.items():
            row = f", a row of {' × '.join(map(str, array.row_shape))}" if array.row_shape else ""
            described.append((shown(name), str(array.data.dtype), " × ".join(array.axes) + row))
        return cls(tuple(described), next((array.n_rows for array in arrays.values()), 0))

    def __str__(self) -> str:
        return "; ".join(f"{name} {dtype}, {rows}" for name, dtype, rows in self.arrays)


class Conduct:
    """What is right and wrong over the frames of one stream.

    Attributes
    ----------
    frames, rows
        How many came.
    form
        Of the arrays.
    ended
        Whether the newest frame is the last of the stream.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.rows = 0
        self.values = Values()
        self._clocking = Clocking()
        self._with: dict[str, int] = {}  # key -> frames that had it
        self._first: Mapping[str, Any] = {}
        self.form = Form()
        self._before: Mapping[str, Any] | None = None
        self._n_rows = 0
        self._sessions: dict[str, None] = {}
        self._session: str | None = None
        self._count: int | None = None  # of the newest message, be it a late label
        self._never_arrived = 0
        self._jumps = 0
        self._segments = 0
        self.ended = False

    def follow(self, inspected: Inspected, arrived: float) -> Iterator[Finding]:
        """Take a frame in which nothing is wrong, and when it came; yield what is not right against those before."""
        header = inspected.header
        if is_late_label(header):
            yield from self._counted(header)[1]
            self._count = header.get("count", self._count)
            return
        if self._before is None and not inspected.arrays:
            yield Finding("arrays", "first", "wrong", "the first message of the stream has no rows")
            return
        for key in header:
            self._with[key] = self._with.get(key, 0) + 1
        form = Form.of(inspected.arrays)
        self.frames += 1
        self.rows += form.n_rows
        self.values.add(inspected.arrays)
        missing = 0
        if self._before is None:
            self._first = header
        else:
            if header.get("session", "") != self._session or self.ended:
                self._clocking = Clocking()  # another life, other clocks
            missing, findings = self._counted(header)
            yield from findings
            yield from self._laid_out(form)
            yield from self._timed(header, missing)
            yield from self._segmented(header)
        self._enter(header)
        self._clocking.add(header.get("time") or None, header.get("rate", 0.0), form.n_rows, missing, arrived)
        if form.arrays or self._before is None:
            self.form = form
        self._before = header
        self._n_rows = form.n_rows

    def _enter(self, header: Mapping[str, Any]) -> None:
        before = self._before
        if before is None or before.get("last") or before.get("segment", "") != header.get("segment", ""):
            self._segments += 1
        self.ended = header.get("end", False)
        self._session, self._count = header.get("session", ""), header.get("count")
        if len(self._sessions) < MOST_SESSIONS:
            self._sessions[self._session or ""] = None

    def _counted(self, header: Mapping[str, Any]) -> tuple[int, list[Finding]]:
        """Return how many messages never arrived before this one, and what is wrong with its counter and session."""
        session = header.get("session", "")
        if session != self._session and self._session is not None:
            if session in self._sessions:
                text = f"{shown(session)} and {shown(self._session)} by turns: two devices send under one name"
                return 0, [Finding("session", "two", "wrong", text)]
            text = (
                f"another one, {shown(session)} after {shown(self._session)}: the device was started again; a source "
                "refuses it until the one before has been silent for 2 s"
            )
            return 0, [Finding("session", "another", "look", text)]
        before, count = self._count, header.get("count")
        if before is None or count is None:
            return 0, []
        if count <= before:
            return 0, [self._behind(header, before, count)]
        if count > before + 1:
            self._jumps += 1
            self._never_arrived += count - before - 1
            text = f"{count:,} after {before:,}: what is between was dropped, or never sent"
            return count - before - 1, [Finding("count", "jump", "look", text)]
        return 0, []

    def _behind(self, header: Mapping[str, Any], before: int, count: int) -> Finding:
        """Return what to say of a count that came before."""
        if not header.get("session") and (count == 0 or before - count > MOST_REPEATED):
            text = f"{count:,} after {before:,}: the device was started again; a `session` would say so"
            return Finding("count", "again", "look", text)
        if self._before is not None and 0.0 < header.get("time", 0.0) <= self._before.get("time", 0.0):
            return Finding("count", "twice", "look", f"{count:,} after {before:,}: sent twice, and dropped by a source")
        text = f"{count:,} after {before:,}: a source drops it as one that came twice; accepted is one more every time"
        return Finding("count", "repeated", "wrong", text)

    def _laid_out(self, form: Form) -> Iterator[Finding]:
        if not form.arrays or not self.form.arrays:
            return
        if [rest for _, *rest in form.arrays] != [rest for _, *rest in self.form.arrays]:
            text = f"{form} after {self.form}; accepted is the same in all frames, but the number of rows"
            yield Finding("arrays", "changes", "wrong", text)
        elif form.arrays != self.form.arrays:
            yield Finding("arrays", "name", "look", f"{form} after {self.form}: another name")

    def _timed(self, header: Mapping[str, Any], missing: int) -> Iterator[Finding]:
        assert self._before is not None
        before = self._before
        rates = before.get("rate", 0.0), header.get("rate", 0.0)
        if rates[0] != rates[1]:
            text = f"{rates[1]:,g} after {rates[0]:,g}; accepted is one rate for a stream"
            yield Finding("rate", "changes", "wrong", text)
        if not (before.get("time") and header.get("time")) or header.get("session", "") != self._session or self.ended:
            return
        step = header["time"] - before["time"]
        expected = self._n_rows * (1 + missing) / rates[1] if rates[1] else 0.0
        if step < 0:
            yield Finding("time", "back", "wrong", f"goes back by {-step:,.6g} s; accepted is a time that only grows")
        elif rates[1] and abs(step - expected) > CLOCK_JUMP:
            text = (
                f"goes on by {step:,.3f} s, where {expected:,.3f} s of rows came: a clock that jumps begins a segment"
            )
            yield Finding("time", "jumps", "look", text)

    def _segmented(self, header: Mapping[str, Any]) -> Iterator[Finding]:
        assert self._before is not None
        before = self._before
        if self.ended and header.get("session", "") == self._session:
            yield Finding("end", "after", "look", "frames come behind `end`: the stream goes on")
        names = before.get("segment", ""), header.get("segment", "")
        if names[0] and names[0] != names[1] and not (before.get("last") or before.get("end")):
            text = (
                f"{shown(names[1])} after {shown(names[0])}, whose last frame does not say `last`: it counts as cut off"
            )
            yield Finding("segment", "unfinished", "look", text)
        if names[0] and names[0] == names[1] and before.get("last") and not self.ended:
            text = f"{shown(names[0])} again behind its `last` frame: it begins from nothing"
            yield Finding("segment", "again", "look", text)

    def findings(self) -> Iterator[Finding]:
        """Yield what there is to say when all has come, for each field; `right` where nothing is wrong as a whole."""
        if not self.frames or self._before is None:
            return
        yield Finding("version", "", "right", str(self._first["version"]))
        yield from self._forms()
        yield from self._counter()
        yield self._lives()
        yield from self._times()
        yield from self._rates()
        yield Finding("segment", "", "right", f"{self._segments:,}" if self._with.get("segment") else "none is given")
        yield Finding("end", "", "right", "the stream has ended" if self.ended else "the stream goes on")
        yield from self.values.findings()

    def _forms(self) -> Iterator[Finding]:
        yield Finding("arrays", "", "right", str(self.form))
        if len(self.form.arrays) > 1:
            text = f"{self.form}: of several a source takes the one that is called like itself"
            yield Finding("arrays", "several", "look", text)

    @property
    def expects(self) -> tuple[str, float]:
        """What all streams of a source have in common: axes and shape of a row, in words, and the rate."""
        return self.form.arrays[0][2] if self.form.arrays else "", self._first.get("rate", 0.0)

    def _missing(self, key: str, text: str) -> Finding | None:
        """Return what to say of a key that not every frame has; None where all have it."""
        had = self._with.get(key, 0)
        if had == self.frames:
            return None
        if had:
            text = f"missing in {self.frames - had:,} of {self.frames:,} frames; accepted is in all, or in none"
            return Finding(key, "some", "wrong", text)
        return Finding(key, "none", "look", f"missing: {text}")

    def _counter(self) -> Iterator[Finding]:
        missing = self._missing("count", "what never arrives cannot be known")
        if missing is not None:
            yield missing
            return
        if self._jumps * 2 > self.frames:
            text = f"jumps {self._jumps:,} times in {self.frames:,} frames; accepted is one more with every frame"
            yield Finding("count", "jumps", "wrong", text)
        lost = f"{self._never_arrived:,} never arrived" if self._never_arrived else "none missing"
        yield Finding("count", "", "right", f"{self._first['count']:,} … {self._count:,}, {lost}")

    def _lives(self) -> Finding:
        missing = self._missing("session", "a device that is started again looks like one whose counter goes back")
        return missing or Finding("session", "", "right", ", ".join(map(shown, self._sessions)))

    def _times(self) -> Iterator[Finding]:
        missing = self._missing("time", "frames get the time at which they come")
        if missing is not None:
            yield missing
            return
        late = self._clocking.late
        texts = [f"begins at {self._first['time']:,.3f} s"]
        if abs(late) < WALL_CLOCK:
            texts = ["the wall clock", f"a frame comes {1e3 * late:,.1f} ms after its last row"]
            if late < -0.05:
                text = f"the rows of a frame are {-late:,.3f} s in the future of this machine's clock"
                yield Finding("time", "future", "look", text)
        pace = self._clocking.pace
        if pace is not None and abs(pace - 1) > CLOCK_TOLERANCE:
            yield from self._paced(pace)
        elif pace is not None:
            texts.append(f"against the clock here {1e6 * (pace - 1):+,.0f} ppm")
        steps = self._clocking.steps
        if steps is not None and abs(steps - 1) > CLOCK_TOLERANCE:
            text = f"goes on by {steps:,.4g} s for each second of rows, by `rate`; accepted is 1"
            yield Finding("time", "steps", "wrong", text + _unit(steps))
        yield Finding("time", "", "right", ", ".join(texts))

    def _paced(self, pace: float) -> Iterator[Finding]:
        rows = self._clocking.flow
        if rows is not None and rows > RECORDING and abs(pace / rows - 1) < CLOCK_TOLERANCE:
            return  # a recording that is sent faster than it was recorded: said of the rate
        verdict: Verdict = "wrong" if abs(pace - 1) > RATE_TOLERANCE else "look"
        text = f"goes on by {pace:,.4g} s in a second of this machine's clock; accepted is 1{_unit(pace)}"
        yield Finding("time", "pace", verdict, text)

    def _rates(self) -> Iterator[Finding]:
        rate = self._first.get("rate", 0.0)
        if not rate:
            yield Finding("rate", "none", "look", "missing or 0: stages that need one (log-mel) refuse the stream")
            return
        missing = self._missing("rate", "")
        if missing is not None:
            yield missing
            return
        flow = self._clocking.flow
        if flow is None:
            yield Finding("rate", "", "right", f"{rate:,g}; too few frames came to compare it")
        elif flow > RECORDING:
            text = (
                f"{rate:,g}, but {flow:,.3g} times as many come: right for a recording that is sent as fast as it can"
            )
            yield Finding("rate", "fast", "look", text)
        elif abs(flow - 1) > RATE_TOLERANCE:
            text = f"{rate:,g}, but {_rounded(flow * rate)} rows a second come; accepted is what comes, within 5 %"
            yield Finding("rate", "flow", "wrong", text)
        else:
            yield Finding("rate", "", "right", f"{rate:,g}; {_rounded(flow * rate)} rows a second come")


def _unit(factor: float) -> str:
    """Return a guess at a wrong unit of time."""
    for unit, name in UNITS.items():
        if math.isclose(factor, unit, rel_tol=0.1):
            return f" (are these {name}?)"
    return ""


def _rounded(number: float) -> str:
    """Return a number of rows as a person reads it."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
