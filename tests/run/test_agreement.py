"""How far kept features agree, against the plain correlation of all rows."""

from pathlib import Path

import numpy as np

from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.agreement import Agreement, agreements
from stream_infomax.sinks.store import FrameStore


def rows(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1e3, 1, (n, 3)).astype(np.float32)


def array(values: np.ndarray) -> Array:
    return Array(values, ("item", "component"))


def compared(one: np.ndarray, other: np.ndarray, pieces: int = 10) -> Agreement:
    found = Agreement()
    for offset, (mine, its) in enumerate(zip(np.split(one, pieces), np.split(other, pieces), strict=True)):
        found.add(array(mine), array(its), offset)
    return found


def test_the_same_rows_agree_to_the_bit() -> None:
    one = rows()
    one[17] = np.nan
    found = compared(one, one.copy())
    assert (found.rows, found.same, found.first, found.unlike) == (200, 200, -1, 0)
    np.testing.assert_allclose(found.correlations, 1)


def test_correlations_are_those_of_all_rows_from_the_first_difference_on() -> None:
    one = rows()
    other = one.copy()
    other[63:, 1] = -0.5 * one[63:, 1] + rows(seed=1)[63:, 0]
    other[120] = np.nan
    found = compared(one, other)
    assert (found.rows, found.same, found.first) == (200, 63, 3)
    finite = np.isfinite(other).all(1)
    finite[:60] = False
    expected = [np.corrcoef(*pair)[0, 1] for pair in zip(one[finite].T, other[finite].T, strict=True)]
    np.testing.assert_allclose(found.correlations, expected, atol=1e-3)


def test_other_widths_are_counted_and_columns_that_do_not_vary_have_no_correlation() -> None:
    found = Agreement()
    found.add(array(rows()[:, :0]), array(rows()[:, :0]), 0)
    found.add(array(rows()), array(rows()[:, :2]), 1)
    assert (found.rows, found.unlike, found.first, len(found.correlations)) == (0, 1, 1, 0)
    still = np.ones((4, 3), np.float32)
    assert np.isnan(compared(still, still, 2).correlations).all()


def kept(folder: Path, first: int, values: np.ndarray) -> Path:
    store = FrameStore(folder)
    for offset, row in enumerate(values, first):
        store.accept(Output(Frame("a", offset, arrays={"x": array(row[None])})))
    store.save(Mark("log", first + len(values), True))
    return folder


def test_frames_are_compared_by_their_offset(tmp_path: Path) -> None:
    values = rows()
    one, other = kept(tmp_path / "one", 0, values[:100]), kept(tmp_path / "other", 60, values[60:])
    found = agreements(one, other)["x"]
    assert (found.rows, found.same) == (40, 40)
    assert agreements(one, tmp_path) == {}
