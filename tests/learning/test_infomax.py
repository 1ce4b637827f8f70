"""OnlineInfomax: what it learns, that cuts and restarts change no bit, and what it does with bad input."""

import numpy as np
import pytest

from stream_infomax import state_file
from stream_infomax.learning import tuning
from stream_infomax.learning.infomax import OnlineInfomax


def mixed_sources(n, k, seed=0, kind="laplace"):
    rng = np.random.default_rng(seed)
    sources = rng.laplace(size=(n, k)) if kind == "laplace" else rng.uniform(-1, 1, size=(n, k))
    mixing = rng.standard_normal((k, k))
    return sources @ mixing.T + rng.standard_normal(k), mixing


def amari(product):
    """Amari distance of a matrix from a scaled permutation, 0 where it is one (Amari, Cichocki & Yang 1996)."""
    a = np.abs(product)
    k = len(a)
    rows = (a.sum(1) / a.max(1) - 1).sum()
    columns = (a.sum(0) / a.max(0) - 1).sum()
    return (rows + columns) / (2 * k * (k - 1))


def same(left, right):
    """The first path where two states differ, or None."""
    assert left.keys() == right.keys()
    for name in left:
        if isinstance(left[name], dict):
            inner = same(left[name], right[name])
            if inner:
                return f"{name}/{inner}"
        elif isinstance(left[name], np.ndarray):
            if left[name].dtype != right[name].dtype or not np.array_equal(left[name], right[name], equal_nan=True):
                return name
        elif left[name] != right[name]:
            return name
    return None


@pytest.fixture(scope="module")
def rows():
    return mixed_sources(3000, 6)[0].astype(np.float32)


@pytest.mark.parametrize("kind", ["laplace", "uniform"])
def test_recovers_known_sources(kind):
    X, mixing = mixed_sources(20_000, 6, kind=kind)
    learner = OnlineInfomax().fit(X)
    assert amari(learner.components_ @ mixing) < 0.05


def test_recovers_a_mixture_of_super_and_sub_gaussian_sources():
    _, mixing = mixed_sources(30_000, 6)
    rng = np.random.default_rng(5)
    sources = np.concatenate([rng.laplace(size=(30_000, 3)), rng.uniform(-1, 1, size=(30_000, 3))], axis=1)
    learner = OnlineInfomax().fit(sources @ mixing.T)
    assert amari(learner.components_ @ mixing) < 0.05


def test_a_half_life_follows_a_mixing_that_changes():
    before, first = mixed_sources(10_000, 4)
    after, second = mixed_sources(20_000, 4, seed=1)
    learner = OnlineInfomax(half_life=1000.0).partial_fit(before)
    assert amari(learner.components_ @ first) < 0.1
    learner.partial_fit(after)
    assert amari(learner.components_ @ second) < 0.1


@pytest.mark.parametrize("components", [4, 6, 15])
@pytest.mark.parametrize("size", [1, 7, 256])
def test_the_cut_into_calls_changes_no_bit(rows, components, size):
    whole = OnlineInfomax(components).partial_fit(rows)
    cut = OnlineInfomax(components)
    for start in range(0, len(rows), size):
        cut.partial_fit_transform(rows[start : start + size])
    assert same(whole.state(), cut.state()) is None


@pytest.mark.parametrize("components", [4, 6, 15])
@pytest.mark.parametrize("settings", [{}, {"memory": 0}, {"half_life": 500.0}])
@pytest.mark.parametrize("at", [0, 1, 59, 60, 64, 101, 1500])
def test_goes_on_from_a_state_with_the_same_bits(rows, components, settings, at, tmp_path):
    learner = OnlineInfomax(components, **settings)
    if at:
        learner.partial_fit(rows[:at])
    learner.save(tmp_path / "state.safetensors")
    again = OnlineInfomax.load(tmp_path / "state.safetensors")
    assert same(learner.state(), again.state()) is None
    for part in (rows[at : at + 333], rows[at + 333 :]):
        np.testing.assert_array_equal(learner.partial_fit_transform(part), again.partial_fit_transform(part))
    assert same(learner.state(), again.state()) is None


