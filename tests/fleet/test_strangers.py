"""A coordinator beyond this machine: who hands in what, and who does not get in."""

import threading
from contextlib import closing, contextmanager

import pytest
import zmq
from helpers.mixtures import mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.fleet.archive import Archive
from stream_infomax.fleet.coordinator import Coordinator
from stream_infomax.fleet.coordinator_process import opened
from stream_infomax.transport.keys import Access, Keys, allow, new
from stream_infomax.transport.rounds import Member
from stream_infomax.transport.sockets import RefusedError

ROWS, _ = mixed_sources(800, 4)


@pytest.fixture
def folder(tmp_path):
    """Keys of a fleet, of two boxes that it knows, and of a stranger."""
    server = new(tmp_path / "keys")
    for name in ("box-1", "box-2", "stranger"):
        new(tmp_path / name)
    for name in ("box-1", "box-2"):
        allow(server, tmp_path / name / "own.public", name)
    return tmp_path


@contextmanager
def serving(folder):
    """A coordinator that answers meanwhile; gives its desk."""
    coordinator = Coordinator(Archive(folder / "run"), ("00", "01"))
    over = threading.Event()

    def work(desk):
        while not over.is_set():
            if desk.rendezvous.socket.poll(20):
                desk.turn()

    with opened(coordinator, "tcp://127.0.0.1:*", Access(Keys(folder / "keys"))) as desk:
        thread = threading.Thread(target=work, args=(desk,))
        thread.start()
        try:
            yield desk
        finally:
            over.set()
            thread.join()


@contextmanager
def member(folder, desk, name, keys):
    server = Keys(folder / "keys").public
    shown = Keys(folder / keys)
    with zmq.Context() as context:
        one = Member(context, lambda: desk.address, name, keys=shown, server=server, guest=keys != "keys")
        with closing(one):
            yield one


def polled(one):
    poller = zmq.Poller()
    while (got := one.poll()) is None:
        for socket in one.sockets:
            poller.register(socket, zmq.POLLIN)
        poller.poll(50)
    return got


def test_members_with_keys_of_their_own_take_part_and_nobody_else(folder):
    share = OnlineInfomax().partial_fit(ROWS).share(2).to_bytes()
    with serving(folder) as desk:
        with member(folder, desk, "00", "keys") as shard:
            shard.hand_in("share", 0, share)
            assert polled(shard).payload == share
        with member(folder, desk, "box-1", "box-1") as box:
            box.ask(0)
            assert polled(box).payload == share
        with member(folder, desk, "box-1", "box-2") as other:
            other.ask(0)
            with pytest.raises(RefusedError, match="'box-1': this key is allowed under the name 'box-2'"):
                polled(other)
        with member(folder, desk, "00", "box-2") as other:
            other.hand_in("delta", 0, b"")
            with pytest.raises(RefusedError, match="'00': this key is allowed under the name 'box-2'"):
                polled(other)
        with member(folder, desk, "stranger", "stranger") as other:
            other.ask(0)
            with pytest.raises(RefusedError, match="refuses this key: it is not allowed there"):
                polled(other)
        assert desk.rendezvous.refused["key"] == 2
        assert desk.coordinator.newest == 0
    assert desk.coordinator.refused["key"] == 2


def test_without_keys_an_address_beyond_this_machine_is_refused(folder):
    coordinator = Coordinator(Archive(folder / "run"), ("00",))
    with (
        pytest.raises(RefusedError, match=r"cannot bind tcp://0\.0\.0\.0:5999"),
        opened(coordinator, "tcp://0.0.0.0:5999"),
    ):
        pass
