"""Windows: nothing lost or repeated at a border, segments and gaps kept apart, and state to the bit."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers.extras import installed, needs
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.logmel import LogMel
from stream_infomax.stages.windows import WindowsStage

Samples = npt.NDArray[np.float32]
RATE = 1000.0
speech = needs("kaldi_native_fbank")
mel_or_not = st.booleans() if installed("kaldi_native_fbank") else st.just(False)
# A log-mel analysis small enough to draw many cases of.
MEL = {"form": "log-mel", "n_mels": 5, "window_ms": 25.0, "shift_ms": 10.0, "length": 4, "hop": 3}


def noise(n: int, channels: int = 1, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def cut(samples: Samples, cuts: Iterable[int], **keywords: Any) -> list[Frame]:
    """Return the samples as frames of one segment, cut at `cuts`."""
    borders = [0, *sorted(cuts), len(samples)]
    return [
        Frame(
            stream="mic",
            offset=i,
            segment="a",
            arrays={"source": Array(samples[start:stop], ("time", "channel"))},
            last=stop == len(samples) and i == len(borders) - 2,
            time=2.0 + start / RATE,
            rate=RATE,
            **keywords,
        )
        for i, (start, stop) in enumerate(pairwise(borders))
    ]


def rows_of(frames: Sequence[Frame]) -> Samples:
    return np.concatenate([frame.arrays["windows"].data for frame in frames])


def run(frames: Sequence[Frame], **keywords: Any) -> list[Frame]:
    stage = WindowsStage("windows", "source", **keywords)
    return [stage.process(frame) for frame in frames]


def naive_windows(samples: Samples, length: int, hop: int) -> list[Samples]:
    return [samples[start : start + length] for start in range(0, len(samples) - length + 1, hop)]


def naive_log_mel(samples: Samples, length: int, hop: int) -> list[Samples]:
    """Mel frames of all samples at once by the extractor, then the patches one by one."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.frame_length_ms = 25.0
    options.frame_opts.frame_shift_ms = 10.0
    options.mel_opts.num_bins = 5
    extractor = kaldi_native_fbank.OnlineFbank(options)
    extractor.accept_waveform(RATE, samples[:, 0])
    mel = [extractor.get_frame(i).copy() for i in range(extractor.num_frames_ready)]
    return [np.stack(mel[start : start + length]) for start in range(0, len(mel) - length + 1, hop)]


cuts_of_200 = st.lists(st.integers(0, 200), max_size=8)


@given(length=st.integers(1, 40), hop=st.integers(1, 40), cuts=cuts_of_200, channels=st.integers(1, 3))
@settings(deadline=None)
def test_waveform_windows_are_those_of_the_uncut_signal(length: int, hop: int, cuts: list[int], channels: int) -> None:
    hop = min(hop, length)
    samples = noise(200, channels)
    frames = run(cut(samples, cuts), length=length, hop=hop)
    expected = np.stack(naive_windows(samples, length, hop))
    np.testing.assert_array_equal(rows_of(frames), expected if channels > 1 else expected[:, :, 0])
    assert frames[0].arrays["windows"].axes == ("time", "sample", "channel")[: 2 + (channels > 1)]
    n_before = 0
    for frame in frames:
        assert frame.rate == RATE / hop
        assert frame.time == 2.0 + n_before * hop / RATE
        n_before += len(frame.arrays["windows"].data)


@speech
@given(cuts=cuts_of_200, center=st.booleans())
@settings(deadline=None)
def test_log_mel_patches_are_those_of_the_uncut_signal(cuts: list[int], center: bool) -> None:
    samples = noise(200)
    frames = run(cut(samples, cuts), **MEL, center=center)
    expected = np.stack(naive_log_mel(samples, 4, 3))
    if center:
        expected -= expected.reshape(len(expected), -1).mean(axis=1)[:, None, None]
    np.testing.assert_array_equal(rows_of(frames), expected)
    assert frames[0].arrays["windows"].axes == ("time", "sample", "mel")
    assert frames[0].rate == pytest.approx(RATE / 30)
    n_before = 0
    for frame in frames:
        assert frame.time == 2.0 + n_before * 30 / RATE
        n_before += len(frame.arrays["windows"].data)


