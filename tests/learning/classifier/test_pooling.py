"""Mean and deviation of a segment."""

import numpy as np

from stream_infomax.learning.classifier.pooling import Pooling, pool


def test_pooling_in_pieces_leaves_out_what_is_not_finite():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 3)).astype(np.float32)
    rows[[4, 30]] = np.nan
    pool = Pooling(3)
    for start in range(0, 50, 8):
        pool.add(rows[start : start + 8])
    good = rows[np.isfinite(rows).all(1)].astype(np.float64)
    np.testing.assert_allclose(pool.result(), np.concatenate([good.mean(0), good.std(0)]), rtol=1e-6)
    other = Pooling(3)
    other.restore(pool.state())
    assert np.array_equal(other.result(), pool.result())
    assert np.isnan(Pooling(3).result()).all()


def test_a_whole_segment_at_once():
    rows = np.array([[1.0, 2.0], [3.0, 2.0], [np.nan, 0.0]])
    assert pool(rows).tolist() == [2, 2, 1, 0]
    assert np.isnan(pool(rows[2:])).all()
