"""Learners, classifiers, measures and modules at moments of their lives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from helpers.held import HAS_TORCH, Held, rows_of

# ---------------------------------------------------------------- learner


def learner(**settings: Any) -> Any:
    from stream_infomax import OnlineInfomax

    return OnlineInfomax(**settings)


def half_life() -> Any:
    return learner(half_life=500.0)


def no_memory() -> Any:
    return learner(memory=0)


def overcomplete() -> Any:
    return learner(n_components=15, overcomplete=True)


def spikes() -> Any:
    return learner(output="poisson")


def in_a_refresh() -> Any:
    """A learner whose whitening has far to go, in the midst of it."""
    made = learner(half_life=300.0, block=16).partial_fit(rows_of(0, 2000))
    gain = np.array([1, 1, 1, 1, 1, 30], np.float32)
    for i in range(400):
        made.partial_fit(gain * rows_of(i, 16, seed=1))
        if made._learner._whitener.refreshing:
            return made
    raise AssertionError("no refresh was caught half way")


def before_a_change() -> Any:
    """A learner that follows and has a reference: the pieces that come are of another mixing."""
    return learner(adapt="follow").partial_fit(rows_of(0, 16_000, seed=1))


def undone() -> Any:
    """A learner that was held, and has gone back to an earlier basis, in the midst of a block."""
    from stream_infomax import Encoder

    made = learner().partial_fit(rows_of(0, 1000))
    earlier = Encoder.of(made)
    return made.partial_fit(rows_of(1, 1000, seed=1)).hold().undo(earlier).resume()


def settled_early() -> Any:
    """A learner that was given all there was before its warm-up was over, and is given more."""
    with warnings.catch_warnings(action="ignore"):
        return learner().fit(rows_of(0, 33))


def feed_learner(one: Any, i: int) -> list[np.ndarray]:
    made = one.partial_fit_transform(rows_of(i, 101))
    return [made, one.components_, one.mean_] if hasattr(one, "components_") else [made]


def feed_round(one: Any, i: int) -> list[np.ndarray]:
    """A learner that goes on from another one, and then learns with it."""
    if i == 0:
        one.take(learner().partial_fit(rows_of(0, 1000)).share(2))
    delta = one.partial_fit(rows_of(i, 101)).delta("one")
    return [one.components_, delta.scatter, *delta.means.values()]


def feed_few(one: Any, i: int) -> list[np.ndarray]:
    """So few rows that a block, and the warm-up, are not over for long."""
    made = one.partial_fit_transform(rows_of(i, 11))
    return [made, one.components_] if hasattr(one, "components_") else [made]


# ---------------------------------------------------------------- classifier and measures


def classifier() -> Any:
    from stream_infomax import OnlineClassifier

    return OnlineClassifier(half_life=100.0)


def feed_classifier(one: Any, i: int) -> list[np.ndarray]:
    rows = rows_of(i, 9)
    one.partial_fit(rows, (rows[:, 0] > i).astype(int))
    return [one.predict_proba(rows), one.predict(rows), one.classes_]


def softmax() -> Any:
    from stream_infomax.learning.classifier.softmax import SoftmaxRegression

    return SoftmaxRegression(6, half_life=100.0)


def blend() -> Any:
    from stream_infomax.learning.classifier.blend import Blend

    return Blend([2, 4], half_life=100.0)


def feed_softmax(one: Any, i: int) -> list[np.ndarray]:
    features = rows_of(i, 1)[0].astype(np.float64)
    made = one.probabilities(features)
    one.learn(features, f"class {i % 4}")
    return [made, one.weights]


def score() -> Any:
    from stream_infomax.learning.classifier.scores import Score

    return Score(window=4)


def feed_score(one: Any, i: int) -> list[np.ndarray]:
    one.add(f"{i % 2}", f"{i % 3}")
    return [np.array([*one.faded, *one.recent, *one.overall, one.chance, one.n])]


def examiner() -> Any:
    from stream_infomax.learning.classifier.examiner import Examiner

    return Examiner(softmax(), waiting=4)


def feed_examiner(one: Any, i: int) -> list[np.ndarray]:
    made = one.segment(str(i), rows_of(i, 1)[0].astype(np.float64), f"class {i % 4}" if i % 2 else None)
    one.label(str(i - 3), "late")
    return [made, np.array([*one.counts.values()]), np.array([*one.score.overall])]


def entropy() -> Any:
    from stream_infomax.learning.measures.information import RunningEntropy

    return RunningEntropy(window=700)


def feed_entropy(one: Any, i: int) -> list[np.ndarray]:
    return [one.partial_fit(rows_of(i, 101)).values]


def information() -> Any:
    from stream_infomax.learning.measures.information import RunningInformation

    return RunningInformation(window=700)


def feed_information(one: Any, i: int) -> list[np.ndarray]:
    frame = one.partial_fit(rows_of(i, 101), np.eye(6))
    return [np.array([frame, one.objective, one.information])]


def spectra() -> Any:
    from stream_infomax.learning.measures.spectra import RunningSpectra

    return RunningSpectra()


def feed_spectra(one: Any, i: int) -> list[np.ndarray]:
    if one.wants(101, 60.0, "a", ""):
        one.add(rows_of(i, 101))
    return [one.power, one._rows]


def moments() -> Any:
    from stream_infomax.learning.measures.moments import RunningMoments

    return RunningMoments(6, half_life=200.0)


def feed_moments(one: Any, i: int) -> list[np.ndarray]:
    rows = rows_of(i, 101)
    one.update(rows)
    return [one.standardised(rows)]


def robust_moments() -> Any:
    from stream_infomax.learning.measures.moments import RobustMoments

    return RobustMoments(6, half_life=200.0, renew=128)


def panel() -> Any:
    from stream_infomax.learning.measures.panel import Panel

    return Panel(64)


def feed_panel(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 31))
    return [one.rows]


def pooling() -> Any:
    from stream_infomax.learning.classifier.pooling import Pooling

    return Pooling(6)


def thirds() -> Any:
    from stream_infomax.learning.classifier.pooling import Thirds

    return Thirds(6)


def feed_pooling(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 31))
    return [one.result()]


# ---------------------------------------------------------------- contrast


def excerpts() -> Any:
    from stream_infomax.learning.contrast.excerpts import ExcerptMemory

    return ExcerptMemory(5000)


def feed_excerpts(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 20 + i))
    return one.draw(100, i)


def online_module() -> Any:
    from stream_infomax.learning.contrast.layouts import Conv
    from stream_infomax.learning.contrast.online import OnlineModule

    return OnlineModule(6, (Conv(4, 2, 8),), 4)


def residual_module() -> Any:
    from stream_infomax.learning.contrast.layouts import Conv
    from stream_infomax.learning.contrast.online import OnlineModule

    levers: dict[str, Any] = {"residual": True, "normalise": True, "own": 0.25, "stream": 0.25, "temperature": 0.2}
    return OnlineModule(6, (Conv(4, 2, 8),), 4, reach=2, skip=1, warmup_rows=500, decay_rows=1000, **levers)


def feed_module(one: Any, i: int) -> list[np.ndarray]:
    from stream_infomax.learning.contrast.excerpts import pad

    rows = rows_of(i, 30)
    batch = one.learn(pad([rows / 10, rows[:22] / 20, rows[:9] / 5]))
    return [batch.rows, one.transform(rows[None, :30], None)[0]]


def greedy() -> Any:
    from stream_infomax import GreedyInfoMax

    return GreedyInfoMax(6, 200.0, width=8)


def feed_greedy(one: Any, i: int) -> list[np.ndarray]:
    import torch

    torch.set_num_threads(1)
    levels = one(torch.from_numpy(rows_of(i, 256).reshape(2, 128, 6) / 10))
    one.zero_grad()
    sum(level.prediction.loss for level in levels).backward()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter -= 0.01 * parameter.grad
    return [level.z.detach().numpy() for level in levels]


LEARNING: dict[str, Held] = {
    "learner before the first row": Held(learner, feed_learner, 0),
    "learner in the first block": Held(learner, feed_few, 3),
    "learner in the warm-up": Held(learner, feed_few, 8),
    "learner in a block": Held(learner, feed_learner, 9),
    "learner with a half-life": Held(half_life, feed_learner, 9),
    "learner after a change": Held(before_a_change, feed_learner, 5),
    "learner after an undo": Held(undone, feed_learner, 0),
    "learner without a memory": Held(no_memory, feed_learner, 9),
    "learner, overcomplete": Held(overcomplete, feed_learner, 9),
    "learner with spikes": Held(spikes, feed_learner, 9),
    "learner that settled early": Held(settled_early, feed_few, 3),
    "learner in a refresh": Held(in_a_refresh, feed_few, 0),
    "learner in a round": Held(learner, feed_round),
    "classifier": Held(classifier, feed_classifier),
    "classifier before its first label": Held(classifier, feed_classifier, 0),
    "softmax regression": Held(softmax, feed_softmax),
    "blend": Held(blend, feed_softmax),
    "blend before its first label": Held(blend, feed_softmax, 0),
    "softmax regression before its first label": Held(softmax, feed_softmax, 0),
    "score": Held(score, feed_score, 7),
    "examiner": Held(examiner, feed_examiner, 9),
    "entropy": Held(entropy, feed_entropy, 9),
    "information": Held(information, feed_information, 9),
    "moments": Held(moments, feed_moments),
    "robust moments": Held(robust_moments, feed_moments),
    "spectra": Held(spectra, feed_spectra),
    "panel before its first row": Held(panel, feed_panel, 0),
    "panel": Held(panel, feed_panel),
    "pooling": Held(pooling, feed_pooling),
    "thirds": Held(thirds, feed_pooling),
    "excerpts": Held(excerpts, feed_excerpts, 12),
}
if HAS_TORCH:
    LEARNING |= {
        "module": Held(online_module, feed_module),
        "residual module": Held(residual_module, feed_module),
        "greedy infomax": Held(greedy, feed_greedy, 2),
    }
