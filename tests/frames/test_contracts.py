"""Pipeline: stages in a row are a stage, and the same numbers come out however often they stop in between."""

import numpy as np
import pytest
from helpers.toys import Counting, Summing

from stream_infomax.frames.command import Command
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Frame
from stream_infomax.state.file import load, save


def chain():
    return Pipeline([Summing("a"), Summing("b", input="a")])


def outputs(frames):
    return np.concatenate([frame.arrays["b"].data for frame in frames])


def test_a_frame_in_is_a_frame_out():
    frames = list(chain()(Counting(20).frames()))
    assert [frame.offset for frame in frames] == list(range(20))
    assert [list(frame.arrays) for frame in frames] == [["b"]] * 20
    assert list(Pipeline([])([Frame(stream="x", offset=3)])) == [Frame(stream="x", offset=3)]


@pytest.mark.parametrize("cut", [0, 1, 13, 20])
def test_state_and_position_together_make_the_same_bits(tmp_path, cut):
    whole = outputs(chain()(Counting(20).frames()))
    first = chain()
    before = list(first(frame for frame in Counting(cut).frames()))
    save(tmp_path / "c.safetensors", first.state())
    second = chain()
    second.restore(load(tmp_path / "c.safetensors"))
    after = list(second(Counting(20).frames(start=cut)))
    assert outputs([*before, *after]).tobytes() == whole.tobytes()


def test_counts_are_told_apart_by_stage():
    assert chain().counts() == {"a": {"norm": 0.0}, "b": {"norm": 0.0}}
    assert chain().measures() == []


def test_states_of_other_stages_are_refused():
    with pytest.raises(ValueError, match=r"\['a'\].*\['a', 'b'\]"):
        chain().restore(Pipeline([Summing("a")]).state())


def test_stages_need_different_names():
    with pytest.raises(ValueError, match=r"\['a', 'a'\]"):
        Pipeline([Summing("a"), Summing("a")])


class Steerable(Summing):
    actions = frozenset({"pause", "undo"})

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.told = []

    def command(self, command, basis):
        self.told.append((command.action, basis))


def test_a_command_reaches_the_stages_that_it_concerns():
    one, other, plain = Steerable("a"), Steerable("b"), Summing("c")
    pipeline = Pipeline([one, other, plain])
    assert pipeline.steered("pause") == ["a", "b"]
    assert pipeline.steered("pause", "b") == ["b"]
    assert pipeline.steered("pause", "c") == pipeline.steered("hold") == []
    pipeline.command(Command(id="1", action="pause"))
    pipeline.command(Command(id="2", action="undo", stage="b"))
    pipeline.command(Command(id="3", action="hold"))
    assert (one.told, other.told) == ([("pause", None)], [("pause", None), ("undo", None)])
