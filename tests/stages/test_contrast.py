"""The contrastive stage: modules over frames, alone or in a row, exact across restarts, and bad input."""

import numpy as np
import pytest
from helpers.extras import extra
from msgspec.structs import replace

torch = extra("torch")

from helpers.modules import module, same_frames, same_state, speech, stack, with_features  # noqa: E402

from stream_infomax.frames import wire  # noqa: E402
from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.learning.contrast.encoders import RowEncoder  # noqa: E402


def test_frame_for_frame_with_the_rows_and_rates_of_each_module():
    frames, pipeline = list(speech()), stack()
    outputs = [list(map(stage.process, frames)) for stage in pipeline.stages[:1]]
    for stage in pipeline.stages[1:]:
        outputs.append([stage.process(frame) for frame in outputs[-1]])
    for level, (name, stride) in enumerate([("m1", 2), ("m2", 4), ("m3", 4), ("m4", 4)]):
        assert [frame.offset for frame in outputs[level]] == list(range(len(frames)))
        rows = {}
        for before, after in zip(frames, outputs[level], strict=True):
            array = after.arrays[name]
            assert array.axes == ("time", "component")
            assert array.data.shape[1] == 8
            assert after.rate == 200 / stride
            seen, made = rows.get(after.segment, (0, 0))
            rows[after.segment] = seen + before.arrays["features"].n_rows, made + array.n_rows
        assert all(made == seen // stride for seen, made in rows.values())
    assert "m4.context" in outputs[3][-1].arrays
    assert not any(name.startswith("m4.batch") for frame in outputs[3] for name in frame.arrays), "nobody follows"
    counts = pipeline.counts()
    assert counts["m1"]["updates"] == counts["m4"]["updates"] == counts["m1"]["excerpts"] - 1
    assert counts["m1"]["skipped: one_excerpt"] == 1


def test_live_output_is_the_window_output():
    frames = list(speech(5))
    stage = module(1)
    for frame in frames:
        stage.process(frame)
    stage.learn = False
    segment = [frame for frame in frames if frame.segment == "a2"]
    live = [stage.process(replace(frame, offset=-1)).arrays["m1"].data for frame in segment]
    features = np.concatenate([frame.arrays["features"].data for frame in segment])
    rows = stage.pupil.teacher.standardised(features)
    whole, _ = RowEncoder(stage.pupil.online).encode(rows)
    np.testing.assert_allclose(np.concatenate(live), whole, atol=1e-6)


def test_modules_behind_a_wire_learn_the_same_weights():
    """Each module fed with what its predecessor's frames are after bytes: forward messages are all there is."""
    frames = list(speech())
    together = stack()
    for frame in frames:
        together.process(frame)
    apart, passing = stack(), frames
    for stage in apart.stages:
        passing = [wire.decode(wire.encode(stage.process(frame))) for frame in passing]
    same_state(together.state(), apart.state())


def test_nothing_comes_back_from_above():
    frames = list(speech())
    alone, below = module(1), stack()
    for frame in frames:
        alone.process(frame)
        below.process(frame)
    same_state(alone.state(), below.stages[0].state())


def test_features_depend_on_seed_and_frames_only():
    frames = list(speech(5))
    runs = [[module(1, seed=seed).process(frame) for frame in frames] for seed in (0, 0, 1)]
    same_frames(runs[0], runs[1])
    assert not np.array_equal(runs[0][3].arrays["m1"].data, runs[2][3].arrays["m1"].data)
    assert runs[0][3].encoder == runs[1][3].encoder != runs[2][3].encoder


def test_learn_false_only_encodes():
    frames = list(speech(6))
    teacher = module(1)
    for frame in frames:
        teacher.process(frame)
    encoder = module(1, learn=False)
    encoder.restore(teacher.state())
    before = encoder.pupil.online.state()
    outputs = [encoder.process(replace(frame, offset=frame.offset + len(frames))) for frame in frames]
    same_state(before, encoder.pupil.online.state())
    assert all(list(frame.arrays) == ["m1"] for frame in outputs)


def test_several_updates_an_excerpt_travel_together():
    frames = list(speech(4))
    pipeline = stack(updates=3)
    for frame in frames:
        pipeline.process(frame)
    counts = pipeline.counts()
    excerpts = counts["m1"]["excerpts"]
    assert counts["m1"]["updates"] == counts["m4"]["updates"] == 3 * (excerpts - 1)


def test_one_update_after_every_third_excerpt():
    stage = module(1, every=3)
    for frame in speech(8):
        stage.process(frame)
    assert stage.pupil.online.updates == stage.pupil.teacher.memory.count // 3


def test_a_new_encoder_drops_stale_excerpts_and_raises_the_learning_rate():
    pipeline = stack()
    for frame in speech(5):
        pipeline.process(frame)
    first = pipeline.stages[0]
    old = first.counts()["excerpts"]
    ids = {first._encoder_id("learner-1")}
    for frame in speech(1, encoder="learner-2", seed=1):
        out = pipeline.process(replace(frame, offset=first.streams.offset + 1))
    assert old > 1
    assert first.counts()["excerpts"] <= 2
    assert first.counts()["skipped: new_encoder"] == 1
    assert all(stage.streams.counts["new_encoder"] == 1 for stage in pipeline.stages)
    assert all(stage.pupil.online.raised > 0 for stage in pipeline.stages)
    assert out.encoder not in ids


def test_a_missing_frame_is_a_gap():
    frames = list(speech(3, frame_rows=20))
    stage = module(1)
    stage.process(frames[0])
    out = stage.process(frames[2])
    fresh = module(1, learn=False)
    fresh.restore({**stage.state(), "streams": {}})
    assert stage.counts()["skipped: gaps"] == 1
    assert stage.pupil.teacher.memory.count == 1, "what came before the gap is an excerpt of its own"
    alone = fresh.process(replace(frames[2], offset=stage.streams.offset + 1))
    np.testing.assert_allclose(out.arrays["m1"].data, alone.arrays["m1"].data, atol=1e-6)


def test_nan_rows_come_out_as_nan_and_are_never_learnt_from():
    frames = list(speech(4))
    rows = frames[3].arrays["features"].data.copy()
    rows[4, 2] = np.nan
    frames[3] = with_features(frames[3], rows)
    pipeline = stack()
    outputs = [pipeline.process(frame) for frame in frames]
    assert sum(int(np.isnan(frame.arrays["m4"].data).any(1).sum()) for frame in outputs) == 1
    assert all(stage.pupil.online.skipped["not_finite"] == 0 for stage in pipeline.stages)
    assert all(np.isfinite(rows).all() for _, rows in pipeline.stages[0].pupil.teacher.memory.recent)


def test_warm_up_of_another_width_gives_no_rows():
    frames = list(speech(2))
    warm_up = with_features(frames[0], np.full((10, 9), np.nan))
    pipeline = stack()
    out = pipeline.process(warm_up)
    assert out.arrays["m4"].data.shape == (0, 8)
    assert pipeline.process(frames[1]).arrays["m4"].data.shape == (2, 8)


def test_a_gap_is_noticed_after_a_restart_before_the_first_rows():
    frames = list(speech(1))
    first, second = module(1), module(1)
    first.process(with_features(frames[0], np.zeros((10, 0))))
    second.restore(first.state())
    for stage in (first, second):
        stage.process(frames[2])
        assert stage.counts()["skipped: gaps"] == 1


def test_a_dead_channel_is_no_matter():
    frames = []
    for frame in speech(4):
        rows = np.concatenate([frame.arrays["features"].data, np.full((frame.arrays["features"].n_rows, 1), 1e6)], 1)
        frames.append(with_features(frame, rows))
    stage = module(1)
    outputs = [stage.process(frame) for frame in frames]
    assert stage.pupil.online.updates > 0
    assert np.isfinite(np.concatenate([frame.arrays["m1"].data for frame in outputs])).all()


def test_constant_features_are_skipped_and_counted():
    stage = module(1)
    for frame in speech(4):
        stage.process(with_features(frame, np.ones((10, 5))))
    assert stage.pupil.online.updates == 0
    assert stage.counts()["skipped: constant"] > 0


def test_segments_too_short_for_one_prediction_are_counted():
    stage = module(1)
    for number in range(3):
        rows = np.random.default_rng(number).standard_normal((3, 5)).astype(np.float32)
        arrays = {"features": Array(rows, ("time", "component"))}
        out = stage.process(Frame("a", number, str(number), arrays, last=True, rate=200.0))
        assert out.arrays["m1"].n_rows == 1
    assert stage.counts()["skipped: short"] == 3
    assert stage.pupil.online.updates == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda frame: with_features(frame, np.ones((4, 6))), "channels=5.*channels=6"),
        (lambda frame: replace(frame, rate=100.0), r"rate=200\.0.*rate=100\.0"),
        (lambda frame: with_features(frame, np.ones((4, 5)), ("item", "component")), "'item'"),
        (
            lambda frame: with_features(frame, np.ones((2, 2, 5)), ("grid_y", "grid_x", "component")),
            "Sequences.*Grids.*height=2",
        ),
    ],
)
def test_features_that_change_their_size_are_refused_by_name(change, text):
    frames = list(speech(2))
    stage = module(1)
    stage.process(frames[0])
    with pytest.raises(ValueError, match=text):
        stage.process(change(frames[1]))


