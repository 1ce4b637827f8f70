"""Learners that learn one basis together: what adds up, what is refused, and what is learnt."""

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import reference
from helpers.extras import needs
from helpers.mixtures import amari, mixed_sources, same

from stream_infomax import Encoder, OnlineInfomax
from stream_infomax.learning.infomax import merging
from stream_infomax.learning.infomax.alignment import assigned
from stream_infomax.learning.infomax.exchange import Delta, MergeError, Shared
from stream_infomax.learning.infomax.fitted import NotWarmError
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.moments import Moments
from stream_infomax.learning.infomax.neurons import start_beta
from stream_infomax.learning.infomax.triangle import packed, unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.file import StateFileError

K = 6
ROWS, MIXING = mixed_sources(40_000, K)
KINDS = {
    "complete": {},
    "overcomplete": {"n_components": 9, "overcomplete": True},
    "fewer dimensions": {"n_rank": 4},
    "without a memory": {"memory": 0},
    "with a half-life": {"half_life": 5000.0},
}


def begun(learners=3, **settings):
    """What learners have in common, and the learners."""
    base = OnlineInfomax(**settings).partial_fit(ROWS[:600]).share(learners)
    return base, [OnlineInfomax(**settings).take(base) for _ in range(learners)]


def deltas_of(shards, number=0, n=500):
    """What each learner makes of its own rows of a round."""
    for i, shard in enumerate(shards):
        first = 600 + (number * len(shards) + i) * n
        shard.partial_fit(ROWS[first : first + n])
    return [shard.delta(f"shard {i}") for i, shard in enumerate(shards)]


def rounds(base, shards, count, n=500):
    for number in range(count):
        base = OnlineInfomax.merge(base, deltas_of(shards, number, n))
        for shard in shards:
            shard.take(base)
    return base


def off(one, other):
    """The largest difference, as a share of the largest number."""
    return np.abs(np.asarray(one, np.float64) - other).max() / np.abs(other).max()


# ---------------------------------------------------------------- what adds up


def test_moments_of_blocks_are_those_of_all_their_rows():
    """Rows lie a hundred deviations from where they are counted; what a block's mean misses is in `rest`."""
    rows = ROWS[:3000] + 100 * ROWS.std(axis=0)
    parts = [Moments(np.ones(K)) for _ in range(3)]
    for number, block in enumerate(np.split(rows, 60)):
        mean = np.asarray(block.mean(axis=0) - 1, np.float32).astype(np.float64)
        centred = block - 1 - mean
        parts[number % 3].add(len(block), mean, centred.T @ centred, centred.sum(axis=0))
    weight, total, products = reference.moments(rows, np.ones(K))
    assert sum(one.weight for one in parts) == weight
    assert off(sum(one.sum for one in parts), total) < 1e-12
    assert off(sum(one.scatter for one in parts), products) < 1e-12


def test_moments_merged_are_those_of_one_pass():
    """One learner's whitening that has all blocks, and those of three learners, added."""
    point, blocks = ROWS[0], [(block - ROWS[0]).astype(np.float32) for block in np.split(ROWS[:3000], 60)]
    one, *others = [StreamingWhitener(point) for _ in range(4)]
    for number, block in enumerate(blocks):
        other = others[number % 3]
        other.since = other.since or Moments(point)
        for whitener in (one, other):
            whitener.add(block)
    parts = [other.since for other in others]
    weight, total = (sum(getattr(part, key) for part in parts) for key in ("weight", "sum"))
    covariance = sum(part.scatter for part in parts) / weight - np.outer(total, total) / weight**2
    assert off(covariance, one.covariance()) < 1e-12
    assert off(total / weight, one.mean()) < 1e-12


def test_moments_are_counted_from_where_a_round_began_wherever_the_mean_has_moved():
    one, other = (StreamingWhitener(np.zeros(K)) for _ in range(2))
    other.since = Moments(np.zeros(K))
    for block in np.split(ROWS[:3000], 60):
        one.add(block.astype(np.float32))
        other.add((block - other.reference).astype(np.float32))
        other._recentre()
    assert off(other.since.scatter, one.scatter) < 1e-6  # of rows in float32


