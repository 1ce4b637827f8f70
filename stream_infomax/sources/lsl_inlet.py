"""Listener: one stream of the lab streaming layer, found, listened to in a thread, and found again."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional
from stream_infomax.sources.arrivals import Arrivals
from stream_infomax.sources.live import FRAME_SECONDS

log = logging.getLogger(__name__)

# Seconds that a stream has to answer when a run starts, and that another one of the same kind is waited for.
PATIENCE, SECOND = 5.0, 1.0
# Seconds after which the thread looks whether it is to end.
GLANCE = 0.2
# Samples, where there is no rate, that wait at most.
IRREGULAR = 10_000
MOST = 4096
# Streams that an error lists at most.
LISTED = 8


class Wanted(NamedTuple):
    """Which stream is meant, by what is not empty; and whether it is one of texts."""

    name: str = ""
    type: str = ""
    source_id: str = ""
    texts: bool = False

    def __str__(self) -> str:
        chosen = {"name": self.name, "type": self.type, "source id": self.source_id}
        return "LSL stream with " + " and ".join(f"{key} {value!r}" for key, value in chosen.items() if value)

    @property
    def predicate(self) -> str:
        """As LSL searches: XPath."""
        chosen = {"name": self.name, "type": self.type, "source_id": self.source_id}
        return " and ".join(f"{key}={_quoted(value)}" for key, value in chosen.items() if value)


class Form(NamedTuple):
    """What the rows of a stream are like."""

    rate: float
    channels: int
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def fits(self, other: Form) -> bool:
        """Return whether rows of another stream can follow."""
        return (self.rate, self.channels) == (other.rate, other.channels)

    def __str__(self) -> str:
        return f"{self.channels} channels" + (f" at {self.rate:g} Hz" if self.rate else " without a rate")


class Chunk(NamedTuple):
    """Samples as they came.

    Attributes
    ----------
    rows
        Shape (n, channels); the bytes of texts where it is a stream of texts.
    times
        Seconds since 1970 by the clock of this machine, shape (n,).
    connection
        Which connection they came through, from 1.
    """

    rows: npt.NDArray[Any]
    times: npt.NDArray[np.float64]
    connection: int


class Listener:
    """One stream: found, listened to in a thread of its own, and found again when it has gone.

    Parameters
    ----------
    wanted
        Which stream.
    buffer
        Seconds of it that wait at most.
    form
        What its rows were like before; None: that is not known.

    Attributes
    ----------
    arrivals
        What has come, and an error where it cannot go on.
    form
        What its rows are like; not None once something has come.
    breaks
        How often the stream went away.
    """

    def __init__(self, wanted: Wanted, buffer: float, form: Form | None = None) -> None:
        with optional():
            import pylsl
            from pylsl import util
        self._lsl = pylsl
        self._lost: type[Exception] = util.LostError
        self._late: type[Exception] = util.TimeoutError
        self.wanted = wanted
        self.form = form
        self.breaks = 0
        regular = not wanted.texts and (form is None or form.rate > 0)
        self.arrivals: Arrivals[Chunk] = Arrivals(math.ceil(buffer / FRAME_SECONDS) if regular else IRREGULAR)
        self._buffer = max(1, math.ceil(buffer))
        self._inlet: Any = None
        self._number = 0
        self._resumed = form is not None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"LSL {wanted}", daemon=True)

    def find(self) -> None:
        """Connect to the one stream that is meant.

        Raises
        ------
        ValueError
            Where there is none, more than one, or one of the other kind; lists those that there are.
        """
        found = self._resolve(1, PATIENCE)
        if not found:
            there = [_described(info) for info in self._lsl.resolve_streams(1.0)[:LISTED]]
            raise ValueError(f"there is no {self.wanted}; there are: {'; '.join(there) or 'none'}")
        found = self._resolve(2, SECOND) or found
        if len(found) > 1:
            there = [_described(info) for info in found[:LISTED]]
            raise ValueError(f"there is more than one {self.wanted}: {'; '.join(there)}; source_id tells them apart")
        try:
            self._connect(found[0])
        except (self._lost, self._late) as error:
            raise ValueError(f"the {self.wanted} went away before it could be listened to: {error}") from error

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let go of the stream."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._inlet = None
        self.arrivals.close()

    def _work(self) -> None:
        """Listen until the end; the thread."""
        try:
            while not self._stop.is_set():
                if self._inlet is None and not self._search():
                    return
                try:
                    self._listen()
                except self._lost:
                    self._inlet = None
                    self.breaks += 1
                    log.warning("the %s has gone; it is looked for", self.wanted)
        except Exception as error:  # noqa: BLE001  (whatever it is, the loop has to hear of it)
            self.arrivals.fail(error)

    def _search(self) -> bool:
        """Look for the stream until it is there; return whether it is. Raises where it has another form."""
        while not self._stop.is_set():
            found = self._resolve(1, GLANCE)
            try:
                if found:
                    self._connect(found[0])
                    log.warning("the %s is there", self.wanted)
                    return True
            except (self._lost, self._late):
                continue
        return False

    def _resolve(self, at_least: int, seconds: float) -> list[Any]:
        return list(self._lsl.resolve_bypred(self.wanted.predicate, at_least, seconds))

    def _connect(self, info: Any) -> None:
        """Connect to a stream: what it sends from now on comes, and nothing from before.

        Raises
        ------
        ValueError
            Where it has texts in place of numbers, or the other way round, or another form than a life before.
        OSError
            Where it has another form than before it went away.
        """
        if (info.channel_format() == self._lsl.cf_string) != self.wanted.texts:
            kinds = ("numbers", "texts") if self.wanted.texts else ("texts", "numbers")
            raise ValueError(f"the {self.wanted} has {kinds[0]}, {kinds[1]} are accepted: {_described(info)}")
        inlet = self._lsl.StreamInlet(info, max_buflen=self._buffer, recover=False)
        form = _form(inlet.info(PATIENCE))
        if self.form is not None and not self.form.fits(form):
            problem = f"the {self.wanted} has {form} since it came back; before it had {self.form}"
            # The next life, which begins with what was saved, finds it so and says that starting again is of no use.
            raise ValueError(problem) if self._resumed else OSError(problem)
        inlet.time_correction(PATIENCE)
        inlet.open_stream(PATIENCE)
        self._inlet, self.form = inlet, form
        self._number += 1
        self._to_wall = time.time() - self._lsl.local_clock()

    def _listen(self) -> None:
        """Hand over what comes, in portions of a frame's length where there is a rate. Raises LostError."""
        assert self.form is not None
        size = min(MOST, max(1, round(FRAME_SECONDS * self.form.rate)))
        while not self._stop.is_set():
            rows, stamps = self._inlet.pull_chunk(GLANCE, MOST, min_samples=size, as_numpy=True)
            if len(stamps):
                times = stamps + (self._inlet.time_correction(PATIENCE) + self._to_wall)
                self.arrivals.put(Chunk(rows, times, self._number))


def _form(info: Any) -> Form:
    channels = info.channel_count()
    names, units = ((tuple(texts) if texts and all(texts) else ()) for texts in _texts(info))
    return Form(info.nominal_srate(), channels, names, units)


def _texts(info: Any) -> tuple[Any, Any]:
    return info.get_channel_labels(), info.get_channel_units()


def _described(info: Any) -> str:
    """Return a stream as an error lists it."""
    rate = f"{info.nominal_srate():g} Hz" if info.nominal_srate() else "no rate"
    source = f", source id {info.source_id()!r}" if info.source_id() else ""
    return f"{info.name()!r} (type {info.type()!r}, {info.channel_count()} channels, {rate}{source}, {info.hostname()})"


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"
