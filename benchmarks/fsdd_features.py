"""How well do features learnt in one pass name spoken digits and speakers, beside MFCC and log-mel?

Free Spoken Digit Dataset, recordings with indices 5-44 to learn from, 45-49 to test. The learner sees log-mel
patches (10 mel frames × 40 bands) once, without labels. Features are pooled over each recording to mean and
deviation, and scikit-learn's logistic regression names the digit and the speaker. The step between patches, whether
they lose their mean, the energy that the whitening keeps, the number of cepstral coefficients and the strength of
regularisation are chosen inside 5-44: by the right answers on 40-44 after learning from 5-39, and the same with each
of 35-39, 30-34 and 25-29 held out.

    STREAM_INFOMAX_DATA=FOLDER python benchmarks/fsdd_features.py
"""

import common  # isort: skip - pins the threads before numpy is loaded

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import kaldi_native_fbank
import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream_infomax import AudioSource, Frame, OnlineInfomax, WindowsStage

SEEDS = range(5)
HELD_OUT = ((40, 44), (35, 39), (30, 34), (25, 29))
TARGETS = {"digit": 98.0, "speaker": 99.0}
HOPS = (1, 2)
ENERGIES = (0.97, 0.98, 0.99)
CEPSTRA = (13, 20)
STRENGTHS = (0.1, 1.0, 10.0, 100.0)

# Rows of each recording under its path.
Rows = Mapping[str, np.ndarray]
# What makes features: from the recordings to learn from, in the order of the stream, and a seed.
Maker = Callable[[Sequence[str], int], Rows]


@cache
def recordings() -> dict[str, Frame]:
    """Return the recordings under their paths, each as one frame: the longest has 2.28 s, a frame holds 4 s."""
    source = AudioSource(
        common.data_folder() / "fsdd" / "recordings",
        labels=r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d+)\.wav",
        frame=32000,
    )
    return {frame.segment: frame for frame in source.frames()}


def names(first: int, last: int, seed: int | None = None) -> list[str]:
    """Return the recordings with these indices: sorted by digit and speaker, or shuffled."""
    chosen = [name for name, frame in recordings().items() if first <= int(frame.labels["index"]) <= last]
    return chosen if seed is None else [chosen[i] for i in np.random.default_rng(seed).permutation(len(chosen))]


@cache
def patches(hop: int, center: bool = False, length: int = 10) -> Rows:
    """Return the log-mel patches of each recording, flat: (n, length · 40)."""
    stage = WindowsStage("patches", "source", form="log-mel", length=length, hop=hop, n_mels=40, center=center)
    return {name: stage.process(frame).arrays["patches"].rows() for name, frame in recordings().items()}


@cache
def cepstra(n_cepstra: int) -> Rows:
    """Return the MFCC frames of each recording: (n, n_cepstra)."""
    rows = {}
    for name, frame in recordings().items():
        options = kaldi_native_fbank.MfccOptions()
        options.frame_opts.samp_freq = frame.rate
        options.frame_opts.dither = 0.0
        options.mel_opts.num_bins = 40
        options.num_ceps = n_cepstra
        extractor = kaldi_native_fbank.OnlineMfcc(options)
        extractor.accept_waveform(frame.rate, frame.arrays["source"].data[:, 0])
        rows[name] = np.stack([extractor.get_frame(i) for i in range(extractor.num_frames_ready)])
    return rows


def infomax(hop: int, center: bool, energy: float, on_the_way: bool = False) -> Maker:
    """Learn in one pass, then encode all recordings with the final basis.

    `on_the_way`: those that were learnt from keep the features that were published then, by a basis that still moved.
    """

    def make(stream: Sequence[str], seed: int) -> Rows:
        rows = patches(hop, center)
        learner = OnlineInfomax(energy=energy, output="halves", random_state=seed)
        published = {name: learner.partial_fit_transform(rows[name]) for name in stream}
        final = {name: learner.transform(values) for name, values in rows.items()}
        # Before the number of filters is settled there are no features yet.
        usable = {name: values for name, values in published.items() if values.shape[1] == learner.width_}
        unusable = {name: np.full((1, learner.width_), np.nan) for name in published.keys() - usable.keys()}
        return {**final, **usable, **unusable} if on_the_way else final

    return make


def principal(hop: int, center: bool, energy: float) -> Maker:
    """Return whitened principal components, as many as the learner keeps, halved as its outputs are."""

    def make(stream: Sequence[str], seed: int) -> Rows:
        rows = patches(hop, center)
        # The share of variance is the square of the paper's energy (2.49).
        pca = PCA(energy**2, whiten=True, svd_solver="full").fit(np.concatenate([rows[name] for name in stream]))
        outputs = {name: pca.transform(values) for name, values in rows.items()}
        return {name: np.hstack([np.maximum(y, 0), np.maximum(-y, 0)]) for name, y in outputs.items()}

    return make


def pooled(rows: Rows, chosen: Sequence[str]) -> np.ndarray:
    """Return mean and deviation of the rows that are not set aside: (n_recordings, 2 · width)."""
    kept = (rows[name][np.isfinite(rows[name]).all(axis=1)] for name in chosen)
    return np.stack([np.concatenate([values.mean(axis=0), values.std(axis=0)]) for values in kept])