@given(cuts=cuts_of_200, stop=st.integers(0, 8), mel=mel_or_not, center=st.booleans())
@settings(deadline=None)
def test_state_restored_anywhere_goes_on_to_the_bit(cuts: list[int], stop: int, mel: bool, center: bool) -> None:
    keywords: dict[str, Any] = {**(MEL if mel else {"length": 30, "hop": 7}), "center": center}
    frames = cut(noise(200), cuts)
    whole = [wire.encode(frame) for frame in run(frames, **keywords)]
    first = WindowsStage("windows", "source", **keywords)
    out = [wire.encode(first.process(frame)) for frame in frames[:stop]]
    second = WindowsStage("windows", "source", **keywords)
    second.restore(first.state())
    # The state is a copy: what the first goes on to do does not change it.
    for frame in frames[stop:]:
        first.process(frame)
    out += [wire.encode(second.process(frame)) for frame in frames[stop:]]
    assert out == whole


@given(bad=st.integers(0, 199), cuts=cuts_of_200, value=st.sampled_from([np.nan, np.inf, -np.inf]), mel=mel_or_not)
@settings(deadline=None)
def test_windows_that_touch_a_bad_sample_are_nan_and_no_others(
    bad: int, cuts: list[int], value: float, mel: bool
) -> None:
    samples = noise(200, channels=1)
    samples[bad] = value
    keywords: dict[str, Any] = MEL if mel else {"length": 30, "hop": 7}
    span, step = (3 * 10 + 25, 30) if mel else (30, 7)
    frames = run(cut(samples, cuts), **keywords)
    rows = rows_of(frames).reshape(-1, 20 if mel else 30)
    clean = rows_of(run(cut(noise(200), []), **keywords)).reshape(rows.shape)
    touched = np.array([i * step <= bad < i * step + span for i in range(len(rows))])
    assert np.isnan(rows[touched]).all()
    np.testing.assert_array_equal(rows[~touched], clean[~touched])


def test_set_aside_rows_are_counted() -> None:
    samples = noise(100)
    samples[50] = np.nan
    stage = WindowsStage("windows", "source", length=10, hop=10)
    for frame in cut(samples, [33]):
        stage.process(frame)
    assert stage.counts() == {"rows": 10, "rows_nan": 1, "gaps": 0}


def test_windows_never_cross_segments() -> None:
    first, second = cut(noise(95, seed=1), [40]), cut(noise(95, seed=2), [10])
    frames = [*first, *(replace(frame, offset=i, segment="b", time=9.0) for i, frame in enumerate(second, 2))]
    for marked in (True, False):
        # A segment that begins is a border, with or without a mark on the last frame before it.
        out = run([replace(frame, last=frame.last and marked) for frame in frames], length=30, hop=10)
        expected = naive_windows(noise(95, seed=1), 30, 10) + naive_windows(noise(95, seed=2), 30, 10)
        np.testing.assert_array_equal(rows_of(out), np.stack(expected)[:, :, 0])
        assert out[2].time == 9.0
        assert [frame.segment for frame in out] == ["a", "a", "b", "b"]


def test_the_same_segment_again_after_its_last_frame_is_a_new_one() -> None:
    once = cut(noise(45), [])
    out = run([*once, *(replace(frame, offset=1) for frame in once)], length=30, hop=10)
    np.testing.assert_array_equal(out[0].arrays["windows"].data, out[1].arrays["windows"].data)


@pytest.mark.parametrize("mel", [False, pytest.param(True, marks=speech)])
def test_nothing_before_a_gap_in_the_offsets_is_used(mel: bool) -> None:
    keywords: dict[str, Any] = MEL if mel else {"length": 30, "hop": 10}
    samples = noise(300)
    frames = cut(samples, [100, 120])
    stage = WindowsStage("windows", "source", **keywords)
    out = [stage.process(frame) for frame in (frames[0], frames[2])]
    alone = run([frames[2]], **keywords)[0]
    np.testing.assert_array_equal(out[1].arrays["windows"].data, alone.arrays["windows"].data)
    assert out[1].time == 2.0 + 120 / RATE
    assert stage.counts()["gaps"] == 1