@pytest.mark.parametrize("settings", [KINDS["complete"], KINDS["with a half-life"], KINDS["fewer dimensions"]])
def test_what_is_merged_has_the_moments_of_all_rows(settings):
    base, shards = begun(**settings)
    deltas = deltas_of(shards, n=512)
    merged = OnlineInfomax.merge(base, deltas)
    whitener = merging.whitener_of(merged)
    decay = 0.5 ** (3 * 512 / settings["half_life"]) if "half_life" in settings else 1.0
    weight = decay * base.whitening["weight"] + sum(one.weight for one in deltas)
    total = sum(one.sum for one in deltas)
    products = decay * unpacked(base.whitening["scatter"]) + sum(unpacked(one.scatter) for one in deltas)
    assert whitener.weight == pytest.approx(weight, rel=1e-14)
    assert off(whitener.covariance(), products / weight - np.outer(total, total) / weight**2) < 1e-12
    moved = base.whitening["reference"] + total / weight / base.scale
    np.testing.assert_allclose(whitener.reference, moved, rtol=1e-14)
    np.testing.assert_allclose(whitener.whiten.T @ whitener.dewhiten, np.eye(len(whitener.dewhiten.T)), atol=1e-3)
    if not settings:
        seen = np.concatenate([ROWS[:600], ROWS[600 : 600 + 3 * 512]])
        scale = np.multiply.outer(base.scale, base.scale)
        assert off(whitener.covariance() / scale, reference.covariance(seen)) < 0.05, "some rows are shortened"


def test_the_triangle_of_a_symmetric_matrix_holds_all_of_it():
    matrix = reference.scatter(ROWS[:9])
    assert packed(matrix).shape == (K * (K + 1) // 2,)
    np.testing.assert_array_equal(unpacked(packed(matrix)), (matrix + matrix.T) / 2)


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_the_order_of_deltas_changes_no_bit(settings):
    base, shards = begun(4, **settings)
    deltas = deltas_of(shards)
    expected = OnlineInfomax.merge(base, deltas).digest
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        assert OnlineInfomax.merge(base, [deltas[i] for i in order]).digest == expected


def trees_of(base, a, b, c, d):
    """Four deltas joined in two other ways than at once, and at once."""
    join = OnlineInfomax.join
    pairs = join(base, [join(base, [a, b]), join(base, [c, d])])
    chain = join(base, [join(base, [join(base, [d, b]), c]), a])
    return pairs, chain, join(base, [a, b, c, d])


@pytest.mark.parametrize("kind", KINDS)
def test_deltas_that_were_joined_before_give_the_same_up_to_rounding(kind):
    """Moments to 1e-14, and where learners agree all the rest; what follows to the rounding of float32."""
    base, shards = begun(4, **KINDS[kind])
    deltas = deltas_of(shards)
    deltas[1] = replace(deltas[1], parts={"shard 1": 64}, behind=0 * deltas[1].behind + 64)  # of another weight
    *trees, at_once = trees_of(base, *deltas)
    for tree in trees:
        assert (tree.parts, tree.counts) == (at_once.parts, at_once.counts)
        assert max(off(getattr(tree, key), getattr(at_once, key)) for key in ("sum", "scatter")) < 1e-14
        if kind == "overcomplete":  # nine components of six sources: learners do not agree
            continue
        assert max(off(tree.means[key], mean) for key, mean in at_once.means.items()) < 1e-14
        one, other = (OnlineInfomax.merge(base, [total]) for total in (tree, at_once))
        assert off(one.rule["average"], other.rule["average"]) < 1e-6


def test_components_under_other_numbers_are_averaged_with_their_own_whatever_the_tree():
    """The numbers are those of the learner that has most rows: in another tree of another one."""
    base, shards = begun(4)
    deltas = deltas_of(shards)
    rng = np.random.default_rng(0)
    whitener = merging.whitener_of(base)
    for i in range(4):
        apart = polar(np.eye(K) + 0.1 * rng.standard_normal((K, K)))[:, rng.permutation(K)] * rng.choice([-1, 1], K)
        learnt = (whitener.whiten @ apart).astype(np.float32)
        deltas[i] = replace(deltas[i], means={**deltas[i].means, "learnt": learnt})
    *trees, at_once = trees_of(base, *deltas)
    expected = whitener.dewhiten.T @ at_once.means["learnt"]
    assert np.linalg.svd(expected, compute_uv=False).min() > 0.9
    for tree in trees:
        assert off(tree.scatter, at_once.scatter) < 1e-14
        cosines = assigned(expected, whitener.dewhiten.T @ tree.means["learnt"])[1]
        np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-6)


