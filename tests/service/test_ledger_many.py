"""The ledger: it balances through gaps, bad rows, full logs and deaths, and says where it does not."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.ledgers import check_balanced, saved_ledgers
from helpers.stepping import step
from helpers.toys import Counting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service.loop import Loop
from stream_infomax.service.process import FromLog, FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.windows import WindowsStage
from stream_infomax.transport.log import Policy

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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
