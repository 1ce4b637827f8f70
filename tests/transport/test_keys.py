"""Who gets in at an address that others can reach: with a key, without, with another's, with one that was revoked."""

import shutil
import socket as sockets
from contextlib import closing, contextmanager

import pytest
import zmq
from helpers.keys import Called, keyed, overheard, place
from helpers.wire import LOG, Server, answers, frame, heard, read, status, until

from stream_infomax.frames.contracts import Output
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.settings.reach import is_local
from stream_infomax.transport import guard, messages
from stream_infomax.transport import monitor as monitor_module
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.keys import Access, Keys, KeysError, allow, new, revoke
from stream_infomax.transport.labels import send_label
from stream_infomax.transport.pull import Pull
from stream_infomax.transport.push import Push
from stream_infomax.transport.sockets import Bound, RefusedError, StreamError
from stream_infomax.transport.tap import Tap, TapReader

TCP = "tcp://127.0.0.1:*"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Folders of keys of a run, of a reader that is allowed there as `r`, of one that is `other`, and of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    made = {name: new(folder / name) for name in ("run", "r", "other", "stranger")}
    for name in ("r", "other"):
        allow(made["run"], folder / name / "own.public", name)
    return folder


@pytest.fixture
def folder(pairs, tmp_path):
    """The same for one test, which may change them."""
    return shutil.copytree(pairs, tmp_path / "keys")


@pytest.fixture
def access(folder, context):
    access = Access(Keys(folder / "run"))
    with access.answering(context):
        yield access


@pytest.fixture
def server(context, access):
    return Server(context, TCP, access=access)


@pytest.fixture
def unwatched(monkeypatch):
    """Nobody looks after connections: one whose key is taken away stays until it asks for something."""
    monkeypatch.setattr(guard.Guard, "_look", lambda self: None)


@pytest.mark.parametrize("name", ["run", "r"])
def test_a_reader_with_the_key_of_its_name_or_of_the_run_reads(context, folder, access, server, name):
    inlet = Inlet(context, server.address, "r", keys=Called(folder, name))
    server.append(0, 1)
    assert read(inlet, [server], 2) == [0, 1]
    inlet.commit(1)
    heard(inlet, [server], lambda: inlet.settled)
    assert server.log.committed == {"r": 1}
    assert not server.outlet.refusals() and not access.refusals()


def test_a_key_that_is_not_allowed_is_refused_and_counted(context, folder, access, server):
    inlet = Inlet(context, server.address, "r", keys=Called(folder, "stranger"))
    with pytest.raises(RefusedError, match="refuses this key: it is not allowed there"):
        heard(inlet, [server], lambda: False)
    assert access.refusals()["key"] >= 1


def test_a_reader_without_a_key_is_refused(context, server):
    inlet = Inlet(context, server.address, "r")
    with pytest.raises(RefusedError, match="one side has keys and the other has none"):
        heard(inlet, [server], lambda: False)


def test_a_reader_that_takes_another_for_its_server_gets_nothing_and_says_so(
    context, folder, server, monkeypatch, caplog
):
    monkeypatch.setattr(monitor_module, "FAILING", 0.1)
    called = Called(folder, "r")
    called.server = called.keys.public
    inlet = Inlet(context, server.address, "r", keys=called)
    server.append(0)
    heard(inlet, [server], lambda: inlet._warned)
    assert caplog.messages == [f"{server.address} {monitor_module._FAILING}"]
    assert not server.outlet.heard_all()


def test_a_reader_under_another_name_is_refused(context, folder, server):
    inlet = Inlet(context, server.address, "r", keys=Called(folder, "other"))
    with pytest.raises(RefusedError, match="this key is not allowed to read under this name"):
        heard(inlet, [server], lambda: False)
    dealer = keyed(context, folder, "other", server.address, messages.Commit("r", LOG, 2**62))
    until(lambda: server.outlet.refused["key"] == 2, [server])
    (answer,) = answers(dealer, 1)
    assert answer.reason == "key"
    assert server.log.committed == {"r": -1}


def test_a_key_that_is_revoked_is_refused_at_its_next_request_and_connection(unwatched, context, folder, server):
    inlet = Inlet(context, server.address, "r", keys=Called(folder, "r"))
    server.append(0)
    assert read(inlet, [server], 1) == [0]
    revoke(Keys(folder / "run"), "r")
    inlet.commit(0)
    with pytest.raises(RefusedError, match="this key is not allowed"):
        heard(inlet, [server], lambda: False)
    assert server.log.committed == {"r": -1}
    server.append(1)  # goes to nobody
    assert inlet.receive() is None
    again = Inlet(context, server.address, "r", keys=Called(folder, "r"))
    with pytest.raises(RefusedError, match="refuses this key"):
        heard(again, [server], lambda: False)