def test_a_state_of_another_module_is_refused():
    stage = module(1)
    for frame in speech(2):
        stage.process(frame)
    with pytest.raises(ValueError, match=r"'m1': width is 16, the state is of 8"):
        module(1, width=16).restore(stage.state())
    state = stage.state()
    state["pupil"]["module"]["weights"]["convolutions.0.weight"] = np.zeros((8, 7, 4), np.float32)
    with pytest.raises(ValueError, match=r"convolutions.0.weight.*\(8, 7, 4\)"):
        module(1).restore(state)
    with pytest.raises(ValueError, match="module = 5; accepted: 1 to 4"):
        module(5)


def test_a_state_of_an_older_version_is_told_as_such():
    state = module(1).state()
    for described in ('["m1", "fine", 1, 8]', {"name": "m1", "layout": "fine"}):
        with pytest.raises(ValueError, match=r"'m1': another version wrote the state, of .*fine"):
            module(1).restore({**state, "described": described})


def test_live_mode_skips_training_and_never_publishing(monkeypatch):
    frames = list(speech(6))
    stage = module(1, live=True)
    now = [100.0]
    monkeypatch.setattr("stream_infomax.stages.teachers.time.monotonic", lambda: now[0])
    punctual, rows, expected = module(1), 0, 0
    for number, frame in enumerate(frames):
        now[0] = 100.0 + number * (0.05 if number < 20 else 0.2)  # real time, then far behind
        rows += stage.process(replace(frame, time=number * 0.05)).arrays["m1"].n_rows
        expected += punctual.process(frame).arrays["m1"].n_rows
    assert stage.counts()["skipped: late"] > 0
    assert stage.pupil.online.updates > 0
    assert stage.pupil.online.updates + stage.counts()["skipped: late"] + 1 == stage.pupil.teacher.memory.count
    assert rows == expected