def test_state_is_freed_at_the_end_of_a_stream() -> None:
    stage = WindowsStage("windows", "source")
    frames = cut(noise(100), [50])
    stage.process(frames[0])
    assert stage.state()["streams"]["mic"]["memory"]["tail"].shape == (50, 1)
    stage.process(replace(frames[1], end=True))
    assert stage.state()["streams"] == {}
    # A stream of the same name may then be of another kind.
    other = cut(noise(100, channels=2), [])[0]
    assert stage.process(replace(other, offset=2, rate=5.0)).rate == 5.0 / 32


def test_integer_samples_without_a_channel_axis() -> None:
    samples = np.arange(100, dtype=np.int16)
    frame = Frame("mic", 0, arrays={"source": Array(samples, ("time",))})
    out = WindowsStage("windows", "source", length=10, hop=10).process(frame)
    np.testing.assert_array_equal(out.arrays["windows"].data, samples.reshape(10, 10))
    assert out.arrays["windows"].data.dtype == np.float32
    assert (out.rate, out.time) == (0.0, 0.0)


def test_center_takes_each_rows_mean_away() -> None:
    out = run(cut(noise(100) + 5, []), length=10, hop=10, center=True)
    np.testing.assert_allclose(rows_of(out).mean(axis=1), 0, atol=1e-6)


@speech
def test_silence_is_finite() -> None:
    rows = rows_of(run(cut(np.zeros((300, 1), np.float32), [100]), **MEL))
    assert np.unique(rows).tolist() == [np.float32(np.log(2.0**-23))]


@speech
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 12345.6])
@pytest.mark.parametrize(("window_ms", "shift_ms"), [(25.0, 10.0), (32.0, 16.0), (23.2, 11.6)])
def test_mel_frames_come_exactly_when_their_samples_are_there(rate: float, window_ms: float, shift_ms: float) -> None:
    mel = LogMel(rate, 20, window_ms, shift_ms)
    samples = np.zeros(mel.window + 10 * mel.shift, np.float32)
    mel.accept(samples[:-1])
    assert len(mel.frames) == 10
    mel.accept(samples[-1:])
    assert len(mel.frames) == 11
    assert (mel.window, mel.shift) == (round(rate * window_ms / 1000), round(rate * shift_ms / 1000))


@pytest.mark.parametrize("colour", [False, True])
def test_a_grid_of_patches(colour: bool) -> None:
    picture = np.random.default_rng(0).random((1, 11, 14, 3) if colour else (1, 11, 14)).astype(np.float32)
    axes = ("item", "y", "x", "colour") if colour else ("item", "y", "x")
    frame = Frame("eye", 0, "p@0,0", {"source": Array(picture, axes)}, last=True)
    array = run([frame], form="grid", patch=4, stride=3, center=True)[0].arrays["windows"]
    assert array.axes == ("grid_y", "grid_x", "y", "x", "colour")[: 4 + colour]
    assert array.data.shape[:4] == (3, 4, 4, 4)
    for i in range(3):
        for j in range(4):
            patch = picture[0, 3 * i : 3 * i + 4, 3 * j : 3 * j + 4]
            np.testing.assert_allclose(array.data[i, j], patch - patch.mean(), atol=1e-6)


def test_patches_pass_as_they_are() -> None:
    patches = np.random.default_rng(0).random((9, 4, 5)).astype(np.float32)
    frame = Frame("eye", 0, arrays={"source": Array(patches, ("item", "y", "x"))})
    out = run([frame], form="patches")[0].arrays["windows"]
    np.testing.assert_array_equal(out.data, patches)
    assert out.axes == ("item", "y", "x")
    centred = run([frame], form="patches", center=True)[0].arrays["windows"].data
    np.testing.assert_allclose(centred, patches - patches.mean(axis=(1, 2), keepdims=True), atol=1e-6)


def picture_frame(shape: tuple[int, ...], offset: int = 0) -> Frame:
    return Frame("eye", offset, arrays={"source": Array(np.zeros(shape, np.float32), ("item", "y", "x"))})