def test_a_file_that_is_not_whole_is_named(rows, tmp_path):
    path = tmp_path / "state.safetensors"
    OnlineInfomax().partial_fit(rows[:1000]).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.safetensors: its content does not match its digest"):
        OnlineInfomax.load(path)


def test_a_file_of_another_version_is_named(tmp_path):
    path = tmp_path / "state.safetensors"
    state_file.save(path, {"format": 2, "settings": {"no_longer": 1}})
    with pytest.raises(state_file.StateFileError, match=r"state\.safetensors: .* format 2; this version reads 3"):
        OnlineInfomax.load(path)


def test_a_state_is_a_copy(rows):
    learner = OnlineInfomax().partial_fit(rows[:1000])
    state = learner.state()
    kept = {name: array.copy() for name, array in state["learner"]["rule"].items() if isinstance(array, np.ndarray)}
    learner.partial_fit(rows[1000:])
    for name, array in kept.items():
        np.testing.assert_array_equal(state["learner"]["rule"][name], array)
    assert state["learner"]["memory"]["rows"].shape == (960, 6)


def test_a_state_of_other_settings_is_refused(rows):
    state = OnlineInfomax(4).partial_fit(rows).state()
    with pytest.raises(ValueError, match=r"n_components is 5 here and 4 in the state"):
        OnlineInfomax(5).restore(state)
    state["format"] = 99
    with pytest.raises(ValueError, match="format 99"):
        OnlineInfomax(4).restore(state)


def test_rows_are_encoded_before_they_are_learnt(rows):
    learner = OnlineInfomax().partial_fit(rows[:1000])
    before = learner.transform(rows[1000:2000])
    np.testing.assert_array_equal(learner.partial_fit_transform(rows[1000:2000]), before)
    assert not np.array_equal(learner.transform(rows[1000:2000]), before)


def test_potentials_are_filters_times_centred_rows_and_come_back(rows):
    learner = OnlineInfomax().fit(rows)
    y = learner.transform(rows)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (rows - learner.mean_) @ learner.components_.T, atol=1e-5)
    np.testing.assert_allclose(learner.inverse_transform(y), rows, atol=1e-4)
    np.testing.assert_allclose(learner.components_ @ learner.mixing_, np.eye(6), atol=1e-4)


def test_overcomplete_potentials_reconstruct(rows):
    learner = OnlineInfomax(15).fit(rows)
    assert learner.components_.shape == (15, 6)
    np.testing.assert_allclose(learner.inverse_transform(learner.transform(rows)), rows, atol=1e-4)


def test_outputs(rows):
    settings = {"potential": 6, "rate": 6, "halves": 12, "log": 6}
    made = {name: OnlineInfomax(output=name).fit(rows) for name in settings}
    y = made["potential"].transform(rows)
    for name, width in settings.items():
        assert made[name].transform(rows).shape == (len(rows), width)
        assert made[name].transform(rows).dtype == np.float32
        assert made[name].width_ == width
    drive = made["rate"].beta_ * y + made["rate"].bias_
    np.testing.assert_allclose(made["rate"].transform(rows), (1 / (1 + np.exp(-drive))) ** 2 / 4, atol=1e-5)
    np.testing.assert_allclose(made["log"].transform(rows), np.log(np.abs(y) + 0.1), atol=1e-5)
    halves = made["halves"].transform(rows)
    np.testing.assert_array_equal(halves[:, :6] - halves[:, 6:], y)
    assert halves.min() == 0
    with pytest.raises(ValueError, match="output='rate'"):
        made["rate"].inverse_transform(y)


def test_spikes_are_poisson_numbers_of_the_rate(rows):
    rates = OnlineInfomax(output="rate").fit(rows).transform(rows).astype(float)
    learner = OnlineInfomax(output="poisson").fit(rows)
    spikes = learner.transform(rows)
    assert spikes.dtype == np.float32
    assert set(np.unique(spikes)) <= set(range(8))
    error = np.sqrt(rates.sum(axis=0))
    np.testing.assert_array_less(np.abs((spikes - rates).sum(axis=0)), 4 * error)
    assert ((spikes - rates) ** 2).sum() == pytest.approx(rates.sum(), rel=0.12)
    other = OnlineInfomax(output="poisson", random_state=1).fit(rows).transform(rows)
    assert not np.array_equal(spikes, other)
    with pytest.raises(ValueError, match="output='poisson'"):
        learner.inverse_transform(spikes)


