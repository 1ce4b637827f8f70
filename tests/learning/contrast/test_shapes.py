"""Shapes: sequences and grids, what a module predicts in them, and what their batches are."""

from collections import Counter

import numpy as np
import pytest

from stream_infomax.learning.contrast.layouts import Conv, layout, least_skip
from stream_infomax.learning.contrast.shapes import Grids, Sequences, restored, shape_of


@pytest.mark.parametrize(
    ("axes", "lengths", "shape"),
    [
        (("time",), (7,), Sequences(3, 100.0)),
        (("grid_y", "grid_x"), (5, 4), Grids(3, 100.0, 5, 4)),
    ],
)
def test_the_axes_of_the_rows_decide(axes, lengths, shape):
    assert shape_of(axes, lengths, 3, 100.0) == shape
    assert restored(shape.state()) == shape


def test_other_axes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"\('item',\); accepted are rows in time, or a grid"):
        shape_of(("item",), (7,), 3, 100.0)


def test_a_horizon_is_steps_of_the_output():
    assert Sequences(3, 100.0).loss(stride=2, horizon=0.12, skip=2) == {"steps": 6, "skip": 2}


def test_on_grids_patches_below_are_predicted():
    assert Grids(3, 0.0, 5, 4).loss(stride=1, horizon=0.12, skip=1) == {"steps": 3, "skip": 1, "columns": 4}
    assert Grids(3, 0.0, 9, 4).loss(stride=1, horizon=0.12, skip=0)["steps"] == 5
    with pytest.raises(ValueError, match=r"5 rows of patches .* 4 skipped .* needs 6"):
        Grids(3, 0.0, 5, 4).loss(stride=1, horizon=0.12, skip=4)


def test_the_columns_of_grids_are_the_sequences_of_a_batch():
    shape, dropped = Grids(1, 0.0, 3, 2), Counter()
    cutter = shape.cutter(1, 100, dropped)
    rows = np.arange(6, dtype=np.float32)[:, None]
    excerpts = [*cutter.add(rows, last=False), *cutter.add(rows + 10, last=True)]
    batch = shape.batch(excerpts)
    assert batch.rows[:, :, 0].tolist() == [[0, 2, 4], [1, 3, 5], [10, 12, 14], [11, 13, 15]]
    assert batch.lengths.tolist() == [3] * 4
    rows[4] = np.nan
    assert cutter.add(rows, last=True) == []
    assert dropped == {"not_finite": 1}


def test_excerpts_allow_at_least_one_prediction():
    dropped = Counter()
    cutter = Sequences(1, 100.0).cutter(stride=4, longest=3, dropped=dropped)
    assert [len(excerpt) for excerpt in cutter.add(np.ones((8, 1), np.float32), last=True)] == [8]
    assert cutter.add(np.ones((7, 1), np.float32), last=True) == []
    assert dropped == {"short": 1}


def rows_that_a_sample_changes(layers, length, hop, n_samples, sample):
    """Which output rows change with a sample: windows, then each causal convolution, row by row."""
    changed = [start <= sample < start + length for start in range(0, n_samples - length + 1, hop)]
    for layer in layers:
        if isinstance(layer, Conv):
            k, s = layer.kernel, layer.stride
            changed = [any(changed[max(0, j * s - (k - s)) : (j + 1) * s]) for j in range(len(changed) // s)]
    return set(np.flatnonzero(changed))


@pytest.mark.parametrize(("length", "hop"), [(1, 1), (4, 4), (7, 3), (10, 1)])
@pytest.mark.parametrize("modules", [1, 2, 3, 4])
def test_the_least_skip_leaves_nothing_shared(modules, length, hop):
    layers = [layer for module in layout("fine")[:modules] for layer in module]
    skip, shared = least_skip(tuple(layers), length, hop), set()
    n_samples = length + hop * 80
    for sample in range(n_samples):
        rows = rows_that_a_sample_changes(layers, length, hop, n_samples, sample)
        shared |= {later - earlier for earlier in rows for later in rows if later > earlier}
    assert not shared & set(range(skip + 1, 100)), "a target that is predicted shares a sample with its context"
    assert skip == 0 or skip in shared, "one row less would share"


def test_the_least_skip_of_patches_is_the_rows_that_share_pixels():
    for patch, stride in ((10, 3), (8, 8), (7, 4), (12, 5)):
        assert least_skip(layout("patches")[0], patch, stride) == -(-patch // stride) - 1
