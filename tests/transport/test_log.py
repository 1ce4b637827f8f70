"""The log: bounded, nothing lost that a reader still needs, and what is lost is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream_infomax.transport.log import OutputLog, pack, unpack

MAX_FRAMES = 5
MAX_BYTES = 100


def kept(log):
    """Return the offsets in the log by reading it as a reader does."""
    found = []
    entry = log.at_or_after(0)
    while entry is not None:
        found.append(entry.offset)
        entry = log.at_or_after(entry.offset + 1)
    return found


class LogMachine(RuleBasedStateMachine):
    """Any order of appends and commits, beside a list that never forgets."""

    policy = "wait"

    def __init__(self):
        super().__init__()
        self.log = OutputLog(("a", "b"), max_frames=MAX_FRAMES, max_bytes=MAX_BYTES, policy=self.policy)
        self.sizes = {}
        self.committed = {"a": -1, "b": -1}

    @precondition(lambda self: not self.log.full)
    @rule(step=st.integers(1, 3), size=st.integers(0, 150))
    def append(self, step, size):
        offset = self.log.newest + step
        self.log.append(offset, [b"x" * size, b"y"], origin=float(offset))
        self.sizes[offset] = size + 1

    @precondition(lambda self: self.log.full)
    @rule()
    def append_to_a_full_log(self):
        with pytest.raises(ValueError, match="full"):
            self.log.append(self.log.newest + 1, [b"z"])

    @rule(reader=st.sampled_from("ab"), ahead=st.integers(-3, 4))
    def commit(self, reader, ahead):
        offset = min(self.committed[reader] + ahead, self.log.newest)
        self.log.commit(reader, offset)
        self.committed[reader] = max(self.committed[reader], offset)

    @rule()
    def save_and_restore(self):
        state = self.log.state()
        dropped = self.log.dropped
        self.log = OutputLog(("a", "b"), max_frames=MAX_FRAMES, max_bytes=MAX_BYTES, policy=self.policy)
        self.log.restore(state)
        self.log.dropped = dropped

    @invariant()
    def holds_what_a_reader_needs(self):
        lowest = min(self.committed.values())
        needed = [offset for offset in self.sizes if offset > lowest]
        offsets = kept(self.log)
        if self.policy == "wait":
            assert offsets == needed
        else:
            assert offsets == needed[len(needed) - len(offsets) :]
            assert not needed or offsets  # the newest is never dropped
        assert len(self.log) == len(offsets)

    @invariant()
    def is_bounded(self):
        offsets = kept(self.log)
        sizes = [self.sizes[offset] for offset in offsets]
        assert self.log.n_bytes == sum(sizes)
        assert len(self.log) <= MAX_FRAMES
        if self.policy == "wait":
            assert sum(sizes[:-1]) < MAX_BYTES  # only the frame that crosses the bound is beyond it
        else:
            assert sum(sizes) <= MAX_BYTES or len(sizes) == 1

    @invariant()
    def knows_its_readers(self):
        assert self.log.committed == self.committed

    @invariant()
    def finds_every_offset(self):
        offsets = kept(self.log)
        for wanted in range(max(self.log.newest + 2, 1)):
            entry = self.log.at_or_after(wanted)
            following = [offset for offset in offsets if offset >= wanted]
            assert (entry.offset if entry else None) == (following[0] if following else None)


class DroppingMachine(LogMachine):
    """The same where the oldest frames give way."""

    policy = "drop-oldest"

    @invariant()
    def is_never_full(self):
        assert not self.log.full


TestWait = LogMachine.TestCase
TestDropOldest = DroppingMachine.TestCase


def test_without_readers_nothing_is_kept():
    log = OutputLog(max_frames=1)
    for offset in range(5):
        log.append(offset, [b"x"])
    assert (len(log), log.n_bytes, log.newest, log.full) == (0, 0, 4, False)
    log.finish(4)
    assert log.drained


def test_a_frame_larger_than_the_bound_passes_alone():
    log = OutputLog(("a",), max_bytes=10)
    log.append(0, [b"x" * 1000])
    assert log.full
    log.commit("a", 0)
    assert not log.full
    log.append(1, [b"x"])
    assert kept(log) == [1]


def test_drop_oldest_counts_what_it_drops():
    log = OutputLog(("a",), max_frames=2, policy="drop-oldest")
    for offset in range(5):
        log.append(offset, [b"x"])
    log.commit("a", 3)
    log.append(5, [b"x"])
    assert (kept(log), log.dropped) == ([4, 5], 3)


def test_offsets_grow():
    log = OutputLog(("a",))
    log.append(3, [b"x"])
    with pytest.raises(ValueError, match="offset 3 follows 3"):
        log.append(3, [b"x"])


def test_a_reader_that_is_further_needs_nothing_computed_again():
    log = OutputLog(("a",))
    log.commit("a", 1)
    for offset in range(4):
        log.append(offset, [b"x"])
    assert kept(log) == [2, 3]


def test_the_end_counts_offsets_without_a_frame():
    log = OutputLog(("a",))
    log.append(0, [b"x"])
    log.finish(2)
    log.commit("a", 0)
    assert not log.drained
    log.commit("a", 2)
    assert log.drained


def test_rewind_forgets_commits_beyond():
    log = OutputLog(("a", "b"))
    for offset in range(4):
        log.append(offset, [b"x"])
    log.commit("a", 3)
    log.commit("b", 0)
    log.finish(3)
    log.rewind(2)
    assert (log.newest, log.finished, dict(log.committed)) == (1, False, {"a": 1, "b": 0})
    log.append(2, [b"x"])
    assert kept(log) == [2]


def test_unknown_readers_and_bounds_are_refused():
    with pytest.raises(KeyError):
        OutputLog(("a",)).commit("b", 0)
    with pytest.raises(ValueError, match="0 and 5"):
        OutputLog(max_frames=0, max_bytes=5)
    with pytest.raises(ValueError, match="newest-first"):
        OutputLog(policy="newest-first")


def test_a_checkpoint_of_other_readers():
    log = OutputLog(("a", "b"))
    for offset in range(3):
        log.append(offset, [b"x", bytes([offset])])
    log.commit("a", 1)
    log.commit("b", 0)
    other = OutputLog(("a", "c"))
    other.restore(log.state())
    assert (dict(other.committed), kept(other), other.newest) == ({"a": 1, "c": -1}, [1, 2], 2)
    assert other.at_or_after(2).parts == [b"x", b"\2"]


@given(st.lists(st.tuples(st.integers(0, 2**62), st.lists(st.binary(max_size=20), max_size=4)), max_size=5))
def test_pack_and_unpack(frames):
    packed = pack(frames)
    assert unpack(packed) == frames
    assert all(isinstance(value, np.ndarray) for value in packed.values())
