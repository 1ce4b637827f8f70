"""The contrastive stage over grids of patches."""

import numpy as np
import pytest
from helpers.extras import extra
from msgspec.structs import replace

torch = extra("torch")

from helpers.modules import module, with_features  # noqa: E402

from stream_infomax.frames.contracts import Pipeline  # noqa: E402
from stream_infomax.frames.frame import Array, Frame  # noqa: E402

GRID = ("grid_y", "grid_x", "component")


def pictures(n=12, height=5, width=4, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(n):
        grid = rng.standard_normal((height, width, channels)) + 2 * rng.standard_normal(channels)
        array = Array(grid.astype(np.float32), ("grid_y", "grid_x", "component"))
        yield Frame("pictures", number, f"p{number}", {"features": array}, last=True)


def test_grids_keep_their_shape_and_patches_never_mix():
    frames = list(pictures())
    pipeline = Pipeline([module(1, layout="patches", skip=1), module(2, layout="patches", skip=1)])
    outputs = [pipeline.process(frame) for frame in frames]
    assert outputs[-1].arrays["m2"].data.shape == (5, 4, 8)
    assert outputs[-1].arrays["m2"].axes == ("grid_y", "grid_x", "component")
    assert pipeline.counts()["m2"]["updates"] == 11
    assert pipeline.stages[0].pupil.online.module.loss.steps == 3
    assert pipeline.stages[0].pupil.online.module.loss.columns == 4
    changed = frames[-1].arrays["features"].data.copy()
    changed[2, 1] += 1
    for stage in pipeline.stages:
        stage.learn = False
    before = pipeline.process(replace(frames[-1], offset=12)).arrays["m2"].data
    other = with_features(replace(frames[-1], offset=13), changed, GRID)
    after = pipeline.process(other).arrays["m2"].data
    differs = (before != after).any(2)
    assert differs[2, 1]
    assert differs.sum() == 1


def test_a_patch_with_nan_stays_nan_and_its_grid_is_not_learnt_from():
    frames = list(pictures(4))
    stage = module(1, layout="patches")
    for frame in frames[:3]:
        stage.process(frame)
    rows = frames[3].arrays["features"].data.copy()
    rows[1, 2, 0] = np.nan
    out = stage.process(with_features(frames[3], rows, GRID)).arrays["m1"].data
    assert np.isnan(out[1, 2]).all()
    assert np.isnan(out).any(2).sum() == 1
    assert stage.pupil.teacher.memory.count == 3
    assert stage.counts()["skipped: not_finite"] == 1


def test_a_grid_too_low_for_its_skip_is_refused():
    with pytest.raises(ValueError, match=r"5 rows of patches.*needs 6"):
        module(1, layout="patches", skip=4).process(next(pictures()))
