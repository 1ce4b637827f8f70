"""Spectra of outputs: against the transform as it is written, with any cut, over borders and gaps."""

import numpy as np
import pytest
from reference import power_spectrum

from stream_infomax.learning.measures.spectra import NEWEST, ONE_IN, ONE_IN_LATER, RunningSpectra, periodograms

RATE, LENGTH = 60.0, 64


def noise(n: int, columns: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, columns)).astype(np.float32)


def feed(spectra: RunningSpectra, rows: np.ndarray, cut: int, stream: str = "a", segment: str = "") -> None:
    for first in range(0, len(rows), cut):
        block = rows[first : first + cut]
        if spectra.wants(len(block), RATE, stream, segment):
            spectra.add(block)


def test_against_the_transform_as_it_is_written() -> None:
    rows = noise(LENGTH) + 3
    np.testing.assert_allclose(
        periodograms(rows, RATE), power_spectrum(rows.astype(float), RATE), rtol=1e-9, atol=1e-15
    )


def test_power_sums_to_the_variance() -> None:
    spectra = RunningSpectra()
    feed(spectra, noise(40_000) * [1, 3], 100)
    np.testing.assert_allclose(spectra.power.sum(0) * RATE / LENGTH, [1, 9], rtol=0.1)


def test_one_stretch_in_four_with_any_cut() -> None:
    rows = noise(3000)
    stretches = [rows[first : first + LENGTH] for first in range(0, 3000 - LENGTH + 1, ONE_IN * LENGTH)]
    expected = np.mean([periodograms(stretch, RATE) for stretch in stretches], axis=0)
    for cut in (1, 7, LENGTH, 257, 3000):
        spectra = RunningSpectra()
        feed(spectra, rows, cut)
        assert spectra.stretches == len(stretches)
        np.testing.assert_allclose(spectra.power, expected, rtol=1e-9)


def test_the_newest_stretches_count() -> None:
    spectra = RunningSpectra()
    feed(spectra, noise(ONE_IN * LENGTH * NEWEST), 999)
    before = spectra.power.sum()
    feed(spectra, 10 * noise(ONE_IN_LATER * LENGTH * 5 * NEWEST), 999)
    assert spectra.power.sum() > 95 * before


def test_no_stretch_crosses_a_border_or_rows_that_are_not_finite() -> None:
    spectra = RunningSpectra()
    for i in range(20):
        feed(spectra, noise(LENGTH - 1), 21, segment=str(i))
    assert spectra.stretches == 0
    rows = noise(10 * LENGTH)
    rows[LENGTH - 1 :: LENGTH] = np.nan
    feed(spectra, rows, 50, segment="broken")
    assert spectra.stretches == 0
    feed(spectra, noise(LENGTH), LENGTH, segment="whole")
    assert spectra.stretches == 1


def test_streams_that_take_turns_are_not_mixed() -> None:
    spectra, alone = RunningSpectra(), RunningSpectra()
    rows = noise(LENGTH)
    for first in range(0, LENGTH, 16):
        feed(spectra, rows[first : first + 16], 16, "a")
        feed(spectra, 100 * rows[first : first + 16], 16, "b")
    feed(alone, rows, LENGTH)
    np.testing.assert_array_equal(spectra.power, alone.power)


@pytest.mark.parametrize(("rate", "length"), [(0.0, 0), (1.0, 64), (160.0, 128), (250.0, 256), (44_100.0, 512)])
def test_a_stretch_is_about_a_second(rate: float, length: int) -> None:
    spectra = RunningSpectra()
    assert spectra.wants(10, rate, "a", "") == (length > 0)
    assert spectra.length == length
