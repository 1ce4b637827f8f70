"""Streams: what a stage remembers is forgotten exactly where the next rows do not continue those before."""

import numpy as np
import pytest

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams, incoming, is_unsettled


class Diary:
    """A memory that writes down what it is told."""

    def __init__(self):
        self.entries = []

    def interrupt(self):
        self.entries.append("interrupt")

    def reset(self):
        self.entries.append("reset")

    def state(self):
        return {"entries": list(self.entries)}

    def restore(self, state):
        if "torn" in state["entries"]:
            raise ValueError("entries: torn")
        self.entries = list(state["entries"])


def frame(offset, stream="a", segment="a0", **changes):
    return Frame(stream, offset, segment, **changes)


def told(*frames, streams=None):
    """Return what the memories of all streams are told, the newest of each stream."""
    streams = Streams() if streams is None else streams
    diaries = {}
    for each in frames:
        streams.follow(each)
        memory = streams.enter(each, Diary)
        memory.entries.append(each.offset)
        diaries[each.stream] = memory
        streams.leave(each)
    return {stream: memory.entries for stream, memory in diaries.items()}, streams.counts


NOTHING = {"gaps": 0, "unfinished": 0, "new_encoder": 0}


def test_rows_that_follow_go_on():
    assert told(frame(0), frame(1), frame(2, last=True)) == ({"a": [0, 1, 2, "reset"]}, NOTHING)


def test_a_lost_frame_interrupts_the_open_segments_of_all_streams():
    entries, counts = told(frame(0), frame(1, "b", "b0"), frame(2, "c", "c0", last=True), frame(5), frame(6, "b", "b0"))
    assert entries == {"a": [0, "interrupt", 5], "b": [1, "interrupt", 6], "c": [2, "reset"]}
    assert counts == {**NOTHING, "gaps": 1}


@pytest.mark.parametrize("offsets", [(4, 4), (4, 2), (4, 6)])
def test_any_offset_that_does_not_follow_is_a_gap(offsets):
    assert told(*map(frame, offsets))[1]["gaps"] == 1


@pytest.mark.parametrize("offsets", [(-1, 5), (5, -1), (-1, -1), (7, 8)])
def test_frames_without_an_offset_are_taken_to_follow(offsets):
    assert told(*map(frame, offsets))[1] == NOTHING


def test_a_segment_that_its_successor_cuts_off_is_interrupted_and_begins_again():
    entries, counts = told(frame(0), frame(1, segment="a1"), frame(2, segment="a1"))
    assert entries == {"a": [0, "interrupt", "reset", 1, 2]}
    assert counts == {**NOTHING, "unfinished": 1}


def test_a_segment_after_one_that_has_ended_is_no_loss():
    entries, counts = told(frame(0, last=True), frame(1, segment="a1"))
    assert entries == {"a": [0, "reset", 1]}
    assert counts == NOTHING


def test_another_encoder_interrupts():
    entries, counts = told(frame(0, encoder="x"), frame(1, encoder="y"), frame(2, encoder="y"))
    assert entries == {"a": [0, "interrupt", 1, 2]}
    assert counts == {**NOTHING, "new_encoder": 1}
    entries, counts = told(frame(0, encoder="x", last=True), frame(1, segment="a1", encoder="y"))
    assert entries == {"a": [0, "reset", 1]}
    assert counts == {**NOTHING, "new_encoder": 1}


def test_streams_have_encoders_of_their_own():
    frames = [frame(n, "ab"[n % 2], "0", encoder="xy"[n % 2]) for n in range(6)]
    assert told(*frames) == ({"a": [0, 2, 4], "b": [1, 3, 5]}, NOTHING)


def test_a_stream_that_has_ended_is_forgotten():
    streams = Streams()
    told(frame(0), frame(1, last=True, end=True), streams=streams)
    assert streams.state()["streams"] == {}
    assert told(frame(2), streams=streams)[0] == {"a": [2]}


def test_the_state_goes_on_and_is_a_copy():
    first, second = Streams(), Streams()
    told(frame(0, encoder="x"), frame(1, "b", "b0"), frame(2, "b", "b0", last=True), streams=first)
    saved = first.state()
    told(frame(3, encoder="y"), streams=first)
    second.restore(saved, Diary)
    entries, counts = told(frame(5, encoder="x"), frame(6, "b", "b1"), streams=second)
    assert entries == {"a": [0, "interrupt", 5], "b": [1, 2, "reset", 6]}
    assert counts == {**NOTHING, "gaps": 1}


def test_a_memory_that_refuses_its_state_is_named():
    streams = Streams()
    told(frame(0), streams=streams)
    saved = streams.state()
    saved["streams"]["a"]["memory"]["entries"].append("torn")
    with pytest.raises(ValueError, match=r"^streams\.a\.entries: torn"):
        streams.restore(saved, Diary)
    told(frame(1), streams=streams)


def test_the_array_that_a_stage_reads():
    x = Array(np.zeros((2, 3), np.float32), ("time", "component"))
    assert incoming(frame(0, arrays={"x": x}), "x", "s") is x
    assert incoming(frame(0, labels={"digit": "3"}), "x", "s") is None
    with pytest.raises(ValueError, match=r"stage 's' reads 'x', .* offset 4 has \['y'\]; .*`carry`"):
        incoming(frame(4, arrays={"y": x}), "x", "s")
    assert not is_unsettled(x)
    assert is_unsettled(Array(np.zeros((2, 0), np.float32), ("time", "component")))
