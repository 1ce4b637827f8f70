"""What tests of devices share: a device that sends whatever it is told, and the frames that a source makes of it."""

import time

import msgspec
import numpy as np
import zmq

LONG = 20.0


def rows(n=4, start=0, channels=2, dtype=np.float32):
    return np.arange(start, start + n * channels).reshape(n, channels).astype(dtype)


def message(stream="ear", data=None, **header):
    """Return the parts of a message, as any language would write them."""
    arrays = header.pop("arrays", None)
    payloads = []
    if arrays is None:
        arrays = []
        if data is not None:
            axes = header.pop("axes", ("time", "channel"))
            arrays = [{"name": "x", "dtype": str(data.dtype), "axes": axes, "shape": header.pop("shape", data.shape)}]
            payloads = [data.tobytes()]
    return [msgspec.msgpack.encode({"version": 1, "stream": stream, "arrays": arrays, **header}), *payloads]


class Device:
    """A device that counts what it sends, and lies where it is told to."""

    def __init__(self, context, address, stream="ear", session="s", rate=100.0, **options):
        self.socket = context.socket(zmq.PUSH)
        for option, value in options.items():
            setattr(self.socket, option, value)
        self.socket.connect(address)
        self.stream, self.session, self.rate = stream, session, rate
        self.count = 0
        self.sent = []

    def send(self, data=None, **changes):
        """Send rows; `changes` go into the header."""
        data = rows(start=self.count) if data is None else data
        header = {"rate": self.rate, "session": self.session, "count": self.count, **changes}
        header = {key: value for key, value in header.items() if value is not None}
        self.socket.send_multipart(message(self.stream, data, **header))
        self.count = (header.get("count") or self.count) + 1
        self.sent.append(data)

    def tell(self, **header):
        """Send a message without rows."""
        self.socket.send_multipart(message(self.stream, **{"session": self.session, "count": self.count, **header}))
        self.count += 1


def frames(source, n, seconds=LONG):
    """Return the next `n` frames of a source, which wait for the socket only."""
    found = []
    end = time.monotonic() + seconds
    while len(found) < n:
        frame = source.receive()
        if frame is not None:
            found.append(frame)
            continue
        left = end - time.monotonic()
        assert left > 0, f"{len(found)} of {n} frames came; {dict(source.counts())}, lost {dict(source.lost)}"
        if source.sockets:
            poller = zmq.Poller()
            for socket in source.sockets:
                poller.register(socket, zmq.POLLIN)
            poller.poll(1000 * min(left, source.due()) + 1)
    return found
