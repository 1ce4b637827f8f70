"""The contrastive stage with levers: what travels with batches, exact restarts, and what residual modules pass on."""

import numpy as np
import pytest
from helpers.extras import extra

torch = extra("torch")

from helpers.modules import module, same_frames, same_state, speech, stack  # noqa: E402

from stream_infomax.frames import wire  # noqa: E402
from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.learning.contrast.excerpts import Batch  # noqa: E402
from stream_infomax.settings.outline import Outline  # noqa: E402
from stream_infomax.stages.batches import from_frame, to_arrays  # noqa: E402
from stream_infomax.stages.teachers import numbered  # noqa: E402

ALL = {
    "residual": True,
    "normalise": True,
    "own": 0.25,
    "stream": 0.5,
    "temperature": 0.2,
    "reach": 2,
    "skip": 1,
    "warmup_rows": 300,
    "decay_rows": 2000,
}


def test_modules_behind_a_wire_learn_the_same_weights():
    frames = list(speech(streams=("a", "b")))
    together, apart, passing = stack(**ALL), stack(**ALL), frames
    last = [together.process(frame) for frame in frames][-1]
    for stage in apart.stages:
        passing = [wire.decode(wire.encode(stage.process(frame))) for frame in passing]
    same_state(together.state(), apart.state())
    assert [stage.pupil.online.module.output for stage in together.stages] == [13, 21, 29, 29]
    assert last.arrays["m4"].data.shape[1] == 29
    assert all(stage.pupil.online.updates > 4 for stage in together.stages)


def test_restarted_in_the_middle_of_a_segment_nothing_changes():
    frames = list(speech(8, streams=("a", "b")))
    whole = stack(**ALL)
    expected = [whole.process(frame) for frame in frames]
    half = len(frames) // 2
    first, second = stack(**ALL), stack(**ALL)
    found = [first.process(frame) for frame in frames[:half]]
    second.restore(first.state())
    found += [second.process(frame) for frame in frames[half:]]
    same_frames(expected, found)
    same_state(whole.state(), second.state())


def test_streams_travel_with_batches_of_several():
    stage, seen = module(1, stream=0.5), []
    for frame in speech(streams=("a", "b")):
        out = stage.process(frame)
        if "m1.batch.streams" in out.arrays:
            seen += [set(batch.streams.tolist()) for batch in from_frame(out, "m1")]
    assert {numbered("a"), numbered("b")} in seen
    alone = module(1, stream=0.5)
    assert not any("m1.batch.streams" in alone.process(frame).arrays for frame in speech())


def test_an_excerpt_that_a_gap_ends_is_of_its_stream():
    stage = module(1)
    frames = list(speech(4, frame_rows=20, streams=("a", "b")))
    stage.process(frames[0])
    stage.process(frames[2])
    assert list(stage.pupil.teacher.memory.streams.values()) == [numbered(frames[0].stream)]


def test_batches_travel_as_they_are():
    rng = np.random.default_rng(0)
    lengths = np.array([4, 2, 3])
    there = np.arange(4) < lengths[:, None]
    rows, past = (np.where(there[..., None], rng.standard_normal((3, 4, 2)), 0).astype(np.float32) for _ in "ab")
    batches = [
        Batch(rows, lengths, past, np.array([5, -1, 5])),
        Batch(rows[:2], lengths[:2], past[:2], np.array([0, 0])),
    ]
    found = from_frame(wire.decode(wire.encode(Frame("s", 0, "", to_arrays(batches, "m")))), "m")
    for one, other in zip(batches, found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    plain = [Batch(rows, lengths)]
    assert set(to_arrays(plain, "m")) == {"m.batch", "m.batch.lengths", "m.batch.sizes"}
    (back,) = from_frame(Frame("s", 0, "", to_arrays(plain, "m")), "m")
    assert back.past is None
    assert back.streams is None


def test_outlines_of_residual_modules_grow():
    rows = Outline(frames=1, segments={100: 1}, row=(5,), rate=100.0, at_most=True)
    unknown = Outline(frames=1, segments={100: 1}, row=None, rate=100.0)
    widths = []
    for number in (1, 2, 3, 4):
        settings = module(number, residual=True).settings
        assert settings.outline(unknown).row is None
        rows = settings.outline(rows)
        widths.append(rows.row)
        assert rows.at_most
    assert widths == [(13,), (21,), (29,), (29,)]
    assert module(1).settings.outline(unknown).row == (8,)


def test_before_the_width_of_its_input_is_known_a_residual_module_has_none_either():
    frame = Frame("a", 0, "one", {"features": Array(np.zeros((7, 0), np.float32), ("time", "component"))}, rate=100.0)
    for residual, width in ((True, 0), (False, 8)):
        assert module(1, residual=residual).process(frame).arrays["m1"].data.shape == (0, width)


def test_a_state_of_a_module_without_residual_is_refused():
    plain = module(1)
    with pytest.raises(ValueError, match="residual"):
        module(1, residual=True).restore(plain.state())


def test_residual_modules_over_grids_keep_each_patch():
    rng = np.random.default_rng(0)
    levers = {**ALL, "layout": "patches", "stream": 0.0, "own": 1.0, "normalise": False}
    stages = [module(1, **levers), module(2, **levers)]
    for offset in range(6):
        array = Array(rng.standard_normal((5, 4, 3)).astype(np.float32), ("grid_y", "grid_x", "component"))
        frame = Frame("pictures", offset, f"p{offset}", {"features": array}, last=True)
        for stage in stages:
            frame = stage.process(frame)
    assert all(stage.pupil.online.updates == 5 for stage in stages)
    assert frame.arrays["m2"].data.shape == (5, 4, 3 + 8 + 8)
    seen = stages[0].pupil.teacher.standardised(array.rows())  # with the moments of all frames, which m2's rows are of
    np.testing.assert_allclose(frame.arrays["m2"].data.reshape(20, 19)[:, :3], seen, atol=1e-6)