def test_a_key_that_is_allowed_while_the_run_goes_on_is_let_in(context, folder, server):
    allow_again = folder / "stranger" / "own.public"
    revoke(Keys(folder / "run"), "r")
    allow(Keys(folder / "run"), allow_again, "r")
    inlet = Inlet(context, server.address, "r", keys=Called(folder, "stranger"))
    server.append(0)
    assert read(inlet, [server], 1) == [0]


def test_what_was_overheard_and_is_said_again_gets_nobody_in(context, folder, server):
    """A whole connection is recorded on its way, and played back to the server."""
    said = overheard(context, folder, server)
    server.outlet._readers["r"].heard = False
    with sockets.create_connection(place(server.address)) as far, monitored(server.outlet.socket, FAILED) as failed:
        far.sendall(said)
        assert failed.poll(10_000)
    server.outlet.answer()
    assert not server.outlet.heard_all()


FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


@contextmanager
def monitored(socket, events):
    monitor = socket.get_monitor_socket(int(events))
    yield monitor
    socket.disable_monitor()
    monitor.close(0)


# ---------------------------------------------------------------- taps, devices, labels


def test_a_tap_is_observed_with_a_key_only(context, folder, access):
    tap = Tap(context, TCP, access)
    with (
        TapReader(tap.address, keys=folder / "other", server=folder / "run" / "own.public") as reader,
        TapReader(tap.address) as plain,
        TapReader(tap.address, keys=folder / "stranger", server=folder / "run" / "own.public") as stranger,
    ):
        while len(tap._topics) < 2:
            tap.socket.poll(10_000)
            tap.attend()
        tap.frame(Output(frame(0), LOG))
        tap.status(status(0, finished=True))
        assert [one.offset for one in reader] == [0]
        with pytest.raises(RefusedError, match="one side has keys"):
            plain.receive()
        with pytest.raises(RefusedError, match="refuses this key"):
            stranger.receive()


def test_whoever_observes_is_cut_off_when_the_key_is_taken_away(context, folder, access):
    tap = Tap(context, TCP, access)
    theirs = {"keys": folder / "other", "server": folder / "run" / "own.public"}
    with TapReader(tap.address, **theirs) as reader, TapReader(tap.address, keys=folder / "run") as own:
        while sum(map(len, tap._topics.values())) < 4:
            tap.socket.poll(10_000)
            tap.attend()
        revoke(Keys(folder / "run"), "other")
        with pytest.raises(RefusedError, match="refuses this key"):
            reader.receive()
        tap.attend()
        assert [len(who) for who in tap._topics.values()] == [1, 1]
        tap.status(status(0))
        assert own.receive() is not None
        assert tap.refusals()["key"] == 1


def test_devices_push_with_a_key_only(unwatched, folder):
    with closing(Pull(TCP, 10, 1 << 20, Access(Keys(folder / "run")))) as pull:
        theirs = {"keys": folder / "other", "server": folder / "run" / "own.public", "timeout": 10.0}
        with Push(pull.address, "a", **theirs) as push:
            push([1.0])
            assert pull.socket.poll(10_000)
            assert pull.receive()
            revoke(Keys(folder / "run"), "other")
            push([2.0])
            assert pull.socket.poll(10_000)
            assert pull.receive() is None
        assert pull.receive() is None
        for keys, why in ((theirs, "refuses this key"), ({}, "one side has keys")):
            with pytest.raises(StreamError, match=why), Push(pull.address, "a", **keys) as push:
                push([1.0])
        assert pull.receive() is None
        refused = pull.refusals("devices: ")
        assert set(refused) == {"devices: key", "devices: handshake"}
        assert refused["devices: key"] >= 3


def test_labels_come_with_a_key_only(unwatched, context, folder, access):
    with closing(LateLabels(context, TCP, access)) as labels:
        send_label(labels.address, "a", {"word": "yes"}, segment="s", keys=Called(folder, "other"))
        assert labels.socket.poll(10_000)
        assert labels.receive() is None
        assert labels.counts() == {"labels that wait": 1}
        for keys, why in ((Called(folder, "stranger"), "refuses this key"), (None, "one side has keys")):
            with pytest.raises(StreamError, match=why):
                send_label(labels.address, "a", {"word": "no"}, segment="s", keys=keys)
        send = keyed_push(context, folder, labels.address)
        revoke(Keys(folder / "run"), "other")
        send()
        assert labels.socket.poll(10_000)
        assert labels.receive() is None
        assert labels.counts()["left out: labels with a key that is not allowed"] == 1


def keyed_push(context, folder, address):
    """Connect as `other`, and return what sends something then."""
    socket = context.socket(zmq.PUSH)
    Called(folder, "other").call(socket, address)
    with monitored(socket, zmq.EVENT_HANDSHAKE_SUCCEEDED) as there:
        socket.connect(address)
        assert there.poll(10_000)
    return lambda: socket.send(b"a label")


