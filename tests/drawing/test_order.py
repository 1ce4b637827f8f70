"""Order and mosaics of components."""

import numpy as np
import pytest

from stream_infomax.drawing import component_order as order
from stream_infomax.drawing.scaling import mosaic


def gratings(n: int, side: int) -> np.ndarray:
    """Patches (n, side, side) of rising frequency, all of one orientation."""
    x = np.arange(side)
    return np.stack([np.tile(np.cos(np.pi * (i + 1) * (x + 0.5) / side), (side, 1)) for i in range(n)])


class TestMosaic:
    def test_tiles_stand_in_their_places_each_scaled_to_itself(self) -> None:
        tiles = np.array([np.full((2, 3), value) for value in (1.0, -5.0, 0.25)])
        canvas = mosaic(tiles)
        assert canvas.shape == (5, 7)
        np.testing.assert_array_equal(canvas[:2, :3], 1.0)
        np.testing.assert_array_equal(canvas[:2, 4:], -1.0)
        np.testing.assert_array_equal(canvas[3:, :3], 1.0)
        np.testing.assert_array_equal(canvas[2], 1.0)

    def test_colours_are_moved_to_between_0_and_1(self) -> None:
        canvas = mosaic(np.array([[[[1.0, 0.0, -1.0]]]]))
        np.testing.assert_array_equal(canvas, [[[1.0, 0.5, 0.0]]])


class TestOrder:
    def test_patches_from_low_to_high_frequency(self) -> None:
        shuffled = np.random.default_rng(1).permutation(9)
        found = order.of_patches(gratings(9, 10)[shuffled])
        # Lines of three: within one the orientation decides, and here it is the same for all.
        assert [set(shuffled[found][i : i + 3]) for i in (0, 3, 6)] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]

    def test_the_mean_of_a_patch_does_not_count(self) -> None:
        patches = gratings(9, 10)
        np.testing.assert_array_equal(order.of_patches(patches), order.of_patches(patches + 7.0))

    def test_colours_that_cancel_in_grey_have_a_frequency_too(self) -> None:
        patches = gratings(9, 10)
        opposed = np.stack([patches, -patches, 0 * patches], -1)[np.random.default_rng(1).permutation(9)]
        np.testing.assert_array_equal(order.of_patches(opposed), order.of_patches(opposed[..., 0]))

    def test_signals_from_low_to_high_frequency(self) -> None:
        signals = np.stack([np.sin(2 * np.pi * k * np.arange(64) / 64) for k in (9, 2, 17)])
        np.testing.assert_array_equal(order.of_signals(signals, signals), [1, 0, 2])

    def test_planes_from_low_to_high_bands(self) -> None:
        planes = np.zeros((3, 4, 8))
        planes[0, :, 7] = planes[1, :, 0] = planes[2, :, 3] = 1.0
        np.testing.assert_array_equal(order.of_planes(planes), [1, 2, 0])

    @pytest.mark.parametrize(("n", "aspect", "columns"), [(1, 1.0, 1), (9, 1.0, 3), (10, 1.0, 4), (8, 0.5, 4)])
    def test_columns(self, n: int, aspect: float, columns: int) -> None:
        assert order.columns_for(n, aspect) == columns
