"""What windows play again: the frames that are kept, the same bits however they are cut, and who learns from them."""

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch
from stream_infomax.settings.error import SettingError
from stream_infomax.stages.batches import from_frame
from stream_infomax.stages.contrast import ContrastStage
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.teachers import BatchesOfFeatures
from stream_infomax.stages.windows import WindowsStage

pytestmark = needs("kaldi_native_fbank")

RATE = 8000.0
SMALL: dict[str, Any] = {"form": "log-mel", "length": 5, "hop": 2, "n_mels": 20}
STILL: dict[str, Any] = {"warp": 0.0, "gain": 0.0, "tilt": 0.0}


def segment(name: str, first: int, cuts: list[int], seconds: float = 0.5, stream: str = "mic") -> list[Frame]:
    """Return the frames of one segment, cut at these samples."""
    samples = np.random.default_rng(first).normal(scale=0.1, size=(int(seconds * RATE), 1)).astype(np.float32)
    borders = [*pairwise([0, *cuts, len(samples)])]
    return [
        Frame(
            stream,
            first + i,
            name,
            {"source": Array(samples[start:stop], ("time", "channel"))},
            rate=RATE,
            last=stop == len(samples),
        )
        for i, (start, stop) in enumerate(borders)
    ]


def several(n: int) -> list[Frame]:
    """Return the frames of n segments of different lengths, of two streams."""
    frames: list[Frame] = []
    for i in range(n):
        frames += segment(str(i), len(frames), [700, 2500], 0.4 + 0.02 * i, "ab"[i % 2])
    return frames


def windows(**settings: Any) -> WindowsStage:
    stage: WindowsStage = WindowsStage("windows", "source", **{**SMALL, "replay": 1 << 20, **settings})
    return stage


def batches_of(stage: WindowsStage, frames: list[Frame]) -> list[Batch]:
    return [batch for frame in frames for batch in from_frame(stage.process(frame), "windows")]


def is_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and np.allclose(one, other, atol=1e-5)


def excerpts_of(batch: Batch) -> list[np.ndarray]:
    return [rows[:length] for rows, length in zip(batch.rows, batch.lengths, strict=True)]


def test_excerpts_that_are_not_distorted_are_the_patches_of_whole_segments() -> None:
    stage, patches = windows(**STILL, center=True, rows=70), []
    frames = several(5)
    for batch_number, start in enumerate(range(0, len(frames), 3), 1):
        out = [stage.process(frame) for frame in frames[start : start + 3]]
        patches.append(np.concatenate([frame.arrays["windows"].rows() for frame in out]))
        assert [len(from_frame(frame, "windows")) for frame in out] == [0, 0, 1]
        (batch,) = from_frame(out[-1], "windows")
        found = excerpts_of(batch)
        np.testing.assert_allclose(found[0], patches[-1], atol=1e-5)  # the newest is always there
        assert len(found) == min(batch_number, 3)
        assert all(
            any(len(one) == len(known) and np.allclose(one, known, atol=1e-5) for known in patches) for one in found
        )
        assert batch.past is not None
        np.testing.assert_allclose(batch.past, batch.rows, atol=1e-5)


def test_excerpts_belong_together_by_their_stream_or_by_a_label() -> None:
    frames = several(4)
    spoken = [msgspec.structs.replace(frame, labels={"speaker": "ann"}) for frame in frames]
    for group, sizes in {"": [2, 2], "room": [2, 2], "speaker": [4]}.items():
        streams = batches_of(windows(group=group), spoken)[-1].streams
        assert streams is not None
        assert sorted(Counter(streams.tolist()).values()) == sizes


def test_what_is_predicted_and_what_from_are_distorted_in_two_ways_for_each_batch() -> None:
    one, two = batches_of(windows(updates=2), several(1))
    sides = [side for batch in (one, two) for side in (batch.rows, batch.past)]
    assert all(side is not None and side.shape == one.rows.shape for side in sides)
    assert all(not np.array_equal(a, b) for i, a in enumerate(sides) for b in sides[:i])