def test_where_nobody_answers_for_the_keys_nobody_gets_in(context, folder):
    bound = Bound(context.socket(zmq.ROUTER), TCP, Access(Keys(folder / "run")))
    with monitored(bound.socket, FAILED) as failed:
        keyed(context, folder, "r", bound.address, messages.Fetch("r", LOG, 0, 5))
        assert failed.poll(10_000)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "address", ["ipc:///run/a", "inproc://a", "tcp://127.0.0.1:5600", "tcp://127.9.9.9:*", "tcp://[::1]:1"]
)
def test_addresses_of_this_machine_need_no_keys(address):
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    [
        *("tcp://0.0.0.0:5600", "tcp://*:5600", "tcp://[::]:5600", "tcp://192.0.2.7:5600", "tcp://0:5600"),
        *("tcp://eth0:5600", "tcp://:5600", "tcp://5600", "udp://127.0.0.1:5600", "tipc://{1,2}", "ws://127.0.0.1:1"),
    ],
)
def test_others_are_refused_without_keys(context, address):
    assert not is_local(address)
    with closing(context.socket(zmq.PULL)) as socket, pytest.raises(RefusedError, match="others can reach it"):
        Bound(socket, address)


def test_a_name_counts_by_all_that_it_stands_for(monkeypatch):
    names = {"here": ["127.0.0.1", "::1"], "both": ["127.0.0.1", "192.0.2.7"], "there": ["192.0.2.7"]}

    def found(host, *arguments, **options):
        if host not in names:
            raise OSError("not known")
        return [(0, 0, 0, "", (one, 0)) for one in names[host]]

    monkeypatch.setattr(sockets, "getaddrinfo", found)
    assert [is_local(f"tcp://{name}:5600") for name in ("here", "both", "there", "nowhere")] == [True] + 3 * [False]


def test_without_keys_a_configuration_can_say_that_everyone_may_come(context, caplog):
    with closing(Bound(context.socket(zmq.PULL), "tcp://0.0.0.0:*", Access(insecure=True))) as bound:
        assert bound.keys is None
    assert "tcp://0.0.0.0:* has no keys: whoever reaches it gets in" in caplog.text


# ---------------------------------------------------------------- folders


def test_a_folder_of_keys_is_its_users_alone(pairs):
    modes = {path.name: path.stat().st_mode & 0o777 for path in (pairs / "run").rglob("*")}
    assert (pairs / "run").stat().st_mode & 0o777 == 0o700
    assert modes == {
        "own.public": 0o600,
        "own.secret": 0o600,
        "allowed": 0o700,
        "r.public": 0o600,
        "other.public": 0o600,
    }


@pytest.mark.parametrize(("name", "mode"), [("", 0o750), ("", 0o701), ("own.secret", 0o640), ("own.secret", 0o604)])
def test_keys_that_others_can_read_are_refused(folder, name, mode):
    (folder / "run" / name).chmod(mode)
    with pytest.raises(KeysError, match=rf"others can read it \(mode {mode:o}.*accepted is mode [67]00"):
        Keys(folder / "run")


def test_what_is_no_folder_of_keys_is_named(folder, tmp_path):
    with pytest.raises(KeysError, match="nowhere: not a folder of keys"):
        Keys(tmp_path / "nowhere")
    (folder / "run" / "own.secret").write_text('public-key = "short"\nsecret-key = "short"\n')
    with pytest.raises(KeysError, match=r"own\.secret: no certificate with a key"):
        Keys(folder / "run")
    shutil.copy(folder / "r" / "own.public", folder / "r" / "own.secret")
    with pytest.raises(KeysError, match=r"own\.secret: no secret key"):
        Keys(folder / "r")
    with pytest.raises(KeysError, match="has a pair of keys already"):
        new(folder / "other")
    with pytest.raises(KeysError, match="the key of a server alone"):
        TapReader("ipc://a", server=folder / "other" / "own.public")


def test_a_damaged_key_among_those_that_are_allowed_is_passed_over(folder, caplog):
    for name, text in (("b", "noise"), ("c", 'public-key = "#####' + 35 * "#" + '"'), ("d", "x" * 10_000)):
        (folder / "run" / "allowed" / f"{name}.public").write_text(text)
    (folder / "run" / "allowed" / "no name.public").write_text("")
    assert list(Keys(folder / "run").allowed()) == ["other", "r"]
    assert caplog.text.count("passed over") == 3


@pytest.mark.parametrize(
    ("name", "place", "why"),
    [
        ("r", "stranger", "'r' is allowed already"),
        ("third", "other", "'other' is allowed already"),
        ("../r", "stranger", "name '../r'; accepted are a letter"),
        ("third", "run", "that is the key of .* itself"),
        ("third", "nobody", "no certificate with a key"),
    ],
)
def test_who_cannot_be_allowed(folder, name, place, why):
    with pytest.raises(KeysError, match=why):
        allow(Keys(folder / "run"), folder / place / "own.public", name)


def test_whoever_is_not_there_cannot_be_revoked(folder):
    with pytest.raises(KeysError, match="no key is called 'x'; there are other, r"):
        revoke(Keys(folder / "run"), "x")
