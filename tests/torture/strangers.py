"""Strangers at the address of a log: what they do changes nothing of what its reader gets and commits."""

import socket as sockets
from contextlib import closing, suppress

import zmq
from helpers.keys import Called, keyed, overheard, place
from helpers.wire import LOG, Server, heard, read, until

from stream_infomax.transport import messages
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.keys import LOCAL, Access, Keys, allow, new, revoke
from torture.frame import Trial, torture

# Frames that come while a stranger is there.
FRAMES = 3


class Strangers:
    """What strangers do; each leaves connections behind, of which the oldest are closed."""

    def __init__(self, trial: Trial, context: zmq.Context, server: Server, folder=None, said: bytes = b"") -> None:
        self.random = trial.random("strangers", bool(folder))
        self.context, self.server, self.folder, self.said = context, server, folder, said
        self.left: list = []
        self.acts = [self.ask, self.noise, self.beginning]
        self.acts += [self.wrong_key, self.other_name, self.revoked, self.replay] if folder else [self.identity]

    def act(self) -> None:
        self.random.choice(self.acts)()
        while len(self.left) > 8:
            self.left.pop(0).close()

    def requests(self) -> list[messages.Message]:
        offset = self.random.choice([0, 5, 2**31, 2**62])
        wanted = [messages.Commit("r", LOG, offset), messages.Fetch("r", LOG, offset + 1, 1024, offset)]
        return [self.random.choice(wanted) for _ in range(self.random.randint(1, 5))]

    def dealer(self, name: str = "", identity: bytes = b"") -> None:
        if name:
            dealer = keyed(self.context, self.folder, name, self.server.address, *self.requests())
        else:
            dealer = self.context.socket(zmq.DEALER)
            if identity:
                dealer.setsockopt(zmq.ROUTING_ID, identity)
            dealer.connect(self.server.address)
            for request in self.requests():
                dealer.send(messages.encode(request))
        dealer.linger = 0
        self.left.append(dealer)

    def ask(self) -> None:
        self.dealer()

    def identity(self) -> None:
        self.dealer(identity=self.random.choice([b"r", b"r/1", b"x" * 200]))

    def wrong_key(self) -> None:
        self.dealer("stranger")

    def other_name(self) -> None:
        self.dealer("other")

    def revoked(self) -> None:
        keys = Keys(self.folder / "run")
        allow(keys, self.folder / "stranger" / "own.public", "guest")
        self.dealer("stranger")
        revoke(keys, "guest")

    def raw(self, said: bytes) -> None:
        connection = sockets.create_connection(place(self.server.address))
        with suppress(OSError):
            connection.sendall(said)
        self.left.append(connection)

    def noise(self) -> None:
        self.raw(self.random.randbytes(self.random.randint(1, 5000)))

    def beginning(self) -> None:
        """The greeting of ZMTP, or the beginning of it, and perhaps noise."""
        mechanism = self.random.choice([b"NULL", b"CURVE", b"PLAIN"]).ljust(20, b"\0")
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism + bytes(32)
        self.raw(greeting[: self.random.randint(1, 64)] + self.random.randbytes(self.random.choice([0, 50])))

    def replay(self) -> None:
        self.raw(self.said[: self.random.randint(1, len(self.said))])


def visited(trial: Trial, context: zmq.Context, server: Server, inlet: Inlet, strangers: Strangers, total: int) -> None:
    """Let strangers come while frames do; the reader gets all of them, once, and its commits alone count."""
    heard(inlet, [server], lambda: inlet.log_id)
    for done in range(total):
        strangers.act()
        first = FRAMES * done
        server.append(*range(first, first + FRAMES))
        found = read(inlet, [server], FRAMES)
        assert found == list(range(first, first + FRAMES)), f"stranger {done}: frames {found}"
        assert server.log.committed["r"] == first - 1, f"stranger {done}: {server.log.committed['r']} is committed"
        inlet.commit(first + FRAMES - 1)
        until(lambda: server.log.committed["r"] == inlet.committed, [server], [inlet])
        trial.progress(done + 1, total)
    for one in strangers.left:
        one.close()


@torture(minutes=10, short=0.002)
def strangers_without_a_key(trial: Trial) -> str:
    """Whoever has no key, a wrong or revoked one, another's name or a recording gets nothing and spoils nothing."""
    for name in ("run", "r", "other", "stranger"):
        new(trial.folder / name)
    run = Keys(trial.folder / "run")
    for name in ("r", "other"):
        allow(run, trial.folder / name / "own.public", name)
    context, total = zmq.Context(), trial.times(5000)
    access = Access(run)
    try:
        with access.answering(context):
            server = Server(context, "tcp://127.0.0.1:*", access=access)
            said = overheard(context, trial.folder, server)
            inlet = Inlet(context, server.address, "r", keys=Called(trial.folder, "r"))
            with closing(inlet), closing(server.outlet):
                strangers = Strangers(trial, context, server, trial.folder, said)
                visited(trial, context, server, inlet, strangers, total)
                refused = sum(server.outlet.refusals().values())
    finally:
        context.destroy(linger=0)
    return f"{total:,} strangers, {FRAMES * total:,} frames, none missed or committed by others; {refused:,} refusals"


@torture(minutes=10, short=0.002)
def strangers_on_this_machine(trial: Trial) -> str:
    """Without keys: whoever comes behind a reader commits nothing, takes no place and spoils nothing."""
    context, total = zmq.Context(), trial.times(5000)
    try:
        server = Server(context, "tcp://127.0.0.1:*", access=LOCAL)
        inlet = Inlet(context, server.address, "r")
        with closing(inlet), closing(server.outlet):
            visited(trial, context, server, inlet, Strangers(trial, context, server), total)
            refused = sum(server.outlet.refusals().values())
    finally:
        context.destroy(linger=0)
    return f"{total:,} strangers, {FRAMES * total:,} frames, none missed or committed by others; {refused:,} refusals"
