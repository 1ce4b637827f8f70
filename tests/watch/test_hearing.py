"""Hearing: which excerpts drive a unit, and what they sound like."""

import io
import wave

import numpy as np

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.watch.hearing import MOST, Hearing, wav

RATE, STEP = 8000.0, 80


def frames(samples, size, segment="one", start=0.0):
    for first in range(0, len(samples), size):
        data = samples[first : first + size, None].astype(np.float32)
        yield Frame(
            "s",
            offset=first // size,
            segment=segment,
            arrays={"s": Array(data, ("time", "channel"))},
            time=start + first / RATE,
            rate=RATE,
        )


def rows(values):
    return Array(np.asarray(values, np.float32), ("time", "component"))


def heard(samples, values, size):
    """Return what is heard where each row of `values` comes of `STEP` samples."""
    hearing = Hearing()
    for frame in frames(samples, size):
        first = frame.offset * size // STEP
        hearing.listen(frame, "s", rows(values[first : first + size // STEP]), RATE / STEP)
    return hearing


def naive(samples, unit):
    """Return place and samples of a unit's excerpts: the largest row again and again, all rows around it out."""
    left, span, found = unit.astype(float).copy(), round(RATE / 2), []
    while len(found) < MOST and np.isfinite(left).any():
        row = int(left.argmax())
        end = (row + 1) * STEP
        found.append((end, samples[max(0, end - span) : end]))
        left[np.abs(np.arange(len(left)) - row) * STEP < span] = -np.inf
    return found


def test_the_strongest_stretches_of_a_signal_are_kept():
    rng = np.random.default_rng(0)
    samples, values = rng.standard_normal(80_000).astype(np.float32), 0.01 * rng.random((1000, 2))
    values[[100, 300, 500, 700, 900, 50, 250], 0] = [7, 6, 5, 4, 3, 2, 1]  # each far from the others
    hearing = heard(samples, values, 800)
    found = hearing.excerpts(0)
    expected = naive(samples, values[:, 0])
    assert [one.place for one in found] == [place for place, _ in expected]
    for one, (_, data) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.data[:, 0], data)
    assert [round(one.value) for one in found] == [7, 6, 5, 4, 3, 2]
    assert found[0].time == 101 * STEP / RATE


def test_excerpts_of_a_unit_do_not_overlap():
    rng = np.random.default_rng(1)
    found = heard(rng.standard_normal(80_000), rng.random((1000, 3)), 800).excerpts(1)
    places = sorted(one.place for one in found)
    assert len(found) == MOST
    assert min(np.diff(places)) >= RATE / 2


def test_an_excerpt_goes_over_no_hole_and_no_border():
    hearing = Hearing()
    for start, segment, level in ((0.0, "one", 1), (7.0, "one", 2), (7.1, "two", 3)):
        for frame in frames(np.full(800, level), 800, segment, start):
            hearing.listen(frame, "s", rows(np.full((10, 1), level)), RATE / STEP)
    for one in hearing.excerpts(0):
        assert np.unique(one.data).tolist() == [one.value]
    assert [one.segment for one in hearing.excerpts(0)] == ["two", "one", "one"]


def test_units_stand_in_the_order_of_their_deviation_and_dead_ones_are_left_out():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((100, 4)) * [1, 3, 0, 2]
    assert heard(rng.standard_normal(8000), values, 800).strongest(8) == [1, 3, 0]


def test_only_what_a_module_adds_has_units():
    rng = np.random.default_rng(5)
    values = rng.standard_normal((10, 5)) * [9, 9, 9, 1, 2]
    hearing = Hearing(n_added=2)
    for frame in frames(rng.standard_normal(800), 800):
        hearing.listen(frame, "s", rows(values), RATE / STEP)
    assert hearing.strongest(8) == [1, 0]
    assert hearing.excerpts(1)[0].value == np.float32(values[:, 4].max())


def test_rows_that_are_not_finite_drive_nothing():
    values = np.full((10, 1), np.nan)
    assert heard(np.ones(800), values, 800).excerpts(0) == []


def test_a_frame_without_rows_changes_nothing():
    rng = np.random.default_rng(5)
    samples, values = rng.standard_normal(1600), rng.random((20, 2))
    with_empty = Hearing()
    for frame in frames(samples, 800):
        nothing = {"s": Array(np.zeros((0, 1), np.float32), ("time", "channel"))}
        empty = Frame("s", offset=-1, segment="one", arrays=nothing, time=frame.time, rate=RATE)
        with_empty.listen(empty, "s", rows(np.zeros((0, 2))), RATE / STEP)
        with_empty.listen(frame, "s", rows(values[10 * frame.offset :][:10]), RATE / STEP)
    found, expected = (one.excerpts(1) for one in (with_empty, heard(samples, values, 800)))
    assert [one[:5] for one in found] == [one[:5] for one in expected]
    assert [one.data.tolist() for one in found] == [one.data.tolist() for one in expected]


def test_patches_of_pictures_are_those_of_the_place_in_the_grid():
    rng = np.random.default_rng(3)
    hearing = Hearing((4, 2))
    for offset in range(2 * MOST):
        picture = rng.standard_normal((1, 10, 12)).astype(np.float32)
        values = rng.random((4, 5, 1)).astype(np.float32)
        values[offset % 4, 3] = 2 + offset
        frame = Frame("p", offset=offset, arrays={"p": Array(picture, ("item", "y", "x"))})
        hearing.listen(frame, "p", Array(values, ("grid_y", "grid_x", "component")), 0.0)
    y = 2 * (offset % 4)
    best = hearing.excerpts(0)
    np.testing.assert_array_equal(best[0].data, picture[0, y : y + 4, 6:10])
    assert [one.place for one in best] == list(range(2 * MOST - 1, MOST - 1, -1))


def test_frames_that_do_not_fit_together_are_heard_as_nothing():
    still = Frame("s", arrays={"s": Array(np.zeros((10, 1), np.float32), ("time", "channel"))}, rate=RATE)
    small = Frame("s", arrays={"s": Array(np.zeros((1, 2, 2), np.float32), ("item", "y", "x"))})
    grid = Array(np.eye(20, 1, -19, np.float32).reshape(4, 5, 1), ("grid_y", "grid_x", "component"))
    for hearing, frame, made, rate in (
        (Hearing(), still, rows(np.ones((3, 1))), 1e-310),
        (Hearing((4, 2)), small, grid, 0.0),
    ):
        hearing.listen(frame, "s", made, rate)
        assert hearing.excerpts(0) == []


def test_excerpts_are_heard_one_after_the_other():
    rng = np.random.default_rng(4)
    values = np.zeros((300, 1))
    values[[100, 290]] = 1
    excerpts = heard(rng.standard_normal(24_000), values, 800).excerpts(0)[:2]
    with wave.open(io.BytesIO(wav(excerpts, RATE))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    assert len(sound) == 2 * (4000 + 1200)
    assert 0.4 < np.abs(sound).max() <= 0.5
    assert not sound[4000:5200].any()
