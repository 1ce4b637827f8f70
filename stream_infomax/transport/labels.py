"""A label from outside, sent to a live source."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame
from stream_infomax.transport.keys import Keys
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import StreamError, wait

# Seconds until somebody has to be there.
PATIENCE = 2.0


def send_label(
    address: str,
    stream: str,
    labels: Mapping[str, str],
    *,
    segment: str = "",
    offset: int = -1,
    time: float = 0.0,
    keys: Keys | None = None,
) -> None:
    """Send labels for the segment of a stream that has a name, holds an offset of the log, or a time.

    Parameters
    ----------
    address
        Where the labels of the source come to.
    stream
        The stream; empty: the only one that is open.
    labels
        Label names and their text.
    segment
        The segment; empty: that in which `offset` or `time` lies.
    offset
        A frame's place in the log; -1: `time` tells.
    time
        In seconds, as in the frames.
    keys
        Those of the run; None: it has none.

    Raises
    ------
    StreamError
        Where nobody listens at the address, or lets these keys not in.
    """
    (message,) = wire.encode(Frame(stream, offset, segment, time=time, labels=labels))
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket, closing(Monitor(socket)) as monitor:
        socket.setsockopt(zmq.IMMEDIATE, 1)  # or it would wait for a run that is not there
        socket.setsockopt(zmq.LINGER, round(1000 * PATIENCE))
        try:
            if keys is not None:
                keys.call(socket, address)
            socket.connect(address)
        except zmq.ZMQError as error:
            raise StreamError(f"cannot connect to {address}: {error.strerror}") from error
        if not wait(socket, monitor, zmq.POLLOUT, round(1000 * PATIENCE), address):
            socket.setsockopt(zmq.LINGER, 0)
            raise StreamError(f"no run of a live source listens at {address}")
        socket.send(message)
