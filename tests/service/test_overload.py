"""A device that gives more than a stage takes: counted in frames, whatever the clock says."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers.faults import fault
from helpers.stepping import step

from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.ledger import Balance
from stream_infomax.service.loop import Loop
from stream_infomax.service.process import FromLog, FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.sources.devices import DevicesSource
from stream_infomax.transport.inlet import CREDIT
from stream_infomax.transport.push import Push, StreamError

LOG_FRAMES, QUEUE, TIMES, N_FRAMES = 50, 8, 5, 300
ROWS = np.ones((4, 2), np.float32)


class Chain(NamedTuple):
    """A device, a source and a stage that reads it, in one process."""

    push: Push
    source: Loop
    stage: Loop

    def give(self) -> bool:
        """Send a message; return whether there was room for it."""
        try:
            self.push(ROWS)
        except StreamError:
            return False
        return True

    def work(self, times: int) -> int:
        """Let the source take so many frames if they are there, and the stage one; return how old that one is."""
        step(self.source, times)
        before = self.stage.newest
        step(self.stage)
        while self.stage.newest == before < self.source.newest:  # it is on its way
            self.source.attend()
            step(self.stage)
        return self.source.newest - self.stage.newest

    def end(self) -> None:
        """Let the device end, and the others come to their end."""
        while not self._told_of_the_end():
            self.work(TIMES)
        while not (self.stage.finished and self.source.done()):
            self.work(TIMES)
        self.push._timeout = 10.0  # it may wait now

    def _told_of_the_end(self) -> bool:
        try:
            self.push.end()
        except StreamError:
            return False
        return True

    def balances(self) -> list[Balance]:
        """Return what became of all frames, which is to balance."""
        found = [*self.source.ledger.balances(), *self.stage.ledger.balances()]
        assert not [balance for balance in found if balance.off]
        return found

    @property
    def held(self) -> int:
        return max(sink.held().frames for sink in self.source.sinks)


@pytest.fixture
def chain(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chain]:
    device, log = f"ipc://{tmp_path}/devices", f"ipc://{tmp_path}/outlet"

    def service(name: str, outlet: str, *readers: str) -> Service:
        return Service(
            name=name,
            outlet=outlet,
            tap=f"ipc://{tmp_path}/{name}.tap",
            folder=tmp_path / name,
            readers=readers,
            policy=request.param,
            log_frames=LOG_FRAMES,
            checkpoint_every=20,
        )

    with ExitStack() as stack:
        signals = stack.enter_context(closing(Signals()))
        live = FromSource(DevicesSource(bind=device, rate=100.0, queue=QUEUE, ends=True))
        source = stack.enter_context(opened(service("source", log, "stage"), live, Pipeline([]), (), signals))
        push = stack.enter_context(Push(device, "a", rate=100.0, queue=QUEUE, timeout=0.01))
        reader = opened(service("stage", "", ""), FromLog(log), Pipeline([]), (), signals)
        made = Chain(push, source, stack.enter_context(reader))
        assert made.give()
        while made.stage.newest < 0:  # all are connected
            made.source.turn()
            made.source.attend()
            made.stage.turn()
        yield made


@fault("slowed")
@pytest.mark.parametrize("chain", ["wait"], indirect=True)
def test_in_wait_the_device_is_slowed_and_nothing_is_lost(chain: Chain) -> None:
    refused = 0
    while refused < 20:
        refused += not all(chain.give() for _ in range(TIMES))
        chain.work(TIMES)
        assert chain.held <= LOG_FRAMES
    chain.end()
    assert chain.stage.newest + 1 == chain.push.count
    assert not chain.stage.feed.lost
    assert not chain.source.feed.lost
    assert not [balance for balance in chain.balances() if balance.dropped]


@fault("overload")
@pytest.mark.parametrize("chain", ["drop-oldest"], indirect=True)
def test_in_drop_oldest_the_newest_output_is_of_a_bounded_age_and_the_loss_is_counted(chain: Chain) -> None:
    ages, processed = [], chain.stage.meter.frames
    while chain.stage.meter.frames < processed + N_FRAMES:
        for _ in range(TIMES):
            while not chain.give():
                chain.source.advance()
        ages.append(chain.work(TIMES + 1))
        assert chain.held <= LOG_FRAMES
    # What the log holds, and what is on its way to the stage, which as many follow as come while the stage takes them.
    assert LOG_FRAMES < max(ages) <= LOG_FRAMES + (TIMES + 1) * CREDIT
    lost = chain.stage.feed.lost["gone"]
    assert lost > N_FRAMES
    while chain.work(TIMES):  # the load is over
        pass
    chain.end()
    assert chain.stage.newest + 1 == chain.push.count
    assert chain.stage.meter.frames + chain.stage.feed.lost["gone"] == chain.push.count
    assert not chain.source.feed.lost
    (log,) = [balance for balance in chain.balances() if balance.dropped]
    assert (log.place, log.part) == ("source", "log")
    assert (
        sum(log.dropped["log full"].values()) == chain.stage.feed.lost["gone"] == chain.source.sinks[0].held().dropped
    )
