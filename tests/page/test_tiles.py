"""What is drawn of a basis: mosaics of every geometry, in few bytes, and one component large."""

import numpy as np
import pytest
from helpers.geometries import EEG, GEOMETRIES, basis

from stream_infomax.page import tiles


def look(kind: str, n: int = 7) -> tiles.Look:
    return tiles.look(basis(*GEOMETRIES[kind], n), 8000.0, EEG if kind == "head" else ())


@pytest.mark.parametrize("kind", GEOMETRIES)
@pytest.mark.parametrize("n", [1, 7, 200])
def test_every_geometry_has_a_mosaic_of_few_bytes(kind: str, n: int) -> None:
    if kind in ("head", "bars") and n > 30:
        n = 20
    found = look(kind, n)
    assert found.kind == kind
    assert sorted(found.order) == list(range(n))
    for side in ("filters", "basis"):
        mosaic = found.mosaic(side)
        size = mosaic.x.nbytes + mosaic.y.nbytes + (0 if mosaic.pixels is None else mosaic.pixels.nbytes)
        assert 0 < size < 75_000
        if mosaic.pixels is not None:
            height, width = mosaic.pixels.shape
            tile_y, tile_x = height / found.lines, width / found.columns
            assert tile_y == int(tile_y)
            assert tile_x == int(tile_x)
        for points, end in ((mosaic.x, found.columns), (mosaic.y, found.lines * found.height)):
            assert not (points < 0).any()
            assert not (points > end).any()


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_a_point_of_a_tile_is_its_component_and_beside_them_is_none(kind: str) -> None:
    found = look(kind)
    for place, component in enumerate(found.chosen):
        x, y = found.corner(place)
        assert found.at(x + 0.1, y + 0.1) == found.at(x + 0.9, y + 0.9 * found.height) == component
    assert found.at(-0.1, 0.1) is None
    assert found.at(0.1, -0.1) is None
    assert found.at(0.1, found.lines * found.height + 0.1) is None
    x, y = found.corner(len(found.chosen) - 1)
    assert found.at(x + 1.1, y + 0.1) is None


def test_a_patch_stands_upright_in_its_place_and_its_heavier_side_is_bright() -> None:
    columns = np.zeros((4, 2))
    columns[0, 0] = -3.0  # the upper left pixel
    columns[3, 1] = 2.0  # the lower right one
    found = tiles.look(basis(("y", "x"), (2, 2), mixing=columns), order=[0, 1])
    upper_left, lower_right = [255, 128, 128, 128], [128, 128, 128, 255]
    pixels = found.mosaic("basis").pixels
    assert pixels is not None
    assert pixels.shape == (3, 6)
    np.testing.assert_array_equal(pixels[::-1][1:, :2].ravel(), upper_left)
    np.testing.assert_array_equal(pixels[::-1][1:, 3:5].ravel(), lower_right)
    assert (pixels[:, 2] == tiles.NOTHING).all()
    large = found.large("basis", 1).pixels
    assert large is not None
    np.testing.assert_array_equal(large[::-1].ravel(), lower_right)


def test_time_goes_to_the_right_and_bands_go_up() -> None:
    plane = np.zeros((3, 4))
    plane[2, 0] = 1.0  # the last step, the lowest band
    found = tiles.look(basis(("sample", "mel"), (3, 4), mixing=plane.reshape(-1, 1)))
    large = found.large("basis", 0).pixels
    assert large is not None
    assert large.shape == (4, 3)
    assert large[0, 2] == 255
    assert (np.delete(large.ravel(), 2) == 128).all()


def test_bytes_of_values_and_colours() -> None:
    np.testing.assert_array_equal(tiles.shades(np.array([-1.0, 0.0, 1.0, np.nan])), [1, 128, 255, 0])
    corners = np.array([[-1.0, -1, -1], [1, 1, 1], [1, -1, -1]])
    np.testing.assert_array_equal(tiles.mixtures(corners), [1, 245, 1 + 6 * 35])
    assert [f"{one:08x}" for one in tiles.colours(corners)] == ["ff000000", "ffffffff", "ff0000ff"]


def test_of_too_many_patches_as_many_are_shown_as_there_is_room_for() -> None:
    found = tiles.look(basis(("y", "x"), (16, 16), 250))
    assert len(found.chosen) == 93
    assert len(set(found.chosen.tolist())) == 93


def test_a_wave_keeps_its_extremes_when_it_is_thinned() -> None:
    row = np.zeros(5000)
    row[[77, 4001]] = 1.0, -1.0
    found = tiles.look(basis(("sample",), (5000,), mixing=row[:, None]))
    y = found.mosaic("basis").y
    assert len(y) == tiles.MOST_POINTS + 1
    assert np.nanmax(y) == pytest.approx(found.height * 0.93)
    assert np.nanmin(y) == pytest.approx(found.height * 0.07)


def test_stretches_have_their_extremes_and_gaps_stay_gaps() -> None:
    rows = np.array([1.0, 5, 2, 0, np.nan, np.nan, 3, 3])
    places, low, high = tiles.reduced(rows, 4)
    np.testing.assert_array_equal(places, [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_array_equal(low, [1, 0, np.nan, 3])
    np.testing.assert_array_equal(high, [5, 2, np.nan, 3])
    assert [len(part) for part in tiles.reduced(rows[:3], 10)] == [3, 3, 3]


def test_the_largest_share_is_first_where_there_is_no_frequency() -> None:
    columns = np.diag([1.0, 3.0, 2.0])
    found = tiles.look(basis(("component",), (3,), mixing=columns))
    np.testing.assert_array_equal(found.order, [1, 2, 0])
    np.testing.assert_allclose(found.shares, np.array([1, 9, 4]) / 14)


def test_a_dead_component_is_drawn_as_nothing() -> None:
    for kind, (axes, shape) in GEOMETRIES.items():
        dead = tiles.look(basis(axes, shape, mixing=np.zeros((int(np.prod(shape)), 3))), 1.0, EEG * (kind == "head"))
        assert dead.kind == kind
        dead.mosaic("basis")
        dead.large("filters", 2)