def test_means_are_weighted_by_rows():
    base, shards = begun(2)
    shards[0].partial_fit(ROWS[:1280])
    shards[1].partial_fit(ROWS[1280:1600])
    one, other = (shard.delta(name) for shard, name in zip(shards, "ab", strict=True))
    assert (one.rows, other.rows) == (1280, 320)
    joined = OnlineInfomax.join(base, [other, one])
    assert joined.parts == {"a": 1280, "b": 320}
    np.testing.assert_allclose(
        joined.means["learnt"], 0.8 * one.means["learnt"] + 0.2 * other.means["learnt"], rtol=1e-6
    )
    assert joined.counts["learnt"] == 1600


# ---------------------------------------------------------------- the rule, beside its twin


@pytest.mark.parametrize("size", [0.1, 3.0])
@pytest.mark.parametrize("shape", [(5, 5), (4, 7)])
def test_a_round_leads_where_its_twin_does(shape, size):
    rng = np.random.default_rng(0)
    before = polar(rng.standard_normal(shape))
    rotations = [polar(before + 0.2 * rng.standard_normal(shape)) for _ in range(3)]
    weights, way = [1.0, 2.0, 5.0], size * rng.standard_normal(shape)
    mean = sum(w * c for w, c in zip(weights, rotations, strict=True)) / sum(weights)
    led = merging.lead(before, mean, way, 1.5, 0.5)
    rotation, expected = reference.lead(before, mean, way, 1.5, 0.5, merging.FURTHEST)
    np.testing.assert_allclose(led.rotation, rotation, atol=1e-5)
    np.testing.assert_allclose(led.way, expected, atol=1e-12)
    assert led.agreement == pytest.approx(reference.agreement(rotations, weights), abs=1e-6)
    assert merging.lead(before, before, 0 * way, 2.0, 0.0).agreement == pytest.approx(1, abs=1e-6)


def test_components_are_assigned_as_the_best_of_all_orders():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    first, other = rng.standard_normal((2, 5, 5))
    order, cosines = assigned(first, other)
    np.testing.assert_array_equal(order, reference.assignment(first, other))
    for k, at in enumerate(order):
        cosine = first[:, k] @ other[:, at] / np.linalg.norm(first[:, k]) / np.linalg.norm(other[:, at])
        assert cosines[k] == pytest.approx(cosine)


# ---------------------------------------------------------------- what is learnt


@pytest.mark.parametrize("kind", ["complete", "without a memory", "with a half-life"])
def test_four_learners_find_the_sources_of_one_that_has_all_rows(kind):
    base, shards = begun(4, **KINDS[kind])
    base = rounds(base, shards, 8, n=1000)
    alone = OnlineInfomax(**KINDS[kind]).partial_fit(ROWS[:32_600])
    found, best = (amari(one.components_ @ MIXING) for one in (shards[0], alone))
    assert found < max(1.5 * best, 0.03)
    assert base.agreement > 0.98
    assert base.number == 8
    assert base.counts["learnt"] == base.rows + base.first


