"""What tests of sockets share: a log behind an outlet, and ways to let both sides work."""

import math
import time

import numpy as np
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service.status import Meter
from stream_infomax.transport import messages
from stream_infomax.transport.keys import LOCAL
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet

LOG = "0123456789abcdef"
LONG = 20.0


def frame(offset, rows=2):
    return Frame(stream="a", offset=offset, arrays={"x": Array(np.full((rows, 3), offset, np.float32), ("time", "y"))})


def basis(version, components, offset=0, encoder="e", stage="learner", previous=""):
    components = np.asarray(components, np.float32)
    ones = np.ones(len(components), np.float32)
    return Basis(
        stage=stage, encoder=encoder, version=version, previous=previous, offset=offset, output="potential",
        amplitude=1.0,
        mean=np.zeros(components.shape[1]), components=components, mixing=components.T.copy(), beta=ones, bias=ones,
    )  # fmt: skip


def status(newest, finished=False, **changes):
    """What a service says on its tap."""
    fields = {
        "name": "learner",
        "run": "",
        "log": LOG,
        "processed": newest,
        "newest": newest,
        "committed": {},
        "finished": finished,
        "log_frames": 0,
        "log_bytes": 0,
        "log_fill": 0.0,
        "dropped": 0,
        "lost": {},
        "refused": {},
        "expected": 0,
        "ledger": [],
        "measures": [],
        "counts": {},
        "events": [],
        "checkpoint": -1,
        "last_checkpoint": 0.0,
        **Meter().read()._asdict(),
        "started": 0.0,
        **changes,
    }
    return messages.Status(**fields)


class Server:
    """An outlet and its log."""

    def __init__(self, context, address, readers=("r",), log_id=LOG, seekable=False, access=LOCAL, **bounds):
        self.context = context
        self.log = OutputLog(readers, **bounds)
        self.outlet = Outlet(context, address, self.log, log_id, seekable=lambda offset: seekable, access=access)
        self.address = self.outlet.address

    def append(self, *offsets):
        for offset in offsets:
            self.log.append(offset, wire.encode(frame(offset)), origin=1.0 + offset)
        self.outlet.pump()

    def stop(self):
        """End like a process does; the context must be the server's own, for only its end frees the address."""
        self.context.destroy(linger=0)
        self.outlet.release()


def until(condition, servers=(), inlets=()):
    """Let outlets and inlets work until `condition` holds; they sleep in poll only."""
    poller = zmq.Poller()
    for server in servers:
        poller.register(server.outlet.socket, zmq.POLLIN)
    for reader in inlets:
        for socket in reader.sockets:
            poller.register(socket, zmq.POLLIN)
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        due = min((reader.due() for reader in inlets), default=1.0)
        poller.poll(math.ceil(1000 * due) + 1)
        for server in servers:
            server.outlet.answer()
        for reader in inlets:
            reader.attend()


def read(inlet, servers, count):
    """Return the offsets of the next `count` frames."""
    offsets = []

    def done():
        while len(offsets) < count:
            arrival = inlet.receive()
            if arrival is None:
                return False
            offsets.append(arrival.frame.offset)
        return True

    until(done, servers, [inlet])
    return offsets


def heard(inlet, servers, condition):
    """Let the inlet receive until `condition` holds; no frame may come."""

    def done():
        assert inlet.receive() is None
        return condition()

    until(done, servers, [inlet])


def raw(context, address, *requests):
    """Return a bare socket that has sent these requests."""
    dealer = context.socket(zmq.DEALER)
    dealer.connect(address)
    for request in requests:
        dealer.send(messages.encode(request))
    return dealer


def answers(dealer, count):
    """Return the first parts of the next `count` answers."""
    found = []
    while len(found) < count:
        assert dealer.poll(1000 * LONG)
        found.append(messages.decode_answer(dealer.recv_multipart()[0]))
    return found
