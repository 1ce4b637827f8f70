"""Clients with keys, and one who overhears them; the folders of keys lie in one folder, that of the run is `run`."""

import socket as sockets

import zmq

from stream_infomax.transport import messages
from stream_infomax.transport.keys import Keys


class Called:
    """The keys of a folder, as they are shown to the run."""

    def __init__(self, folder, name):
        self.keys, self.server = Keys(folder / name), Keys(folder / "run").public

    def call(self, socket, address):
        self.keys.call(socket, address, self.server)


def keyed(context, folder, name, address, *requests):
    """Return a bare socket with keys that has sent these requests."""
    dealer = context.socket(zmq.DEALER)
    Called(folder, name).call(dealer, address)
    dealer.connect(address)
    for request in requests:
        dealer.send(messages.encode(request))
    return dealer


def place(address):
    """Return host and port of an address."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def overheard(context, folder, server):
    """Return all that goes to a server, until it has heard its reader, by a connection that is carried to and fro."""
    with sockets.create_server(("127.0.0.1", 0)) as between:
        address = f"tcp://127.0.0.1:{between.getsockname()[1]}"
        dealer = keyed(context, folder, "r", address, messages.Fetch("r", server.outlet.log_id, 0, 5))
        near, _ = between.accept()
        with near, sockets.create_connection(place(server.address)) as far:
            said = relay(near, far, server, server.outlet.heard_all)
    dealer.close(0)
    return said


def relay(near, far, server, enough):
    """Carry bytes to and fro until there is enough; return what went to the server."""
    said = b""
    poller = zmq.Poller()
    for one in (near, far, server.outlet.socket):
        poller.register(one, zmq.POLLIN)
    while not enough():
        ready = dict(poller.poll(10_000))
        assert ready
        if near.fileno() in ready:
            part = near.recv(4096)
            said += part
            far.sendall(part)
        if far.fileno() in ready:
            near.sendall(far.recv(4096))
        server.outlet.answer()
    return said