def test_waveforms_are_played_again_as_well() -> None:
    stage, frames = (
        WindowsStage("windows", "source", form="waveform", length=64, hop=40, replay=1 << 20, **STILL),
        several(2),
    )
    out = [stage.process(frame) for frame in frames]
    rows = np.concatenate([frame.arrays["windows"].rows() for frame in out[3:]])
    (batch,) = from_frame(out[-1], "windows")
    np.testing.assert_allclose(excerpts_of(batch)[0], rows, atol=1e-6)
    with pytest.raises(ValueError, match=r"has 1 channels and a rate of 0"):
        stage.process(msgspec.structs.replace(frames[0], rate=0.0))
    stereo = Array(np.zeros((900, 2), np.float32), ("time", "channel"))
    with pytest.raises(ValueError, match=r"one channel and a rate; 'source' has 2 channels and a rate of 8000"):
        stage.process(frames[0].extend({"source": stereo}))


def test_how_samples_are_cut_changes_no_bit_of_a_batch() -> None:
    (whole,) = batches_of(windows(), segment("a", 0, []))
    (parts,) = batches_of(windows(), segment("a", 0, [801, 803, 2900]))
    np.testing.assert_array_equal(whole.rows, parts.rows)
    assert whole.past is not None
    assert parts.past is not None
    np.testing.assert_array_equal(whole.past, parts.past)


def test_excerpts_end_at_gaps_and_have_256_patches_at_most() -> None:
    frames = segment("a", 0, [2000], 0.5)
    samples = np.array(frames[1].arrays["source"].data)
    samples[100] = np.nan
    frames[1] = frames[1].extend({"source": Array(samples, ("time", "channel"))})
    stage = windows(**STILL)
    out = [stage.process(frame) for frame in frames]
    rows = np.concatenate([frame.arrays["windows"].rows() for frame in out])
    gap = np.flatnonzero(~np.isfinite(rows).all(1))
    batches = from_frame(out[-1], "windows")
    assert [batch.lengths.tolist() for batch in batches] == [[gap[0]], [len(rows) - gap[-1] - 1, gap[0]]]

    (longer, _) = batches_of(windows(**STILL, hop=1), segment("b", 0, [], 4.0))
    assert longer.lengths.tolist() == [256]
    shorter = batches_of(windows(excerpt=5), segment("a", 0, []))
    assert [batch.lengths[0] for batch in shorter] == [5, 5, 5]


def test_frames_lost_between_end_an_excerpt_which_is_kept() -> None:
    stage = windows(**STILL)
    first, second, third = segment("a", 0, [2000, 2200], 0.6)
    stage.process(first)
    (batch,) = from_frame(stage.process(third), "windows")
    assert len(batch.lengths) == 2
    assert stage.counts()["excerpts"] == 2
    assert second.offset == 1


def test_the_learner_encodes_batches_with_the_filters_of_the_frame_and_learns_the_same_without_them() -> None:
    given, without = (LearnerStage("learner", "windows", n_rank=8, warmup=40) for _ in range(2))
    stage, encoded = windows(length=3, hop=1, n_mels=8), 0
    for frame in several(8):
        cut = stage.process(frame)
        before = given.learner.transform if given.is_warm else None
        expected = before(cut.arrays["windows.batch.past"].rows()) if before and "windows.batch" in cut.arrays else None
        out = given.process(cut)
        bare = without.process(cut.extend({"windows": cut.arrays["windows"]}))
        np.testing.assert_array_equal(out.arrays["learner"].data, bare.arrays["learner"].data)
        assert "learner.batch.sizes" in out.arrays
        assert "learner.batch.sizes" not in bare.arrays
        if expected is not None:
            np.testing.assert_array_equal(out.arrays["learner.batch.past"].data, expected)
            encoded += 1
    assert encoded > 3


def stack() -> list[Any]:
    given: dict[str, Any] = {"layout": "paired", "width": 6, "horizon_ms": 40.0, "residual": True, "anchors": 32}
    modules = [ContrastStage(f"m{n}", "learner" if n == 1 else f"m{n - 1}", module=n, **given) for n in (1, 2)]
    return [
        windows(length=3, hop=1, n_mels=8, rows=100),
        LearnerStage("learner", "windows", n_rank=6, warmup=40, output="halves"),
        *modules,
    ]


