"""The coordinator as a process: members over sockets, and kills at any moment."""

import select
import signal
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest
import tomli_w
import zmq
from helpers.mixtures import mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.configuration.load import convert
from stream_infomax.fleet.archive import Archive
from stream_infomax.fleet.coordinator import Coordinator
from stream_infomax.fleet.coordinator_process import opened, published
from stream_infomax.fleet.layout import shards
from stream_infomax.learning.infomax.exchange import Shared
from stream_infomax.run.folder import RunFolder
from stream_infomax.transport.rounds import Member
from stream_infomax.transport.sockets import RefusedError

ROWS, _ = mixed_sources(4_000, 4)
NAMES = ("00", "01")
PATIENCE = 20


@pytest.fixture
def fleet(tmp_path):
    """The configuration of a fleet of two shards with data."""
    for name in "abcdefgh":
        np.save(tmp_path / f"{name}.npy", ROWS[:20])
    config = {
        "run": {"folder": str(tmp_path / "run")},
        "source": {"kind": "table", "path": str(tmp_path)},
        "stage": [{"kind": "learner", "name": "learner"}],
        "fleet": {"workers": 2, "shards": 2},
    }
    (tmp_path / "fleet.toml").write_text(tomli_w.dumps(config))
    assert [one.name for one in shards(convert(config))] == list(NAMES)
    return tmp_path


class Process:
    """A coordinator; it is ready once made."""

    def __init__(self, folder):
        command = [sys.executable, "-P", "-m", "stream_infomax.fleet.coordinator_process"]
        self.child = subprocess.Popen(
            [*command, "--config", str(folder / "fleet.toml")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = self.child.stdout.readline()

    def end(self, number):
        self.child.send_signal(number)
        return self.gone()

    def gone(self):
        out, self.words = self.child.communicate(timeout=PATIENCE)
        self.said += out
        return self.child.returncode


@contextmanager
def coordinator(folder):
    process = Process(folder)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


def answer(members):
    """What each member gets, by name; meanwhile they repeat what they want."""
    got = {}
    while len(got) < len(members):
        for name, member in members.items():
            if name not in got and (found := member.poll()) is not None:
                got[name] = found
        if len(got) < len(members):
            waiting = [member for name, member in members.items() if name not in got]
            files = [one.getsockopt(zmq.FD) for member in waiting for one in member.sockets]
            select.select(files, [], [], min(member.due() for member in waiting))
    return got


def learn(folder, kills=()):
    """The digests of all rounds, where the coordinator is killed and started again at some moments."""
    run = folder / "run"
    address = run / "rounds.address"
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        process = stack.enter_context(coordinator(folder))
        members = {
            name: stack.enter_context(
                closing(Member(context, lambda: address.read_text().strip() if address.exists() else "", name))
            )
            for name in NAMES
        }

        def perhaps_killed(moment):
            nonlocal process
            if moment in kills:
                assert process.end(signal.SIGKILL) == -signal.SIGKILL
                process = stack.enter_context(coordinator(folder))

        learners = {name: OnlineInfomax() for name in NAMES}
        members["00"].hand_in("share", 0, learners["00"].partial_fit(ROWS[:500]).share(2).to_bytes())
        members["01"].ask(0)
        perhaps_killed("share")
        got = answer(members)
        for number in range(3):
            for at, (name, learner) in enumerate(learners.items()):
                first = 500 + 300 * (2 * number + at)
                learner.take(Shared.from_bytes(got[name].payload, "shared")).partial_fit(ROWS[first : first + 300])
            for name in NAMES:
                members[name].hand_in("delta", number, learners[name].delta(name).to_bytes(), last=number == 2)
                perhaps_killed((number, name))
            got = answer(members)
            perhaps_killed((number, "answered"))
        for shard in shards(convert_of(folder)):  # as a worker does at its end
            place = RunFolder(run / "shards" / shard.name)
            with place.lock():
                place.open(shard.config, in_process=True, fresh=False)
                place.finish({})
        assert process.gone() == 0
        assert process.said.endswith("FINISHED coordinator\n")
    assert (run / "basis.safetensors").read_bytes() == got["00"].payload == got["01"].payload
    return [line.digest for line in Archive(run).lines]


def convert_of(folder):
    from stream_infomax.configuration.load import load

    return load(folder / "fleet.toml")


def test_killed_at_any_moment_it_leads_to_the_same_bits(fleet):
    alone = learn(fleet)
    (fleet / "run").rename(fleet / "run-before")
    assert len(alone) == 4
    assert learn(fleet, {(0, "00"), (1, "answered")}) == alone


def test_a_second_process_is_refused_and_a_signal_ends_the_first(fleet):
    with coordinator(fleet) as first, coordinator(fleet) as second:
        assert first.said.startswith("READY coordinator ipc://")
        assert second.gone() == 2
        assert f"has a coordinator, process {first.child.pid}" in second.words
        assert first.end(signal.SIGTERM) == 0


def test_over_sockets_a_bad_delta_ends_its_member_by_name_and_others_go_on(tmp_path):
    coordinator = Coordinator(Archive(tmp_path), NAMES)
    with opened(coordinator, f"ipc://{tmp_path}/socket") as desk, zmq.Context() as context:
        members = {name: Member(context, lambda: desk.address, name) for name in NAMES}
        with ExitStack() as stack:
            for member in members.values():
                stack.enter_context(closing(member))
            members["01"].hand_in("delta", 0, b"no delta")
            with pytest.raises(RefusedError, match="refuses '01': delta of 01: of round 0; the newest is -1"):
                served(desk, members["01"])
            learner = OnlineInfomax().partial_fit(ROWS[:500])
            members["00"].hand_in("share", 0, learner.share(2).to_bytes())
            assert served(desk, members["00"]).number == 0
            assert desk.rendezvous.refused == {"round": 1}


def served(desk, member):
    while (got := member.poll()) is None:
        desk.rendezvous.socket.poll(10)
        desk.turn()
        member.sockets[0].poll(10)
    return got


def test_an_address_of_all_interfaces_is_published_as_one_that_leads_here():
    assert published("ipc:///x") == "ipc:///x"
    assert published("tcp://127.0.0.1:5700") == "tcp://127.0.0.1:5700"
    assert published("tcp://0.0.0.0:5700").endswith(":5700")
    assert "0.0.0.0" not in published("tcp://0.0.0.0:5700")
