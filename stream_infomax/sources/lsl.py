"""LslSource: a stream of the lab streaming layer, and the markers of another one as labels."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import LEFT_OUT, Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, Name, PositiveFloat
from stream_infomax.sources.live import Cutter, LiveSettings
from stream_infomax.sources.lsl_inlet import Chunk, Form, Listener, Wanted
from stream_infomax.state.kept import counted

log = logging.getLogger(__name__)

# Seconds by which a time stamp may come late before rows are taken to be missing, beside one and a half rows.
LATE = 0.1
GAP = "gaps in the time stamps"
# Rows that may be missing; a time stamp that is further ahead is of another clock.
LARGEST_JUMP = 10**9
# Characters of a label on the wire.
MAX_LABEL = 1024


class LslSettings(LiveSettings, frozen=True, kw_only=True):
    """A stream of the lab streaming layer (LSL), found by name, type or source id."""

    stream: Annotated[str, Doc("Name of the stream; empty: any.")] = ""
    type: Annotated[str, Doc("Type of the stream, for example `EEG`; empty: any.")] = ""
    source_id: Annotated[str, Doc("Its source id, which tells streams of one name apart; empty: any.")] = ""
    markers: Annotated[str, Doc("Name of a stream of texts, which become labels; empty: there is none.")] = ""
    label: Annotated[Name, Doc("Name of the label that the markers are.")] = "marker"
    buffer: Annotated[
        PositiveFloat, Doc("Seconds of the stream that wait for slow readers at most; older ones give way to newer.")
    ] = 2.0

    def __post_init__(self) -> None:
        chosen = {"stream": self.stream, "type": self.type, "source_id": self.source_id}
        if not any(chosen.values()):
            raise SettingError("stream", "", "a name, or `type` or `source_id`", "nothing says which stream")
        for key, value in {**chosen, "markers": self.markers}.items():
            if "'" in value and '"' in value:
                raise SettingError(key, value, "a text without one of the two kinds of quotation marks")

    def needs(self) -> tuple[str, ...]:
        """Return the package that the source needs."""
        return ("pylsl",)


@configured_by(LslSettings)
class LslSource:
    """A stream of the lab streaming layer: axes ("time", "channel"), in the type in which it comes.

    The times are those of the stream, corrected to this machine's clock, in seconds since 1970. Where a time stamp is
    late by more than 0.1 s and one and a half rows, rows are missing: a segment begins, and the frames that would have
    held them are in `lost`. A stream without a rate gives a frame for each sample, with its time.

    A stream that goes away is looked for until it is back; with another number of channels or rate it is an error.

    Parameters
    ----------
    name
        Name of the stream and of its array.
    """

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.given = make(LslSettings, settings)
        require(*self.given.needs())
        self.name = name
        self.lost: Counter[str] = Counter()
        self.sockets: Sequence[Any] = ()
        self._counts: Counter[str] = Counter()
        self._form: Form | None = None  # of the life before this one
        self._stream: Listener  # from `open` on
        self._markers: Listener | None = None
        self._cutter: Cutter | None = None
        self._seconds = 0.0
        # The time of the newest row, the connection that it came through, and what gave way in the queue until then.
        self._until = -math.inf
        self._number = 1
        self._missed = 0
        self._labels: deque[Frame] = deque()

    def open(self) -> None:
        """Connect; a source that goes on from a checkpoint waits for streams that are not there.

        Raises
        ------
        ValueError
            Where there is no such stream, more than one, or one of another form; lists those that there are.
        """
        given = self.given
        self._stream = Listener(Wanted(given.stream, given.type, given.source_id), given.buffer, self._form)
        self.sockets = (self._stream.arrivals.socket,)
        if given.markers:
            self._markers = Listener(Wanted(given.markers, texts=True), given.buffer)
            self.sockets = (*self.sockets, self._markers.arrivals.socket)
        listeners = [one for one in (self._stream, self._markers) if one is not None]
        for listener in listeners:
            if self._form is None:
                listener.find()
        for listener in listeners:
            listener.start()

    @property
    def finished(self) -> bool:
        """Whether the configured duration is over."""
        if self._cutter is None:
            return bool(self.given.duration) and self._seconds >= self.given.duration
        return self._cutter.ended

    def receive(self) -> Frame | None:
        """Return the next frame, or a marker as a label; None where none is there yet.

        Raises
        ------
        OSError
            Where the stream has another form since it came back.
        """
        while not self._labels and not self.finished:
            frame = self._cutter.take() if self._cutter is not None else None
            if frame is not None:
                return frame
            texts = self._markers.arrivals.get() if self._markers is not None else None
            if texts is not None:
                self._mark(texts)
                continue
            chunk = self._stream.arrivals.get()
            if chunk is None:
                return None
            self._take(chunk)
        return self._labels.popleft() if self._labels else None

    def due(self) -> float:
        """Only what the threads hand over brings frames."""
        return math.inf

    def close(self) -> None:
        """Let go of the streams."""
        if self.sockets:
            self._stream.stop()
            if self._markers is not None:
                self._markers.stop()

    def outline(self) -> Outline:
        """Return what the settings say; the rest is the stream's."""
        chosen = Wanted(self.given.stream, self.given.type, self.given.source_id)
        return Outline(frames=0, segments={}, row=None, live=True, about=f"the {chosen}")

    def state(self) -> State:
        """Return how far the stream is, and of what form."""
        form = self._stream.form if self.sockets else self._form
        return {
            "seconds": self._seconds if self._cutter is None else self._cutter.given,
            "until": self._until if math.isfinite(self._until) else 0.0,
            "form": None if form is None else [form.rate, form.channels, list(form.names), list(form.units)],
            "counts": dict(self._all_counts()),
        }

    def restore(self, state: State) -> None:
        """Go on where the life before this one ended."""
        if state["form"] is not None:
            rate, channels, names, units = state["form"]
            self._form = Form(float(rate), int(channels), tuple(names), tuple(units))
        self._seconds, self._until = float(state["seconds"]), float(state["until"]) or -math.inf
        self._number = 0  # whatever comes is of another connection
        self._counts.update(counted(state["counts"]))

    def note(self) -> bytes:
        """Return nothing: a frame says itself how much has come."""
        return b""

    def recall(self, frame: Frame, note: bytes) -> None:
        """Count what came in a frame."""
        self._seconds += frame.seconds
        self._until = frame.time + max(0.0, frame.seconds - (1 / frame.rate if frame.rate else 0.0))

    def counts(self) -> Counts:
        """Return samples, markers, how often the stream went away, and time stamps that are none."""
        return self._all_counts()

    def _all_counts(self) -> Counter[str]:
        breaks = self._stream.breaks if self.sockets else 0
        return self._counts + Counter({"connection breaks": breaks})

    def _mark(self, texts: Chunk) -> None:
        """Make labels of markers."""
        for row, time in zip(texts.rows, texts.times, strict=True):
            text = row[0].decode("utf-8", "replace")
            if not text or len(text) > MAX_LABEL:
                self._counts[LEFT_OUT + "markers that are empty or too long"] += 1
                continue
            self._counts["markers"] += 1
            self._labels.append(Frame(self.name, labels={self.given.label: text}, time=float(time)))

    def _take(self, chunk: Chunk) -> None:
        """Give the rows of a chunk to the cutter."""
        form = self._stream.form
        assert form is not None
        if self._cutter is None:
            self._cutter = Cutter(self.name, ("time", "channel"), form.rate, self.given)
            self._cutter.given = self._seconds
            log.info("%s: %s%s", self._stream.wanted, form, _listed(form))
        rows, times = chunk.rows, chunk.times
        there = np.isfinite(times)
        if not there.all():
            self._counts[LEFT_OUT + "samples without a time"] += int((~there).sum())
            rows, times = rows[there], times[there]
        if not len(rows):
            return
        rows = rows.astype(np.int16) if rows.dtype == np.int8 else rows
        reason = self._reason(chunk)
        steps = np.diff(times, prepend=self._until)
        late = steps > LATE + 1.5 / form.rate if form.rate else np.zeros(len(steps), bool)
        cuts = late | (steps < -LATE)
        cuts[0] = (cuts[0] and math.isfinite(self._until)) or bool(reason)
        starts = np.flatnonzero(cuts)
        for start, stop in pairwise(dict.fromkeys([0, *starts.tolist(), len(rows)])):
            if cuts[start]:
                self._lose(float(steps[start]), form.rate, reason if not start and reason else GAP)
            self._add(rows[start:stop], times[start:stop])
        self._until = float(times[-1])
        self._counts["samples"] += len(rows)

    def _reason(self, chunk: Chunk) -> str:
        """Return why rows may be missing before a chunk, whatever its time stamps say; empty: for no reason."""
        missed = self._stream.arrivals.missed
        away, waited = chunk.connection != self._number, missed != self._missed
        self._number, self._missed = chunk.connection, missed
        if away:
            return "the stream was away"
        return "waited too long to be read" if waited else ""

    def _add(self, rows: npt.NDArray[Any], times: npt.NDArray[np.float64]) -> None:
        """Cut rows; each has its own time where there is no rate."""
        assert self._cutter is not None
        if self._cutter.rate:
            self._cutter.add(rows, float(times[0]))
            return
        for number, time in enumerate(times):
            self._cutter.add(rows[number : number + 1], float(time))

    def _lose(self, seconds: float, rate: float, reason: str) -> None:
        """Begin a segment, and count the frames that would have held what is missing in so many seconds."""
        assert self._cutter is not None
        self._cutter.gap()
        rows = seconds * rate
        if seconds < -LATE:
            self._counts["time stamps that jump back"] += 1
        elif rows > LARGEST_JUMP and math.isfinite(seconds):
            self._counts["time stamps that jump ahead"] += 1
        elif (missing := round(rows) - 1 if math.isfinite(rows) else 0) > 0:
            self.lost[reason] += math.ceil(missing / self._cutter.size)


def _listed(form: Form) -> str:
    """Return the names of channels, with their units."""
    units = form.units or ("",) * len(form.names)
    return "".join(
        f"{', ' if i else ': '}{name} {unit}".rstrip()
        for i, (name, unit) in enumerate(zip(form.names, units, strict=True))
    )
