"""Known sources: their statistics, the mixing, its drift, and random access."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.frames import wire
from stream_infomax.sources.synthetic import CONDITION, SyntheticSource

EXCESS_KURTOSIS = {"laplace": 3.0, "uniform": -1.2, "logistic": 1.2}


def kurtosis(rows: np.ndarray) -> np.ndarray:
    return (rows**4).mean(axis=0) / (rows**2).mean(axis=0) ** 2 - 3


@pytest.mark.parametrize("density", ["laplace", "uniform", "logistic"])
def test_sources_have_unit_variance_and_their_kurtosis(density: str) -> None:
    source = SyntheticSource(n_sources=4, density=density, rows=50_000)
    sources = source.sources(0)
    np.testing.assert_allclose(sources.std(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(kurtosis(sources), EXCESS_KURTOSIS[density], atol=0.6)
    np.testing.assert_allclose(np.corrcoef(sources.T), np.eye(4), atol=0.03)


def test_mixed_sources_are_half_super_and_half_sub_gaussian() -> None:
    signs = np.sign(kurtosis(SyntheticSource(n_sources=5, density="mixed", rows=20_000).sources(3)))
    assert signs.tolist() == [1, 1, 1, -1, -1]


def test_rows_are_the_mixed_sources() -> None:
    source = SyntheticSource(n_sources=6, drift=0.5, rows=100, rate=200.0, frames=5)
    frames = list(source.frames())
    assert [frame.offset for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.end for frame in frames] == [False] * 4 + [True]
    assert frames[3].time == 1.5
    for frame in frames:
        array = frame.arrays["source"]
        assert array.axes == ("time", "channel")
        assert array.data.dtype == np.float32
        expected = source.sources(frame.offset) @ source.mixing(frame.offset).T
        np.testing.assert_allclose(array.data, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_sources", [1, 2, 7, 16])
def test_the_mixing_is_well_conditioned_and_turns(n_sources: int) -> None:
    source = SyntheticSource(n_sources=n_sources, drift=0.1, rows=100, rate=100.0)
    for offset in (0, 1, 50):
        singular = np.linalg.svd(source.mixing(offset), compute_uv=False)
        assert singular[0] / singular[-1] <= CONDITION * (1 + 1e-9)
    turned = source.mixing(7) @ np.linalg.inv(source.mixing(0))
    angles = np.abs(np.angle(np.linalg.eigvals(turned)))
    expected = [0.7] * (n_sources // 2 * 2) + [0.0] * (n_sources % 2)
    np.testing.assert_allclose(np.sort(angles), np.sort(expected), atol=1e-6)


def test_without_drift_the_mixing_stays() -> None:
    source = SyntheticSource()
    np.testing.assert_array_equal(source.mixing(0), source.mixing(399))


@given(start=st.integers(0, 12), seed=st.integers(0, 5), density=st.sampled_from(["laplace", "mixed"]))
@settings(max_examples=20, deadline=None)
def test_any_offset_can_be_sought(start: int, seed: int, density: str) -> None:
    source = SyntheticSource(n_sources=3, rows=8, frames=10, density=density, drift=1.0, seed=seed)
    whole = [wire.encode(frame) for frame in source.frames()]
    assert [wire.encode(frame) for frame in source.frames(start)] == whole[start:]


def test_frames_and_seeds_differ() -> None:
    frames = [frame.arrays["source"].data for frame in SyntheticSource(frames=2).frames()]
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(SyntheticSource(seed=1).mixing(0), SyntheticSource(seed=2).mixing(0))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"density": "cauchy"}, 'accepted: "laplace", "uniform", "logistic", "mixed"'),
        ({"n_sources": 0}, "n_sources = 0"),
        ({"rows": 0}, "rows = 0"),
        ({"frames": 0}, "frames = 0"),
        ({"rate": -1.0}, "rate = -1"),
        ({"drift": float("nan")}, "drift = nan"),
        ({"drift": 0.1, "rate": 0.0}, "drift = 0.1: it is per second, and rate = 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticSource(**keywords)  # type: ignore[arg-type]