@pytest.mark.parametrize(
    ("frames", "keywords", "message"),
    [
        (lambda a: [a[0], replace(a[1], rate=500.0)], {}, "rate changed from 1000 to 500"),
        (lambda a: [a[0], replace(cut(noise(50, 2), [])[0], offset=1)], {}, r"shape changed from \(1,\) to \(2,\)"),
        pytest.param(lambda a: [replace(a[0], rate=0.0)], MEL, "rate = 0", marks=speech),
        pytest.param(lambda a: cut(noise(50, 2), []), MEL, "accepts one channel .* has 2", marks=speech),
        (lambda a: [picture_frame((3, 4, 4))], {}, "has axes .*'item', 'y', 'x'.*accepts"),
        (lambda a: a, {"form": "grid"}, "has axes .*'time', 'channel'.*accepts"),
        (lambda a: [picture_frame((3, 20, 20))], {"form": "grid"}, "frames of one picture .*, got one of 3"),
        (lambda a: [picture_frame((1, 20, 11))], {"form": "grid"}, "holds no patch of 12"),
        (
            lambda a: [picture_frame((5, 4, 4)), picture_frame((5, 4, 5), 1)],
            {"form": "patches"},
            r"shape changed from \(4, 4\) to \(4, 5\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(frames: Any, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(frames(cut(noise(100), [50])), **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"form": "mel"}, 'accepted: "waveform", "log-mel", "patches", "grid"'),
        ({"hop": 65}, "hop = 65; accepted: 1 <= hop <= length = 64"),
        ({"hop": 0}, "hop = 0"),
        ({"form": "grid", "stride": 13}, "stride = 13; accepted: 1 <= stride <= patch = 12"),
        ({"n_mels": 0}, "n_mels = 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowsStage("windows", "source", **keywords)


@speech
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_mels": 200}, "n_mels = 200"),
        ({"n_mels": 1}, "n_mels = 1 "),
        ({"shift_ms": 0.1}, "shift_ms = 0.1"),
        ({"shift_ms": 30.0}, "accepted is 1 <= shift <= window"),
    ],
)
def test_an_analysis_that_the_rate_does_not_allow_is_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(cut(noise(100), []), **{**MEL, **keywords})


@speech
def test_a_state_that_does_not_fit_is_named() -> None:
    stage = WindowsStage("windows", "source")
    stage.process(cut(noise(100), [50])[0])
    with pytest.raises(ValueError, match="form: the state is of 'waveform', this stage is 'log-mel'"):
        WindowsStage("windows", "source", **MEL).restore(stage.state())
    damaged = stage.state()
    damaged["streams"]["mic"]["memory"]["tail"] = np.zeros((5, 2), np.float32)
    with pytest.raises(ValueError, match=r"streams\.mic\.tail"):
        stage.restore(damaged)


def test_windows_of_a_learners_outputs_are_those_of_its_rows() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    stage = WindowsStage("context", "learner", form="waveform", length=3, hop=1)
    made = [
        stage.process(Frame("s", i, rate=100.0, arrays={"learner": Array(part, ("time", "component"))}))
        for i, part in enumerate(np.split(rows, 2))
    ]
    assert made[0].arrays["context"].axes == ("time", "sample", "component")
    together = np.concatenate([frame.arrays["context"].data for frame in made])
    np.testing.assert_array_equal(together, [rows[i : i + 3] for i in range(8)])


def test_rows_without_columns_pass_until_a_learner_has_settled_their_number() -> None:
    stage = WindowsStage("context", "learner", form="waveform", length=3, hop=1)
    empty = Array(np.zeros((5, 0), np.float32), ("time", "component"))
    out = stage.process(Frame("s", 0, rate=100.0, arrays={"learner": empty}))
    assert out.arrays["context"].row_shape == (0,)
    settled = Array(np.ones((5, 4), np.float32), ("time", "component"))
    out = stage.process(Frame("s", 1, rate=100.0, arrays={"learner": settled}))
    assert out.arrays["context"].data.shape == (3, 3, 4)