def accuracy(rows: Rows, learn: Sequence[str], test: Sequence[str], strength: float) -> dict[str, float]:
    """Return the per cent of right answers for digit and speaker."""
    # A recording that is set aside as a whole (warm-up) has nothing to learn from.
    learn = [name for name in learn if np.isfinite(rows[name]).all(axis=1).any()]
    features, tested = pooled(rows, learn), pooled(rows, test)
    right = {}
    for target in TARGETS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=3000))
        model.fit(features, [recordings()[name].labels[target] for name in learn])
        right[target] = 100 * model.score(tested, [recordings()[name].labels[target] for name in test])
    return right


def choose(make: Callable[..., Maker], candidates: Iterable[tuple]) -> tuple[tuple, float]:
    """Return the candidate (arguments of `make`) and the strength with the most right answers within 5-44."""
    sums = {}
    for candidate in candidates:
        for first, last in HELD_OUT:
            test = names(first, last)
            stream = [name for name in names(5, 44, seed=first) if name not in test]
            rows = make(*candidate)(stream, first)
            for strength in STRENGTHS:
                right = sum(accuracy(rows, stream, test, strength).values())
                sums[candidate, strength] = sums.get((candidate, strength), 0.0) + right
        print(
            candidate, [round(sums[candidate, strength] / 2 / len(HELD_OUT), 2) for strength in STRENGTHS], flush=True
        )
    return max(sums, key=lambda key: sums[key])


def evaluate(title: str, make: Maker, strength: float, sorted_stream: bool = False) -> dict[str, object]:
    """Return the table's line: mean and deviation over seeds of the right answers on indices 45-49."""
    results, widths = [], set()
    for seed in SEEDS:
        stream = names(5, 44, None if sorted_stream else seed)
        rows = make(stream, seed)
        results.append(accuracy(rows, stream, names(45, 49), strength))
        widths.add(2 * rows[stream[-1]].shape[1])
    width = f"{min(widths)}" if len(widths) == 1 else f"{min(widths)}-{max(widths)}"
    line: dict[str, object] = {"features": title, "width": width, "C": strength}
    for target in TARGETS:
        values = [result[target] for result in results]
        line[f"{target} %"] = f"{np.mean(values):.2f}"
        line[f"{target} ±"] = f"{np.std(values, ddof=1):.2f}"
    print(line, flush=True)
    return line


def plot(lines: list[dict], path: Path) -> None:
    """Draw the share of wrong answers, for that is what differs."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.45 * len(lines) + 1.3), sharey=True, layout="constrained")
    places = np.arange(len(lines))[::-1]
    for axis, (target, at_least) in zip(axes, TARGETS.items(), strict=True):
        wrong = [100 - float(line[f"{target} %"]) for line in lines]
        colours = ["tab:blue" if "infomax" in str(line["features"]) else "tab:gray" for line in lines]
        axis.barh(places, wrong, xerr=[float(line[f"{target} ±"]) for line in lines], color=colours, height=0.7)
        axis.set_xlim(left=0)
        axis.axvline(100 - at_least, color="black", linestyle="--", linewidth=1)
        axis.set_title(f"{target}: wrong answers, %  (dashed: target)", fontsize=10)
        axis.set_yticks(places, [str(line["features"]) for line in lines])
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Choose within 5-44, test on 45-49, write the table and the plot."""
    (hop, center, energy), strength = choose(infomax, itertools.product(HOPS, (False, True), ENERGIES))
    (n_cepstra,), mfcc_strength = choose(lambda n: lambda *_: cepstra(n), [(n,) for n in CEPSTRA])
    _, mel_strength = choose(lambda: lambda *_: patches(1, length=1), [()])
    _, pca_strength = choose(principal, [(hop, center, energy)])

    lines = [evaluate(f"infomax, energy {energy}", infomax(hop, center, energy), strength)]
    if energy != ENERGIES[0]:
        lines.append(evaluate(f"infomax, energy {ENERGIES[0]}", infomax(hop, center, ENERGIES[0]), strength))
    lines += [
        evaluate("infomax, stream sorted by digit", infomax(hop, center, energy), strength, sorted_stream=True),
        evaluate("infomax, as published on the way", infomax(hop, center, energy, on_the_way=True), strength),
        evaluate("whitened PCA, halved", principal(hop, center, energy), pca_strength),
        evaluate("log-mel, 40 bands", lambda *_: patches(1, length=1), mel_strength),
        evaluate(f"MFCC, {n_cepstra} coefficients", lambda *_: cepstra(n_cepstra), mfcc_strength),
    ]
    met = all(float(str(lines[0][f"{target} %"])) >= at_least for target, at_least in TARGETS.items())
    note = (
        f"Right answers in % on indices 45-49 (300 recordings), mean and deviation over {len(SEEDS)} orders of the "
        f"stream and starts of the learner; learnt from 5-44 in one pass, labels used by the logistic regression only. "
        f"Chosen within 5-44: a patch every {hop} mel frames, {'without' if center else 'with'} its mean, energy "
        f"{energy}, {n_cepstra} cepstral coefficients, C. "
        f"Target: digit at least {TARGETS['digit']:g} %, speaker at least {TARGETS['speaker']:g} %: "
        f"{'met' if met else 'missed'}.\n\n" + common.machine("scikit-learn", "kaldi-native-fbank")
    )
    common.write_table("fsdd_features", "Spoken digits and speakers from pooled features", lines, note)
    plot(lines, common.RESULTS / "fsdd_features.png")


if __name__ == "__main__":
    main()