@pytest.mark.parametrize("size", [1, 7, 256])
def test_the_cut_into_calls_changes_no_spike(rows, size):
    learner = OnlineInfomax(15, output="poisson").fit(rows)
    whole = learner.transform(rows, first=5)
    cut = [learner.transform(rows[i : i + size], first=5 + i) for i in range(0, len(rows), size)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    assert not np.array_equal(learner.transform(rows), whole)


def test_spikes_go_on_after_a_restart(rows, tmp_path):
    dirty = rows.copy()
    dirty[700] = np.nan
    whole = OnlineInfomax(output="poisson")
    expected = [whole.partial_fit_transform(part) for part in np.split(dirty, 10)]
    first = OnlineInfomax(output="poisson")
    for part in np.split(dirty, 10)[:4]:
        first.partial_fit_transform(part)
    first.save(tmp_path / "state.safetensors")
    second = OnlineInfomax.load(tmp_path / "state.safetensors")
    for part, wanted in zip(np.split(dirty, 10)[4:], expected[4:], strict=True):
        np.testing.assert_array_equal(second.partial_fit_transform(part), wanted)


def test_the_objective_falls():
    X, _ = mixed_sources(20_000, 6)
    learner = OnlineInfomax().partial_fit(X[:128])
    first = tuning.minus_log_density(learner.transform(X), np.pi / np.sqrt(3)).sum(axis=1).mean()
    learner.partial_fit(X[128:])
    last = tuning.minus_log_density(learner.transform(X), np.pi / np.sqrt(3)).sum(axis=1).mean()
    assert last < first - 0.1
    assert learner.objective_ == pytest.approx(last, abs=0.3)


def test_tuned_neurons_fit_their_outputs_better():
    rng = np.random.default_rng(0)
    X = np.stack([rng.laplace(size=40_000), rng.exponential(size=40_000), rng.standard_t(3, size=40_000)], axis=1)
    learner = OnlineInfomax().fit(X[:30_000])
    y = learner.transform(X[30_000:]).astype(np.float64)
    start = tuning.minus_log_density(y, np.pi / np.sqrt(3)).mean(axis=0)
    tuned = tuning.minus_log_density(y, learner.beta_, learner.bias_).mean(axis=0)
    assert (tuned < start - 0.001).all()
    # The likeliest logistic density: the derivatives with respect to β and b vanish.
    t = np.tanh((learner.beta_ * y + learner.bias_) / 2)
    np.testing.assert_allclose((learner.beta_ * y * t).mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(t.mean(axis=0), 0, atol=0.05)


def test_loud_blocks_outweigh_silent_ones_in_the_tuning():
    rng = np.random.default_rng(1)
    loud = np.repeat(rng.random(1400) < 0.5, 64)[:, None]
    X = rng.laplace(size=(89_600, 3)) * np.where(loud, 1.0, 0.05)
    learner = OnlineInfomax().fit(X[:70_000])
    y = learner.transform(X[70_000:]).astype(np.float64)
    start = tuning.minus_log_density(y, np.pi / np.sqrt(3)).mean()
    assert tuning.minus_log_density(y, learner.beta_, learner.bias_).mean() < start - 0.01
    t = np.tanh((learner.beta_ * y + learner.bias_) / 2)
    np.testing.assert_allclose((learner.beta_ * y * t).mean(axis=0), 1, atol=0.1)


def test_the_overcomplete_objective_falls():
    X, _ = mixed_sources(20_000, 6)
    learner = OnlineInfomax(12).partial_fit(X[:640])
    first = learner.objective_
    assert learner.partial_fit(X[640:]).objective_ < first


def test_warm_up_rows_are_nan_and_transform_says_what_is_missing(rows):
    learner = OnlineInfomax(4, warmup=100)
    with pytest.raises(ValueError, match="not over"):
        learner.transform(rows)
    out = learner.partial_fit_transform(rows[:60])
    assert out.shape == (60, 4)
    assert np.isnan(out).all()
    with pytest.raises(ValueError, match="40 more rows"):
        learner.transform(rows)
    assert np.isnan(learner.partial_fit_transform(rows[60:200])).all()
    assert np.isfinite(learner.partial_fit_transform(rows[200:210])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_set_aside(rows, bad):
    clean = OnlineInfomax().partial_fit(rows)
    dirty = np.insert(rows, [0, 5, 700, 3000], np.full(6, 1.0), axis=0)
    where = [0, 6, 702, 3003]
    for i, column in zip(where, [0, 5, 3, 2], strict=True):
        dirty[i, column] = bad
    learner = OnlineInfomax().partial_fit(dirty)
    np.testing.assert_array_equal(learner.components_, clean.components_)
    assert learner.n_set_aside_ == {"not finite": 4}
    assert learner.n_rows_seen_ == len(rows)
    encoded = learner.transform(dirty)
    assert np.flatnonzero(np.isnan(encoded).any(axis=1)).tolist() == where
    assert np.isnan(encoded[where]).all()
    np.testing.assert_array_equal(np.delete(encoded, where, axis=0), clean.transform(rows))


@pytest.mark.filterwarnings("ignore:overflow encountered in matmul")
@pytest.mark.parametrize("code", [3.4e38, 1e300, -np.finfo(np.float64).max])
def test_error_codes_of_any_size_among_the_first_rows_do_no_harm(rows, code):
    X = rows.astype(np.float64)
    X[[0, 3, 50], 2] = code
    learner, plain = OnlineInfomax().fit(X), OnlineInfomax().fit(rows)
    np.testing.assert_allclose(np.abs(learner.components_ @ plain.mixing_).max(axis=1), 1, atol=0.1)


@pytest.mark.parametrize("components", [None, 9])
def test_constant_and_repeated_channels(rows, components):
    X = np.concatenate([rows, np.full((len(rows), 1), 3.5, np.float32), rows[:, :1]], axis=1)
    learner = OnlineInfomax(components).fit(X)
    assert learner.n_rank_ == 6
    assert np.isfinite(learner.components_).all()
    np.testing.assert_allclose(learner.inverse_transform(learner.transform(X)), X, atol=1e-3)


def test_all_zeros_never_warm_up_and_a_signal_later_does(rows):
    learner = OnlineInfomax().partial_fit(np.zeros((500, 6)))
    with pytest.raises(ValueError, match="vary"):
        learner.transform(rows)
    learner.partial_fit(rows)
    assert np.isfinite(learner.components_).all()


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_a_stream_that_begins_between_silences_gets_its_whole_rank(rows, share):
    heard = np.random.default_rng(0).random(len(rows)) < share
    learner = OnlineInfomax().partial_fit(np.where(heard[:, None], rows, 0)).partial_fit(rows)
    assert learner.n_rank_ == 6
    assert np.abs(learner.components_).max() < 100


@pytest.mark.parametrize("heard", [1, 2, 5])
def test_the_first_rows_after_a_silence_do_not_decide_the_rank(rows, heard, tmp_path):
    X = np.concatenate([np.full((6400 - heard, 6), 0.5, np.float32), rows])
    learner = OnlineInfomax().fit(X)
    assert learner.n_rank_ == 6
    parts = OnlineInfomax().partial_fit(X[:6430])
    parts.save(tmp_path / "learner.safetensors")
    parts = OnlineInfomax.load(tmp_path / "learner.safetensors").partial_fit(X[6430:])
    assert same(parts.state(), learner.state()) is None


def test_a_channel_that_dies_does_not_blow_up(rows):
    dead = rows.copy()
    dead[:, 2] = 0
    learner = OnlineInfomax(half_life=200.0).partial_fit(rows)
    for _ in range(5):
        learner.partial_fit(dead)
    assert np.isfinite(learner.components_).all()
    learner.partial_fit(np.zeros((5000, 6)))
    assert np.isfinite(learner.components_).all()


@pytest.mark.parametrize("shape", [(1, 6), (0, 6), (1, 1)])
def test_few_rows(shape):
    learner = OnlineInfomax()
    assert learner.partial_fit_transform(np.zeros(shape)).shape == shape


def test_one_feature():
    X = np.random.default_rng(0).laplace(size=(500, 1))
    assert OnlineInfomax().fit(X).components_.shape == (1, 1)


def test_another_width_is_refused(rows):
    learner = OnlineInfomax().partial_fit(rows)
    with pytest.raises(ValueError, match=r"5 features.* 6"):
        learner.partial_fit(rows[:, :5])
    with pytest.raises(ValueError, match=r"5 features.* 6"):
        learner.transform(rows[:, :5])


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 0)), np.zeros((2, 3), complex), np.array([["a"]])])
def test_what_is_no_matrix_of_numbers_is_refused(bad):
    with pytest.raises(ValueError, match="accepted are real numbers"):
        OnlineInfomax().partial_fit(bad)


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e-30, 1e30])
def test_scale_and_offset_do_not_matter(rows, factor):
    plain = OnlineInfomax().fit(rows.astype(np.float64))
    moved = OnlineInfomax().fit(factor * (rows.astype(np.float64) + 100.0))
    np.testing.assert_allclose(moved.components_ * factor, plain.components_, atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"n_components": 0}, "n_components is 0"),
        ({"n_rank": 0}, "n_rank is 0"),
        ({"energy": 0.0}, r"energy is 0\.0"),
        ({"energy": 1.5}, r"energy is 1\.5"),
        ({"block": 0}, "block is 0"),
        ({"memory": -1}, "memory is -1"),
        ({"memory": 10}, "memory=10 bytes"),
        ({"half_life": 0}, "half_life is 0"),
        ({"output": "voltage"}, "output is 'voltage'"),
        ({"warmup": 1}, "warmup is 1"),
        ({"block": 64.0}, r"block is 64\.0; accepted is a whole number"),
        ({"random_state": -1}, "random_state is -1"),
    ],
)
def test_settings_are_checked(rows, settings, name):
    with pytest.raises(ValueError, match=name):
        OnlineInfomax(**settings).partial_fit(rows)


