"""OnlineInfomax: what it learns, what it puts out, and that cuts and restarts change no bit."""

import numpy as np
import pytest
from helpers.mixtures import amari, mixed_sources, same

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.estimator import OnlineInfomax


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
    whole = OnlineInfomax(components, overcomplete=True).partial_fit(rows)
    cut = OnlineInfomax(components, overcomplete=True)
    for start in range(0, len(rows), size):
        cut.partial_fit_transform(rows[start : start + size])
    assert same(whole.state(), cut.state()) is None


@pytest.mark.parametrize("components", [4, 6, 15])
@pytest.mark.parametrize("settings", [{}, {"memory": 0}, {"half_life": 500.0}])
@pytest.mark.parametrize("at", [0, 1, 59, 60, 64, 101, 1500])
def test_goes_on_from_a_state_with_the_same_bits(rows, components, settings, at, tmp_path):
    learner = OnlineInfomax(components, overcomplete=True, **settings)
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


@pytest.mark.parametrize("components", [1, 4, 6, 15])
def test_few_filters_make_the_same_of_a_row_whatever_comes_with_it(rows, components):
    learner = OnlineInfomax(components, overcomplete=components > 6).fit(rows)
    whole = learner.transform(rows)
    for size in (1, 7, 100):
        cut = [learner.transform(rows[i : i + size]) for i in range(0, len(rows), size)]
        np.testing.assert_array_equal(np.concatenate(cut), whole)


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
    learner = OnlineInfomax(15, overcomplete=True).fit(rows)
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
    learner = OnlineInfomax(15, overcomplete=True, output="poisson").fit(rows)
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
    first = neurons.minus_log_density(learner.transform(X), np.pi / np.sqrt(3)).sum(axis=1).mean()
    learner.partial_fit(X[128:])
    last = neurons.minus_log_density(learner.transform(X), np.pi / np.sqrt(3)).sum(axis=1).mean()
    assert last < first - 0.1
    assert learner.objective_ == pytest.approx(last, abs=0.3)


def test_tuned_neurons_fit_their_outputs_better():
    rng = np.random.default_rng(0)
    X = np.stack([rng.laplace(size=40_000), rng.exponential(size=40_000), rng.standard_t(3, size=40_000)], axis=1)
    learner = OnlineInfomax().fit(X[:30_000])
    y = learner.transform(X[30_000:]).astype(np.float64)
    start = neurons.minus_log_density(y, np.pi / np.sqrt(3)).mean(axis=0)
    tuned = neurons.minus_log_density(y, learner.beta_, learner.bias_).mean(axis=0)
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
    start = neurons.minus_log_density(y, np.pi / np.sqrt(3)).mean()
    assert neurons.minus_log_density(y, learner.beta_, learner.bias_).mean() < start - 0.01
    t = np.tanh((learner.beta_ * y + learner.bias_) / 2)
    np.testing.assert_allclose((learner.beta_ * y * t).mean(axis=0), 1, atol=0.1)


def test_the_overcomplete_objective_falls():
    X, _ = mixed_sources(20_000, 6)
    learner = OnlineInfomax(12, overcomplete=True).partial_fit(X[:640])
    first = learner.objective_
    assert learner.partial_fit(X[640:]).objective_ < first


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
        ({"block": 1, "n_components": 40, "overcomplete": True}, 4),
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
