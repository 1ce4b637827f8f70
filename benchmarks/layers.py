"""What does a second infomax layer add to the first?

Spoken digits (FSDD, 8 kHz), one pass over the indices 5-44, everything by composing stages as a configuration does
(docs/learning.md): log-mel patches → learner → windows over its outputs → second learner. Each level is pooled to
mean and deviation over a recording and read by a linear probe fitted on 5-44: digits of a speaker whom the probe
never heard (leave one speaker out) and of all speakers, on 45-49. "Not learnt" is the second layer with a random
rotation in place of the learnt one, in the same whitened space of the same windows. Output of the first layer, length
of the windows and energy of the second are chosen with seed 100 on 40-44, learning and probing on 5-39.

    STREAM_INFOMAX_DATA=FOLDER python benchmarks/layers.py
"""

import common  # isort: skip - pins the threads before numpy is loaded

import itertools

import matplotlib.pyplot as plt
import numpy as np
from contrast_common import Recording, fsdd, leave_one_out, probe

from stream_infomax import LearnerStage, Pipeline, WindowsStage
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.classifier.pooling import pool

SEEDS = range(5)
CHOICES = {"output": ("halves", "log"), "length": (3, 7), "energy": (0.9, 0.95)}
LEVELS = ("first", "second", "first + second", "second, not learnt", "first + second, not learnt")


def frames(recordings: list[Recording]) -> list[Frame]:
    """One frame a recording."""
    return [
        Frame(
            "fsdd",
            offset,
            segment=recording.name,
            last=True,
            rate=float(recording.rate),
            arrays={"source": Array(recording.samples[:, None], ("time", "channel"))},
        )
        for offset, recording in enumerate(recordings)
    ]


def layers(seed: int, learn: bool, output: str, length: int, energy: float) -> Pipeline:
    """The stages; the second layer can be kept from learning after its warm-up."""
    return Pipeline(
        [
            WindowsStage("mel", "source", form="log-mel", length=10, hop=1),
            LearnerStage("first", "mel", seed=seed, learn=learn, energy=0.98, output=output),
            WindowsStage("context", "first", ("first",), form="waveform", length=length, hop=1),
            LearnerStage("second", "context", ("first",), seed=seed, learn=learn, energy=energy, output="halves"),
        ]
    )


def features(recordings: list[Recording], streamed: np.ndarray, seed: int, **settings) -> dict[str, np.ndarray]:
    """Learn from some recordings in a random order, then pool each level of all of them: (n_recordings, features)."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(streamed))
    taught = layers(seed, True, **settings)
    for _ in taught(frames([recordings[i] for i in order])):
        pass
    encoders = {"": layers(seed, False, **settings), ", not learnt": layers(seed, False, **settings)}
    found: dict[str, list[np.ndarray]] = {}
    for ending, encoder in encoders.items():
        for name in ("first", "second"):
            stage, source = (next(s for s in p.stages if s.name == name) for p in (encoder, taught))
            stage.restore(source.state())
        if ending:
            turn_at_random(encoder.stages[-1], seed)
        for frame in encoder(frames(recordings)):
            for name in ("first", "second"):
                found.setdefault(name + ending, []).append(pool(frame.arrays[name].rows()))
    pooled = {name: np.nan_to_num(np.stack(vectors)) for name, vectors in found.items()}
    for ending in encoders:
        pooled[f"first + second{ending}"] = np.hstack([pooled["first"], pooled[f"second{ending}"]])
    return {level: pooled[level] for level in LEVELS}


def turn_at_random(stage: LearnerStage, seed: int) -> None:
    """Replace what a learner has learnt by a random rotation of the same whitened space."""
    state = stage.state()
    published = state["learner"]["learner"]["published"]
    rotation = published["rotation"].astype(np.float64)
    random = np.linalg.qr(np.random.default_rng(seed).standard_normal(rotation.shape))[0]
    # C has orthonormal rows and as many columns: filters = Cᵀ Vᵀ, so that C gives Vᵀ back.
    published["filters"] = (random.T @ rotation @ published["filters"]).astype(np.float32)
    published["rotation"] = random.astype(np.float32)
    stage.restore(state)


def scores(recordings: list[Recording], learnt: np.ndarray, tested: np.ndarray, seed: int, **settings) -> dict:
    """Accuracy (%) on digits of a speaker who was left out and of all, at each level."""
    digits, speakers = (np.array([r.labels[name] for r in recordings]) for name in ("digit", "speaker"))
    result = {}
    for level, vectors in features(recordings, learnt, seed, **settings).items():
        unheard = leave_one_out(vectors, digits, speakers, learnt, tested)[0]
        result[level] = (unheard, probe(vectors, digits, learnt, tested), vectors.shape[1])
    return result


def main() -> None:
    """Choose on 40-44, measure on 45-49, write table and plot."""
    recordings = fsdd(common.data_folder())
    index = np.array([int(recording.labels["index"]) for recording in recordings])
    chosen = {}
    for candidate in itertools.product(*CHOICES.values()):
        settings = dict(zip(CHOICES, candidate, strict=True))
        made = scores(recordings, index < 40, (index >= 40) & (index < 45), 100, **settings)
        chosen[candidate] = made["first + second"][0] + made["second"][0]
        print(settings, {level: round(made[level][0], 1) for level in LEVELS}, flush=True)
    settings = dict(zip(CHOICES, max(chosen, key=lambda candidate: chosen[candidate]), strict=True))
    results = [scores(recordings, index < 45, index >= 45, seed, **settings) for seed in SEEDS]
    table = []
    for level in LEVELS:
        values = np.array([result[level] for result in results])
        gain = values[:, 0] - [result["first"][0] for result in results]
        table.append(
            {
                "features": level,
                "pooled": f"{values[:, 2].mean():.0f}",
                "digits, unheard speaker": f"{values[:, 0].mean():.1f} ± {values[:, 0].std(ddof=1):.1f} %",
                "more than the first": f"{gain.mean():+.1f} ± {gain.std(ddof=1):.1f}",
                "digits": f"{values[:, 1].mean():.1f} ± {values[:, 1].std(ddof=1):.1f} %",
            }
        )
    note = (
        f"{common.machine()}. {len(SEEDS)} orders of the stream and starts. First layer: energy 0.98, output "
        f"{settings['output']}; second: windows of {settings['length']} rows, energy {settings['energy']}, halves."
    )
    common.write_table("layers", "A second infomax layer on the first", table, note)
    draw(results)


def draw(results: list[dict]) -> None:
    """Right answers for each level."""
    figure, all_axes = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True, layout="constrained")
    places = np.arange(len(LEVELS))[::-1]
    for k, (axes, title) in enumerate(zip(all_axes, ("digits of an unheard speaker", "digits"), strict=True)):
        values = np.array([[result[level][k] for level in LEVELS] for result in results])
        colours = ["tab:gray" if "not" in level else "tab:blue" for level in LEVELS]
        axes.barh(places, values.mean(axis=0), xerr=values.std(axis=0, ddof=1), color=colours, height=0.7)
        axes.set_xlim(max(0.0, 5 * np.floor(values.min() / 5) - 5), min(100.0, values.max() + 2))
        axes.set_title(f"{title}: accuracy, %", fontsize=10)
        axes.set_yticks(places, LEVELS)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(common.RESULTS / "layers.png", dpi=130)


if __name__ == "__main__":
    main()
