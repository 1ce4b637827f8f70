"""The ledger: it balances through gaps, bad rows, full logs and deaths, and says where it does not."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.ledgers import check_balanced, saved_ledgers
from helpers.stepping import step
from helpers.toys import Counting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from stream_infomax.frames.contracts import Pipeline, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import MOST, OTHERS, Account, Balance, Ledger, totals
from stream_infomax.service.loop import Loop
from stream_infomax.service.process import FromLog, FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.sources.audio import AudioSource
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.windows import WindowsStage
from stream_infomax.transport.log import OutputLog, Policy

N_FRAMES, LOG_FRAMES = 60, 6


class Uneven(Counting):
    """Two streams of signals that take turns at random, in segments of several lengths, with holes in them."""

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for offset in range(start, self.n_frames):
            random = np.random.default_rng([self.seed, offset])
            rows = random.laplace(size=(int(random.integers(0, 90)), 1)).astype(np.float32)
            rows[random.random(len(rows)) < 0.02] = np.nan
            yield Frame(
                stream=str(random.integers(2)),
                offset=offset,
                segment=str(offset // 7),
                arrays={"source": Array(rows, ("time", "channel"))} if random.random() < 0.9 else {},
                last=bool(random.random() < 0.2),
                end=bool(random.random() < 0.05),
                rate=1000.0,
            )


def stages(share: str) -> Pipeline:
    windows = WindowsStage("windows", "source", form="waveform", length=8, hop=4)
    return Pipeline([windows, LearnerStage("learner", "windows", block=16, warmup=80, share=share)])


class Chain:
    """A source and a stage with a recorder, in one process; either may die at any moment."""

    def __init__(self, folder: Path, policy: Policy, seed: int, share: str) -> None:
        self.folder, self.policy, self.share = folder, policy, share
        self.source_ = Uneven(N_FRAMES, seed)
        self.lives = {name: ExitStack() for name in ("source", "stage")}
        self.source, self.stage = self.live("source"), self.live("stage")

    def live(self, name: str) -> Loop:
        """Begin a life of one of the two."""
        stack = self.lives[name] = ExitStack()
        signals = stack.enter_context(closing(Signals()))
        service = Service(
            name=name,
            outlet=f"ipc://{self.folder}/outlet" if name == "source" else "",
            tap=f"ipc://{self.folder}/{name}.tap",
            folder=self.folder / name,
            readers=("stage",),
            policy=self.policy,
            log_frames=LOG_FRAMES,
            checkpoint_every=5,
        )
        if name == "source":
            return stack.enter_context(opened(service, FromSource(self.source_), Pipeline([]), (), signals))
        sink = FrameStore(self.folder / "recorder")
        upstream = FromLog(f"ipc://{self.folder}/outlet")
        return stack.enter_context(opened(service, upstream, stages(self.share), [sink], signals))

    def die(self, name: str) -> None:
        """End a life without saving, and begin the next."""
        self.lives[name].close()
        setattr(self, name, self.live(name))

    def work(self, source: int, stage: int) -> None:
        step(self.source, source)
        step(self.stage, stage)

    def check(self) -> None:
        for loop in (self.source, self.stage):
            check_balanced(loop.ledger.balances())

    def end(self) -> None:
        while not (self.stage.finished and self.source.done()):
            self.work(1, 2)


@contextmanager
def chained(folder: Path, policy: Policy, seed: int, share: str) -> Iterator[Chain]:
    made = Chain(folder, policy, seed, share)
    try:
        yield made
    finally:
        for stack in made.lives.values():
            stack.close()


DEEDS = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 12), st.integers(0, 12)),
    st.tuples(st.just("die"), st.sampled_from(["source", "stage"]), st.just(0)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deeds=st.lists(DEEDS, max_size=12),
    policy=st.sampled_from(["wait", "drop-oldest"]),
    seed=st.integers(0, 99),
    share=st.sampled_from(["all", "stream"]),
)
def test_it_balances_whatever_happens(
    deeds: list[tuple[str, object, int]],
    policy: Policy,
    seed: int,
    share: str,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    folder = tmp_path_factory.mktemp("ledger")
    with chained(folder, policy, seed, share) as chain:
        for deed, one, other in deeds:
            chain.work(int(str(one)), other) if deed == "work" else chain.die(str(one))
            chain.check()
        chain.end()
        chain.check()
        stage = {balance.part + balance.place: balance for balance in chain.stage.ledger.balances()}
        # Every frame of the source came to the stage, or is known to be lost.
        frames = stage["inputstage"]
        assert sum(frames.accepted.values()) + chain.stage.feed.lost["gone"] == N_FRAMES
        if policy == "wait":
            assert not chain.stage.feed.lost
            assert {stream: n for stream, n in frames.accepted.items() if n} == {
                stream: sum(frame.stream == stream for frame in chain.source_.frames()) for stream in ("0", "1")
            }
        assert sum(stage["stagelearner"].in_flight.values()) < 16 * (1 if share == "all" else 20)
    for ledger in saved_ledgers(folder):
        check_balanced(ledger)


def test_a_log_that_is_set_back_and_one_that_is_full_account_for_every_frame() -> None:
    for policy in ("wait", "drop-oldest"):
        log = OutputLog(["a", "b"], max_frames=4, policy=policy, name="log")
        for offset in range(4 if policy == "wait" else 9):
            log.account.accept("x")
            log.append(offset, [b"x"], stream="x")
        log.commit("a", 6)
        log.commit("b", log.newest - 1)
        log.rewind(2)
        log.account.accept("y")
        log.append(2, [b"x"], stream="y")
        balance = log.account.balance(log.in_flight())
        check_balanced([balance])
        assert balance.in_flight == {"y": 1}
        assert totals(balance.aside) == {"to be read again": 1 if policy == "wait" else 2}
        assert totals(balance.dropped) == ({} if policy == "wait" else {"log full": 5})


def test_what_is_counted_nowhere_shows_and_so_does_what_is_counted_twice() -> None:
    account = Account("a", "stage")
    account.accept("x", 3)
    account.process("x", 2)
    assert account.balance({}).off == {"x": 1}
    account.drop("x", "gone", 2)
    assert account.balance({}).off == {"x": -1}
    again = Account("a", "stage")
    again.restore(account.balance({"x": 5}))
    assert again.balance({}) == account.balance({})


def test_streams_beyond_what_is_counted_one_by_one_are_counted_together() -> None:
    account = Account("a", "stage")
    for number in range(MOST + 10):
        account.accept(str(number), number)
        account.process(str(number), number)
    balance = account.balance({})
    check_balanced([balance])
    assert len(balance.accepted) == MOST + 1
    assert balance.accepted[OTHERS] == sum(range(MOST, MOST + 10))
    few = balance.folded(3)
    check_balanced([few])
    assert sorted(few.accepted) == [OTHERS, str(MOST - 2), str(MOST - 1)]
    assert sum(few.accepted.values()) == sum(range(MOST + 10))


def test_what_a_state_of_another_run_holds_is_accepted_where_an_account_begins() -> None:
    stage = WindowsStage("windows", "x", form="waveform", length=8, hop=4)
    rows = Array(np.zeros((5, 1), np.float32), ("time", "channel"))
    stage.process(Frame("s", 0, arrays={"x": rows}, rate=1.0))
    taken_over = WindowsStage("windows", "x", form="waveform", length=8, hop=4)
    taken_over.restore(stage.state())
    ledger = Ledger("service", [taken_over], [])
    ledger.restore([])
    ledger.begin()
    (_, balance) = ledger.balances()
    assert balance.accepted == balance.in_flight == {"s": 5}


class Folder:
    """Recordings of ten frames each, and what a run over them has lost."""

    def __init__(self, path: Path) -> None:
        self.path = path / "recordings"
        self.path.mkdir()
        for number in range(3):
            wavfile.write(self.path / f"{number}.wav", 1000, np.full(200, 1000 * number + 1000, np.int16))
        self.source = AudioSource(self.path)

    def run(self, folder: Path) -> State:
        service = Service(name="whole", outlet="", tap=f"ipc://{folder}/tap", folder=folder / "whole")
        with closing(Signals()) as signals:
            store = FrameStore(folder / "store")
            with opened(service, FromSource(self.source), Pipeline([]), [store], signals) as loop:
                assert loop.run()
                return dict(loop.feed.lost)


@pytest.mark.parametrize("fate", ["deleted", "cut", "changed"])
def test_a_recording_that_is_not_what_it_was_counts_as_lost(fate: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    path = folder.path / "1.wav"
    if fate == "deleted":
        path.unlink()
    elif fate == "cut":
        about = path.stat()
        path.write_bytes(path.read_bytes()[:-200])
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    else:
        wavfile.write(path, 1000, np.zeros(200, np.int16))
        os.utime(path, ns=(1, 1))
    reason = {"deleted": "files that are gone"}.get(fate, "files that have changed")
    assert folder.run(tmp_path) == {reason: 10}


def test_frames_that_are_read_again_are_not_lost_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (folder.path / "0.wav").unlink()
    service = Service(name="s", outlet=f"ipc://{tmp_path}/o", tap=f"ipc://{tmp_path}/t", folder=tmp_path / "s")
    with closing(Signals()) as signals, opened(service, FromSource(folder.source), Pipeline([]), (), signals) as loop:
        step(loop, 5)
        loop.rewind(2)
        step(loop, 30)
        assert loop.feed.lost == {"files that are gone": 10}
        check_balanced(loop.ledger.balances())


def test_a_balance_is_sent_and_kept_as_it_is() -> None:
    account = Account("a", "log", "frames")
    account.accept("\x1b[31m\n", 2)
    account.set_aside("\x1b[31m\n", "why", 2)
    balance = account.balance({})
    assert msgspec.convert(msgspec.to_builtins(balance), Balance) == balance