def test_more_components_than_dimensions_are_learnt_together():
    """Four learners gain as much of Q̂ as one that has all rows, on rows that none has seen."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(34_000, 9)) @ rng.standard_normal((9, K))
    held = rows[33_000:]

    def objective(learner):
        x = (held - learner.mean_) @ learner.whitening_.T
        weights = 1 / np.linalg.norm(x, axis=1)
        return reference.objective_overcomplete(learner.rotation_, x, start_beta(9, K), weights / weights.sum())

    settings = KINDS["overcomplete"]
    alone = OnlineInfomax(**settings).partial_fit(rows[:600])
    base, start = alone.share(4), objective(alone)
    shards = [OnlineInfomax(**settings).take(base) for _ in range(4)]
    for part in np.split(rows[600:32_600], 8):
        for shard, own in zip(shards, np.split(part, 4), strict=True):
            shard.partial_fit(own)
        base = OnlineInfomax.merge(base, [shard.delta(str(i)) for i, shard in enumerate(shards)])
        for shard in shards:
            shard.take(base)
    best = objective(alone.partial_fit(rows[600:32_600]))
    assert start - objective(shards[0]) > 0.9 * (start - best) > 0


def test_one_version_for_all_until_the_next_round():
    base, shards = begun()
    rounds(base, shards, 1)
    version = shards[0].version_
    for shard in shards:
        shard.partial_fit(ROWS[:4000])
        assert shard.version_ == version
    assert Encoder.of(shards[0]).version == version


def test_the_unfinished_block_belongs_to_the_next_round():
    base, shards = begun(1)
    shards[0].partial_fit(ROWS[:100])
    first = shards[0].delta("a")
    base = OnlineInfomax.merge(base, [first])
    shards[0].take(base).partial_fit(ROWS[100:128])
    assert (first.rows, shards[0].delta("a").rows) == (64, 64)


def test_a_learner_that_only_shares_learns_the_same_bits():
    one, other = (OnlineInfomax().partial_fit(ROWS[:2000]) for _ in range(2))
    one.share(2)
    assert same(one.partial_fit(ROWS[2000:6000]).state(), other.partial_fit(ROWS[2000:6000]).state()) is None
    assert "round" not in one.state()["learner"]


def test_a_learner_without_rows_changes_nothing_and_one_that_has_none_at_all_does_not_count():
    base, shards = begun(3)
    shards[0].partial_fit(ROWS[600:1240])
    shards[1].partial_fit(ROWS[1240:1880])
    deltas = [shard.delta(name) for shard, name in zip(shards, "abc", strict=True)]
    merged = OnlineInfomax.merge(base, deltas)
    assert merged.learners == 2
    assert OnlineInfomax.merge(base, deltas, learners=3).learners == 3
    without = OnlineInfomax.merge(base, deltas[:2])
    np.testing.assert_array_equal(merged.rule["filters"], without.rule["filters"])
    nobody = OnlineInfomax.merge(base, deltas[2:])
    assert (nobody.number, nobody.rows) == (1, base.rows)
    np.testing.assert_array_equal(nobody.rule["filters"], base.rule["filters"])


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_state_pickle_and_copy_go_on_with_the_same_bits(settings):
    base, shards = begun(2, **settings)
    rounds(base, shards, 1)
    one = shards[0].partial_fit(ROWS[:500])
    restored = OnlineInfomax(**settings)
    restored.restore(one.state())
    others = [restored, pickle.loads(pickle.dumps(one)), deepcopy(one)]  # noqa: S301
    expected = one.partial_fit(ROWS[500:1500]).delta("a").digest
    for other in others:
        assert other.partial_fit(ROWS[500:1500]).delta("a").digest == expected


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_records_are_the_same_from_their_files(settings, tmp_path):
    base, shards = begun(2, **settings)
    deltas = deltas_of(shards)
    for record in (base, *deltas):
        record.save(tmp_path / "record")
        assert type(record).load(tmp_path / "record").digest == record.digest
    base.save(tmp_path / "base")
    again = OnlineInfomax.merge(Shared.load(tmp_path / "base"), deltas)
    assert again.digest == OnlineInfomax.merge(base, deltas).digest


# ---------------------------------------------------------------- what is refused


def test_what_does_not_belong_to_a_round_is_refused():
    base, shards = begun(2)
    a, b = deltas_of(shards)
    merged = OnlineInfomax.merge(base, [a, b])
    other = OnlineInfomax(random_state=1).partial_fit(ROWS[:600]).share(2)
    wide = OnlineInfomax().partial_fit(np.random.default_rng(0).laplace(size=(900, K + 1))).share()
    nan = {**b.means, "learnt": np.where(np.arange(K) == 2, np.nan, b.means["learnt"])}
    refused = {
        r"delta shard 0: there twice": (base, [a, b, a]),
        rf"delta shard 0: began with base {base.digest} of round 0; .* base {merged.digest} of round 1": (
            merged,
            [a, b],
        ),
        rf"accepted is base {other.digest} of round 0": (other, [a]),
        r"delta shard 0: the shape of sum \(6,\); accepted is \(7,\)": (
            wide,
            [replace(a, base=wide.digest, number=0)],
        ),
        r"delta shard 1: means.learnt has 6 numbers that are not finite": (base, [a, replace(b, means=nan)]),
        r"delta shard 1: weight = inf": (base, [a, replace(b, weight=np.inf)]),
        r"delta shard 1: sum has 1 numbers that are not finite": (
            base,
            [a, replace(b, sum=np.where(np.arange(K) == 1, np.inf, b.sum))],
        ),
        r"delta shard 1: the shape of scatter \(3,\)": (base, [a, replace(b, scatter=b.scatter[:3])]),
        r"delta shard 1: its means \{'learnt': \(6, 6\)\}; accepted is \{'average'": (
            base,
            [a, replace(b, means={"learnt": a.means["learnt"]})],
        ),
        r"delta shard 0: -5 rows; accepted are numbers from 0 on": (base, [replace(a, parts={"shard 0": -5})]),
        r"deltas: none": (base, []),
    }
    for words, (start, deltas) in refused.items():
        with pytest.raises(MergeError, match=words):
            OnlineInfomax.merge(start, deltas)
    with pytest.raises(MergeError, match="learners = 0; accepted is at least 1"):
        OnlineInfomax.merge(base, [a], learners=0)
    for words, bad in {
        "shared: rows = nan": {"rows": np.nan},
        "shared: learners = 0; accepted are numbers from 1 on": {"learners": 0},
        "scale is above 0": {"scale": 0 * base.scale},
    }.items():
        for act in (lambda bad: OnlineInfomax.merge(bad, [a]), OnlineInfomax().take):
            with pytest.raises(MergeError, match=words):
                act(replace(base, **bad))


def test_records_of_another_kind_or_version_are_refused(tmp_path):
    base, shards = begun(1)
    base.save(tmp_path / "base")
    with pytest.raises(StateFileError, match="base: kind: 'shared'; accepted is 'delta'"):
        Delta.load(tmp_path / "base")
    delta = deltas_of(shards)[0].tree()
    with pytest.raises(MergeError, match="format: 99; this version reads 2"):
        Delta.of({**delta, "format": 99})
    del delta["means"]
    with pytest.raises(MergeError, match="means: missing in the record of a delta"):
        Delta.of(delta)
    OnlineInfomax().save(tmp_path / "learner")
    with pytest.raises(StateFileError, match="kind: None; accepted is 'shared'"):
        Shared.load(tmp_path / "learner")


def test_who_cannot_take_part_is_told_why():
    base, shards = begun(1)
    with pytest.raises(NotWarmError):
        OnlineInfomax().share()
    with pytest.raises(MergeError, match="delta of a: it is in no round; `take` begins one"):
        OnlineInfomax().delta("a")
    with pytest.raises(MergeError, match="name = ''; accepted are 1 to 64 characters"):
        shards[0].delta("")
    with pytest.raises(MergeError, match="own warm-up"):
        OnlineInfomax(warmup=500).partial_fit(ROWS[:100]).take(base)
    for settings, words in {
        "adapt": ({"adapt": "follow"}, "adapt = 'follow'; accepted is 'fixed'"),
        "half_life": ({"half_life": 100.0}, "half_life = 100.0; accepted is that of all, None"),
        "overcomplete": ({"n_components": 9, "overcomplete": True}, "overcomplete = True; shared are 6 components"),
        "n_rank": ({"n_rank": 3}, "n_rank = 3; shared is one of 6"),
    }.values():
        with pytest.raises(MergeError, match=words):
            OnlineInfomax(**settings).take(base)
    wide = OnlineInfomax().partial_fit(np.random.default_rng(0).laplace(size=(900, K + 1)))
    with pytest.raises(
        MergeError, match=r"\(6, 6, 6\) features, dimensions and components; this learner has \(7, 7, 7\)"
    ):
        wide.take(base)


def test_columns_of_tables_are_known_to_all():
    pandas = pytest.importorskip("pandas")
    names = list("uvwxyz")
    table = pandas.DataFrame(ROWS[:600], columns=names)
    base = OnlineInfomax().partial_fit(table).share()
    assert list(OnlineInfomax().take(base).partial_fit(table).feature_names_in_) == names
    other = OnlineInfomax().partial_fit(table.rename(columns={"u": "a"}))
    with pytest.raises(MergeError, match=r"shared: columns \['u', .*; accepted is \['a'"):
        other.take(base)


def test_a_base_that_does_not_fit_leaves_the_learner_as_it_was():
    base, shards = begun(1)
    before = shards[0].partial_fit(ROWS[:500]).state()
    for bad in (
        replace(base, rule={**base.rule, "means": base.rule["means"][:, :2]}),
        replace(base, whitening={**base.whitening, "metric": np.ones(2)}),
    ):
        with pytest.raises(MergeError, match=r"shared: .*(means|metric)"):
            shards[0].take(bad)
        with pytest.raises(MergeError):
            OnlineInfomax().take(bad)
    assert same(shards[0].state(), before) is None


def test_an_undo_leaves_the_round():
    base, shards = begun(1)
    earlier = Encoder.of(shards[0])
    shards[0].partial_fit(ROWS[:1000]).undo(earlier)
    with pytest.raises(MergeError, match="an undo"):
        shards[0].delta("a")
    versions = {shards[0].version_ for _ in range(40) if shards[0].partial_fit(ROWS[:500])}
    assert len(versions) > 3, "it publishes its own again"
    assert shards[0].take(base).delta("a").rows == 0


# ---------------------------------------------------------------- no common start


@needs("scipy")
def test_independent_learners_are_united_by_their_components():
    alone = {
        name: OnlineInfomax(random_state=i).partial_fit(ROWS[i * 10_000 :][:10_000]) for i, name in enumerate("abc")
    }
    shares = {name: learner.share() for name, learner in alone.items()}
    united = OnlineInfomax.unite(shares)
    assert OnlineInfomax.unite(dict(reversed(shares.items()))).shared.digest == united.shared.digest
    together = OnlineInfomax().take(united.shared)
    distances = [amari(learner.components_ @ MIXING) for learner in alone.values()]
    assert amari(together.components_ @ MIXING) < min(distances)
    assert united.shared.agreement > 0.99
    assert min(found.min() for found in united.correlations.values()) > 0.98
    assert united.shared.rows + united.shared.first == pytest.approx(
        sum(one.rows + one.first for one in shares.values())
    )
    for learner in alone.values():  # each goes on from there, whatever unit it had
        learner.take(united.shared).partial_fit(ROWS[30_000:31_000])
    OnlineInfomax.merge(united.shared, [learner.delta(name) for name, learner in alone.items()])


@needs("scipy")
def test_what_is_no_component_of_the_first_learner_is_left_out_and_said():
    elsewhere, _ = mixed_sources(10_000, K, seed=3)
    one = OnlineInfomax().partial_fit(ROWS[:20_000])
    two = OnlineInfomax().partial_fit(elsewhere)
    united = OnlineInfomax.unite({"here": one.share(), "there": two.share()})
    assert united.correlations["there"].min() < 0.5
    assert united.shared.rows + united.shared.first < 30_000
    with pytest.raises(MergeError, match=r"shared of there: half_life 100\.0; accepted is None"):
        OnlineInfomax.unite({"here": one.share(), "there": replace(two.share(), half_life=100.0)})
    with pytest.raises(MergeError, match="shares: none"):
        OnlineInfomax.unite({})