def test_settings_may_be_numpy_numbers(rows, tmp_path):
    settings = {"n_components": np.int64(4), "block": np.int32(64), "random_state": np.int64(3)}
    OnlineInfomax(**settings).fit(rows).save(tmp_path / "learner.safetensors")
    loaded = OnlineInfomax.load(tmp_path / "learner.safetensors")
    np.testing.assert_array_equal(loaded.components_, OnlineInfomax(4, block=64, random_state=3).fit(rows).components_)


def test_rank_by_energy_and_by_number(rows):
    X = rows * np.array([100, 50, 1, 1, 1, 1], np.float32)
    X = X - X.mean(0)
    values = np.sort(np.linalg.eigvalsh(np.cov(X[:64].T)))[::-1]
    share = np.sqrt(np.cumsum(values) / values.sum())
    learner = OnlineInfomax(energy=0.99).fit(X)
    assert learner.n_rank_ == np.searchsorted(share, 0.99) + 1
    assert OnlineInfomax(n_rank=3).fit(X).n_components_ == 3
    assert OnlineInfomax(2, n_rank=3).fit(X).n_rank_ == 2


def test_input_is_not_changed_and_may_be_read_only(rows):
    kept = rows.copy()
    frozen = np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape)
    OnlineInfomax().fit(frozen).transform(frozen)
    np.testing.assert_array_equal(frozen, kept)


@pytest.mark.parametrize(
    ("settings", "rows_an_update"),
    [
        ({}, 64),
        ({"block": 1}, 3),
        ({"block": 1, "memory": 0}, 11),
        ({"block": 1, "n_components": 40}, 4),
        ({"block": 7}, 7),
    ],
)
def test_rows_between_updates(rows, settings, rows_an_update):
    learner = OnlineInfomax(**settings).partial_fit(rows[:1000])
    assert learner.n_updates_ == 1000 // rows_an_update
    assert np.isfinite(learner.components_).all()


def test_same_seed_same_bits_other_seed_other_start(rows):
    def learn(seed):
        return OnlineInfomax(random_state=seed).fit(rows).components_

    np.testing.assert_array_equal(learn(1), learn(1))
    assert not np.array_equal(learn(1), learn(2))