def through(stages: list[Any], frame: Frame) -> Frame:
    for stage in stages:
        frame = stage.process(frame)
    return frame


@needs("torch")
def test_an_interruption_at_any_frame_changes_no_bit() -> None:
    frames, whole = several(5), stack()
    expected = [through(whole, frame) for frame in frames]
    assert whole[3].pupil.online.updates > 2
    for stop in (4, 8, 10, 13):  # in the warm-up, in a segment, after one
        before, after = stack(), stack()
        for frame in frames[:stop]:
            through(before, frame)
        for one, other in zip(before, after, strict=True):
            other.restore(one.state())
        for frame, out in zip(frames[stop:], expected[stop:], strict=True):
            found = through(after, frame)
            np.testing.assert_array_equal(found.arrays["m2"].data, out.arrays["m2"].data)
        one, other = (stages[3].pupil.online.module.state_dict() for stages in (whole, after))
        assert all((one[name] == other[name]).all() for name in one)


@needs("torch")
def test_the_first_module_standardises_batches_as_it_standardises_rows() -> None:
    stages = stack()
    for frame in several(4):
        out = through(stages[:2], frame)
        stages[2].process(out)
    teacher = stages[2].pupil.teacher
    assert isinstance(teacher, BatchesOfFeatures)
    (given,) = from_frame(out, "learner")
    (batch,) = teacher.batches(out, out.arrays["learner"].rows(), stages[2].pupil.new_stream().cutter)
    for one, length, expected in zip(batch.rows, batch.lengths, given.rows, strict=True):
        np.testing.assert_allclose(one[:length], teacher.standardised(expected[:length]), rtol=1e-5)
        assert not one[length:].any()


@needs("torch")
def test_a_module_does_not_change_what_it_learns_from() -> None:
    stages = stack()
    frames = several(3)
    for frame in frames[:7]:
        through(stages, frame)
    out = through(stages[:2], frames[7])
    bare = out.extend({"learner": out.arrays["learner"]})
    with pytest.raises(ValueError, match=r"came with batches before and comes without at offset 7"):
        stages[2].process(bare)
    stages[2].start_encoding()
    stages[2].process(bare)  # who only encodes needs none


@needs("torch")
def test_live_modules_leave_out_what_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("stream_infomax.stages.teachers.time.monotonic", lambda: now[0])
    stages = stack()
    stages[2] = ContrastStage("m1", "learner", layout="paired", width=6, live=True)
    for number, frame in enumerate(several(4)):
        now[0] = 0.0 if number < 9 else 60.0
        out = through(stages[:3], frame)
    assert stages[2].counts()["updates"] == 1
    assert stages[2].counts()["skipped: late"] == 1
    assert "m1.batch" not in out.arrays


def test_runs_of_rows_too_short_for_an_excerpt_are_counted() -> None:
    stage = windows(hop=5)
    for number in range(3):
        stage.process(*segment(str(number), number, [], 0.15))
    assert stage.counts()["too short to play again"] == 3
    again = windows(hop=5)
    again.restore(stage.state())
    assert again.counts() == stage.counts()
    never = WindowsStage("windows", "source", **SMALL)
    with pytest.raises(ValueError, match="replay: the state is of windows that played nothing again"):
        again.restore(never.state())


@pytest.mark.parametrize("form", ["grid", "patches"])
def test_other_forms_are_not_played_again(form: str) -> None:
    with pytest.raises(SettingError, match="replay"):
        WindowsStage("windows", "source", form=form, replay=1000)


@pytest.mark.parametrize("setting", ["warp", "gain", "tilt"])
def test_a_distortion_that_leaves_no_number_is_refused(setting: str) -> None:
    with pytest.raises(SettingError, match=setting):
        windows(**{setting: 1e30})


def test_what_only_encodes_plays_nothing_again() -> None:
    stage = windows()
    stage.start_encoding()
    (frame,) = segment("a", 0, [])
    assert set(stage.process(frame).arrays) == {"windows"}
