"""Push: a program as a device, which sends rows to a source of the kind `devices`."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.transport.keys import KeysError, show
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import MAX_PART_BYTES, StreamError, send, set_options, wait, without_heartbeats

# By the number of dimensions of the rows.
AXES = {1: ("time",), 2: ("time", "channel"), 3: ("item", "y", "x"), 4: ("item", "y", "x", "colour")}
# What holds the values of dtypes that do not travel.
WIDER = {"int8": "int16", "uint16": "int32", "uint32": "int64", "float16": "float32"}
# Seconds that the clock may be ahead of the rows that were sent, which then go on with the clock.
PAUSE = 1.0


class Push:
    """Sends rows to a source of the kind ``devices``, from any program.

    >>> import numpy as np
    >>> with Push("ipc:///runs/speech/source.devices") as push:  # doctest: +SKIP
    ...     push(np.random.standard_normal((160, 2)))

    Every message is counted, so that the source knows of those that never arrive. It connects by itself, and again
    when the source comes back; what was not sent until then waits. It is for one thread.

    Attributes
    ----------
    stream
        The name of the stream.
    session
        Tells this program from another one that sends under the same name.
    count
        Messages so far, those that were dropped included.
    dropped
        Messages that were dropped because the queue was full.

    Parameters
    ----------
    address
        Where the source listens: ``bind`` in its settings.
    stream
        The name of the stream; empty: the machine's and the program's.
    rate
        Rows a second; 0 where they have no rate.
    axes
        Meaning of each axis of the rows; None: by their number ``time``, ``time`` and ``channel``, ``item``, ``y`` and
        ``x``, or these and ``colour``.
    full
        What happens to rows while the queue is full: they ``wait``, or are dropped and counted (``drop``).
    queue
        How many messages wait for the source here.
    timeout
        Seconds that rows wait for room in the queue, and the last ones, on closing, for the source.
    keys, server
        The folder of one's own keys (``stream-infomax keys new``) and the file with the public key of the run, where
        that has keys; without `server` the run has the keys of the same folder.

    Raises
    ------
    StreamError
        Where that is no address.
    KeysError
        Where the keys cannot be used.
    """

    def __init__(
        self,
        address: str,
        stream: str = "",
        *,
        rate: float = 0.0,
        axes: Sequence[str] | None = None,
        full: Literal["wait", "drop"] = "wait",
        queue: int = 1000,
        timeout: float = 10.0,
        keys: str | Path = "",
        server: str | Path = "",
    ) -> None:
        if full not in ("wait", "drop"):
            raise ValueError(f"full = {full!r}; accepted are 'wait' and 'drop'")
        if queue < 1:
            raise ValueError(f"queue = {queue}; at least 1 is accepted")
        self.address = address
        self.stream = stream or f"{socket.gethostname()}/{Path(sys.argv[0]).stem or 'python'}"
        self.session = secrets.token_hex(8)
        self.count = self.dropped = 0
        self.rate = rate
        self._axes = None if axes is None else tuple(axes)
        self._drops = full == "drop"
        self._timeout = timeout
        self._next: float | None = None  # the time of the row that comes next
        self._ended = False
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        set_options(self._socket, MAX_PART_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, queue)
        without_heartbeats(self._socket)
        self._monitor = Monitor(self._socket)
        try:
            show(self._socket, address, keys, server)
            self._socket.connect(address)
        except KeysError:
            self._context.destroy(linger=0)
            raise
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise StreamError(
                f"cannot push to {address}: {error.strerror}; accepted are ipc://PATH and tcp://HOST:PORT"
            ) from error

    @property
    def connected(self) -> bool:
        """Whether the source is there."""
        self._monitor.look()
        return self._monitor.connected

    def __call__(
        self,
        rows: npt.ArrayLike,
        *,
        time: float | None = None,
        segment: str = "",
        last: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> bool:
        """Send rows.

        Parameters
        ----------
        rows
            Shape (rows, …), with an axis for each of `axes`.
        time
            Seconds of the first row; None: with a rate as the rows before it say, otherwise now.
        segment
            The utterance, picture or stretch of time that they belong to; empty: the source cuts segments.
        last
            Whether they are the last ones of their segment.
        labels
            Label names and their text.

        Returns
        -------
        Whether they were sent; False where they were dropped.

        Raises
        ------
        ValueError
            Where the rows are none, or of a dtype that does not travel.
        StreamError
            Where the source takes nothing for `timeout` seconds. The rows can be sent again.
        """
        array = self._array(rows)
        at = self._time(array.n_rows) if time is None else float(time)
        frame = Frame(
            stream=self.stream,
            segment=segment,
            arrays={"rows": array},
            last=last,
            time=at,
            rate=self.rate,
            labels=labels or {},
        )
        sent = self._send(frame, self._drops)
        self._next = at + array.n_rows / self.rate if self.rate else None
        return sent

    def label(
        self, labels: Mapping[str, str], *, segment: str = "", offset: int = -1, time: float | None = None
    ) -> None:
        """Send labels that come late.

        Parameters
        ----------
        labels
            Label names and their text.
        segment, offset, time
            What they are of: the name of a segment, or that which has this offset in the source's log, or this time;
            without any of them that which has the newest row.
        """
        if not segment and offset < 0 and time is None:
            time = self._newest()
        self._send(Frame(self.stream, offset, segment, time=time or 0.0, labels=labels))

    def end(self) -> None:
        """End the stream; `close` does, too."""
        if not self._ended:
            self._send(Frame(self.stream, end=True, last=True, rate=self.rate))
            self._ended = True

    def close(self) -> None:
        """End the stream, and wait until everything has been sent.

        Raises
        ------
        StreamError
            Where no source is there, or it has not taken everything, within `timeout` seconds.
        """
        if self._context.closed:
            return
        try:
            if self.count:
                self.end()
                self._wait_for_source()
        except StreamError:
            self._context.destroy(linger=0)
            raise
        self._monitor.close()
        begun = time.monotonic()
        self._context.destroy(linger=round(1000 * self._timeout))
        if self.count and time.monotonic() - begun >= self._timeout:
            raise StreamError(f"{self.address} has not taken everything within {self._timeout:g} s")

    def __enter__(self) -> Push:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except StreamError:
            if error is None:  # or it would hide what went wrong first
                raise

    def _array(self, rows: npt.ArrayLike) -> Array:
        values = np.asarray(rows)
        name = values.dtype.newbyteorder("=").name
        dtype = wire.DTYPES.get(WIDER.get(name, name))
        if dtype is None:
            raise ValueError(f"rows of dtype {values.dtype}; accepted are {', '.join(wire.DTYPES)}")
        axes = self._axes or AXES.get(values.ndim)
        if axes is None or len(axes) != values.ndim:
            raise ValueError(
                f"rows of shape {values.shape}; accepted are "
                + (f"{len(axes)} axes, {axes}" if axes else f"{min(AXES)} to {max(AXES)} axes, or name them in `axes`")
            )
        return Array(values.astype(dtype, copy=False), axes)

    def _time(self, n_rows: int) -> float:
        """Return the time of the first row of those that come now."""
        now = time.time() - (n_rows / self.rate if self.rate else 0.0)
        return now if self._next is None or now > self._next + PAUSE else self._next

    def _newest(self) -> float:
        """Return the time of the row that was sent last, or now."""
        return time.time() if self._next is None else self._next - 1 / self.rate

    def _send(self, frame: Frame, drops: bool = False) -> bool:
        """Send a message, or drop it; only then does it count."""
        if self._context.closed:
            raise StreamError(f"cannot push to {self.address}: it is closed")
        parts = wire.encode_pushed(frame, self.count, self.session)
        try:
            send(self._socket, parts)
        except zmq.Again:
            if drops:
                self.count += 1
                self.dropped += 1
                return False
            if not wait(self._socket, self._monitor, zmq.POLLOUT, round(1000 * self._timeout), self.address):
                why = "it does not take them" if self.connected else "no source is there"
                raise StreamError(f"rows wait for {self.address} for {self._timeout:g} s: {why}") from None
            send(self._socket, parts)
        self.count += 1
        return True

    def _wait_for_source(self) -> None:
        until = time.monotonic() + self._timeout
        while not self.connected:
            if self._monitor.refused:
                raise StreamError(f"{self.address} {self._monitor.refused}: {self.count} messages were not sent")
            if not self._monitor.socket.poll(max(0, round(1000 * (until - time.monotonic())))):
                raise StreamError(f"no source listens at {self.address}: {self.count} messages were not sent")
