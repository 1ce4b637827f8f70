"""Modules on distorted copies: one version is predicted from another; exact resume, and what is refused."""

from typing import Any

import numpy as np
import pytest

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.contrast import ContrastStage
from stream_infomax.stages.teachers import OwnExcerpts

WIDTH = 4
SHIFT = 0.37


def rows(random: np.random.Generator, n: int) -> np.ndarray:
    return random.normal(size=(n, WIDTH)).cumsum(0).astype(np.float32)


def stream(copies: int, segments: int = 6) -> list[Frame]:
    """Return segments of two frames, whose copies are the rows shifted by SHIFT times their number."""
    random = np.random.default_rng(0)
    frames = []
    for segment in range(segments):
        for part in (0, 1):
            x = rows(random, 12)
            arrays = {"features": Array(x, ("time", "component"))}
            for number in range(1, copies + 1):
                arrays[f"features.copy{number}"] = Array(x + np.float32(SHIFT * number), ("time", "component"))
            frames.append(
                Frame("mic", len(frames), str(segment), arrays, last=part == 1, end=False, rate=100.0, encoder="one")
            )
    return frames


def stack() -> list[ContrastStage]:
    given: dict[str, Any] = {
        "layout": "paired",
        "width": 6,
        "rows": 60,
        "horizon_ms": 40.0,
        "skip": 0,
        "residual": True,
    }
    return [ContrastStage(f"m{n}", "features" if n == 1 else f"m{n - 1}", module=n, **given) for n in (1, 2)]


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_one_version_is_predicted_from_another(copies: int) -> None:
    stage = stack()[0]
    assert isinstance(stage.teacher, OwnExcerpts)
    for frame in stream(copies):
        stage.process(frame)
    originals = np.concatenate([frame.arrays["features"].data for frame in stream(0)])
    moments = stage.teacher.moments
    seen = set()
    for _ in range(40):
        batch = stage.teacher._draw()
        if not copies:
            assert batch.past is None
            continue
        assert batch.past is not None
        for target, past, length in zip(batch.rows, batch.past, batch.lengths, strict=True):
            numbers = []
            for version in (target, past):
                first = version[0] * np.sqrt(moments.variance) + moments.mean
                far = [np.abs(first - originals - SHIFT * number).max(1).min() for number in range(copies + 1)]
                assert min(far) < 1e-4
                numbers.append(int(np.argmin(far)))
            assert numbers[0] != numbers[1]
            assert length == 24
            seen.add(tuple(numbers))
    assert len(seen) == copies * (copies + 1)


def test_an_interruption_at_any_frame_changes_no_bit() -> None:
    frames = stream(2)
    whole = stack()
    expected = [whole[1].process(whole[0].process(frame)) for frame in frames]
    assert whole[1].pupil is not None
    assert whole[1].pupil.online.updates > 3
    for stop in range(1, len(frames)):
        before, after = stack(), stack()
        for frame in frames[:stop]:
            before[1].process(before[0].process(frame))
        for one, other in zip(before, after, strict=True):
            other.restore(one.state())
        for frame, out in zip(frames[stop:], expected[stop:], strict=True):
            found = after[1].process(after[0].process(frame))
            np.testing.assert_array_equal(found.arrays["m2"].data, out.arrays["m2"].data)
        one, other = (stage.pupil for stage in (whole[1], after[1]))
        assert one is not None
        assert other is not None
        for name, weights in one.online.module.state_dict().items():
            assert (weights == other.online.module.state_dict()[name]).all(), name


def test_the_number_of_copies_stays() -> None:
    stage = stack()[0]
    for frame in stream(2)[:3]:
        stage.process(frame)
    with pytest.raises(ValueError, match=r"2 distorted copies before, with 1 at offset 3"):
        stage.process(stream(1)[3])
    encoding = stack()[0]
    encoding.restore(stage.state())
    encoding.start_encoding()
    encoding.process(stream(0)[0])


def test_a_module_that_only_encoded_so_far_can_learn_from_copies() -> None:
    frames = stream(1)
    encoding = ContrastStage("m1", "features", layout="paired", width=6, learn=False)
    encoding.process(frames[0])
    stage = ContrastStage("m1", "features", layout="paired", width=6)
    stage.restore(encoding.state())
    for frame in frames[1:]:
        stage.process(frame)
    assert stage.pupil is not None
    assert stage.pupil.online.updates > 0


def test_copies_of_grids_are_predicted_from_column_by_column() -> None:
    random = np.random.default_rng(0)
    stage = ContrastStage("m1", "patches", layout="patches", width=6)
    for offset in range(4):
        grid = random.normal(size=(5, 3, WIDTH)).astype(np.float32)
        axes = ("grid_y", "grid_x", "component")
        arrays = {"patches": Array(grid, axes), "patches.copy1": Array(grid + np.float32(SHIFT), axes)}
        stage.process(Frame("camera", offset, str(offset), arrays, last=True))
    assert stage.pupil is not None
    assert stage.pupil.online.updates == 3  # a batch takes two grids
    assert isinstance(stage.teacher, OwnExcerpts)
    batch = stage.teacher._draw()
    assert batch.past is not None
    assert batch.past.shape == batch.rows.shape
    moved = np.abs(batch.past - batch.rows) * np.sqrt(stage.teacher.moments.variance)
    np.testing.assert_allclose(moved, SHIFT, atol=1e-4)
