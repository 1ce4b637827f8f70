"""Encoders: what comes out stands for the same input whatever the frames, and nothing passes a gap."""

import numpy as np
from helpers.extras import extra

torch = extra("torch")

from stream_infomax.learning.contrast.encoders import GridEncoder, RowEncoder  # noqa: E402
from stream_infomax.learning.contrast.layouts import Conv, Recurrent  # noqa: E402
from stream_infomax.learning.contrast.online import OnlineModule  # noqa: E402


def walk(rows=41, width=3):
    return np.cumsum(np.random.default_rng(0).standard_normal((rows, width)), 0).astype(np.float32) / 10


def test_rows_stand_for_the_same_input_whatever_the_frames():
    module = OnlineModule(3, (Conv(4, 2, 8), Conv(4, 2, 8), Recurrent(8)), 4)
    rows = walk(41)
    z, c = RowEncoder(module).encode(rows)
    assert z.shape == c.shape == (10, 8)
    encoder, pieces, at = RowEncoder(module), [], 0
    for size in (1, 2, 3, 4, 5, 11, 100):
        pieces.append(encoder.encode(rows[at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate([piece for piece, _ in pieces]), z, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([piece for _, piece in pieces]), c, atol=1e-6)


def test_a_gap_gives_nan_and_resets_the_state():
    module = OnlineModule(3, (Conv(4, 2, 8), Recurrent(8)), 4)
    rows = walk(40)
    rows[13] = np.nan
    z, c = RowEncoder(module).encode(rows)
    assert np.flatnonzero(np.isnan(z).any(1)).tolist() == np.flatnonzero(np.isnan(c).all(1)).tolist() == [6]
    after_z, after_c = RowEncoder(module).encode(rows[14:])
    np.testing.assert_allclose(z[7:], after_z, atol=1e-6)
    np.testing.assert_allclose(c[7:], after_c, atol=1e-6)


def test_restored_encoder_goes_on_alike():
    module = OnlineModule(3, (Conv(4, 2, 8), Recurrent(8)), 4)
    rows = walk(40)
    one, other, fresh = RowEncoder(module), RowEncoder(module), RowEncoder(module)
    fresh.restore(other.state())
    one.encode(rows[:13])
    other.restore(one.state())
    assert np.array_equal(one.encode(rows[13:])[1], other.encode(rows[13:])[1])
    assert np.array_equal(fresh.encode(rows[:13])[1], RowEncoder(module).encode(rows[:13])[1])
    one.reset()
    assert np.array_equal(one.encode(rows[:13])[1], fresh.__class__(module).encode(rows[:13])[1])


def test_a_grid_is_encoded_column_by_column():
    module = OnlineModule(3, (Conv(1, 1, 8),), 2, columns=4)
    grid = walk(20)
    z, c = GridEncoder(module, 5, 4).encode(grid)
    alone, _, _ = module.transform(grid[None, 7:8], None)
    assert z.shape == c.shape == (20, 8)
    np.testing.assert_allclose(z[7], alone[0, 0], atol=1e-6)
    spoilt = grid.copy()
    spoilt[7, 1] = np.nan
    after, _ = GridEncoder(module, 5, 4).encode(spoilt)
    assert np.flatnonzero(np.isnan(after).any(1)).tolist() == [7]
    np.testing.assert_array_equal(np.delete(after, 7, 0), np.delete(z, 7, 0))
