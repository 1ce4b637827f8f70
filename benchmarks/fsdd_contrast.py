"""What do the contrastive modules add on spoken digits, and what is the memory of excerpts worth?

FSDD, waveform → infomax → log energy → modules, everything learnt in one online pass over indices 5-44 of all six
speakers, sorted by speaker, then digit (the hard order) unless said. Linear probes on mean and deviation of each
recording, fitted on indices 5-44 and tested on 45-49; leave-one-speaker-out (LOSO) tests on the speaker whom the probe
never saw, and is also given on that speaker's indices 5-44 (2400 instead of 300 recordings, and what settings were
chosen on).

    python benchmarks/fsdd_contrast.py [VARIANT ...]     runs what is missing, then writes table and plot
"""

import common  # isort: skip  (pins threads)
import sys

import numpy as np
from contrast_common import SEEDS, Front, Results, Stack, front, fsdd, leave_one_out, paired, probe, spread

# name: (front end, stack's settings, order, does it train)
VARIANTS = {
    "GIM": ("waveform", {}, "sorted", True),
    "CPC end to end": ("waveform", {"end_to_end": True}, "sorted", True),
    "random modules": ("waveform", {}, "sorted", False),
    "GIM, recent only": ("waveform", {"memory": 2048 * 64 * 4, "reservoir": 0.0}, "sorted", True),
    "GIM, shuffled": ("waveform", {}, "shuffled", True),
    "GIM, shuffled, recent only": ("waveform", {"memory": 2048 * 64 * 4, "reservoir": 0.0}, "shuffled", True),
    "log-mel GIM": ("log-mel", {}, "sorted", True),
    "log-mel CPC end to end": ("log-mel", {"end_to_end": True}, "sorted", True),
    "log-mel random modules": ("log-mel", {}, "sorted", False),
}
LEVELS = ("input", "module 1", "module 2", "module 3", "module 4", "z+c")
_fronts: dict[tuple[str, str, int], Front] = {}


def run(variant, seed, recordings):
    """Return the accuracies (%) of every level after one pass."""
    kind, settings, order, train = VARIANTS[variant]
    streamed = [recording for recording in recordings if int(recording.labels["index"]) < 45]
    if order == "shuffled":
        streamed = [streamed[i] for i in np.random.default_rng([seed, 7]).permutation(len(streamed))]
    if (kind, order, seed) not in _fronts:
        _fronts.clear()
        _fronts[kind, order, seed] = front(recordings, streamed, kind, seed)
    features = _fronts[kind, order, seed]
    stack = Stack(next(iter(features.final.values())).shape[1], features.rate, seed=seed, **settings)
    for recording in streamed:
        if recording.name in features.published:
            stack.learn(features.published[recording.name], train)
    pooled = [stack.levels(features.final[recording.name]) for recording in recordings]
    digits, speakers, index = (
        np.array([recording.labels[name] for recording in recordings]) for name in ("digit", "speaker", "index")
    )
    seen = index.astype(int) < 45
    result = {"updates": stack.draws, "levels": {}}
    for level in pooled[0]:
        vectors = np.array([vector[level] for vector in pooled])
        loso, loso_seen = leave_one_out(vectors, digits, speakers, seen, ~seen, seen)
        result["levels"][level] = {
            "loso": loso,
            "loso_5_44": loso_seen,
            "digits": probe(vectors, digits, seen, ~seen),
            "speakers": probe(vectors, speakers, seen, ~seen),
        }
    return result


def figures(results, variant, level, measure, seeds=SEEDS):
    """Return a figure of every seed that has been run."""
    runs = [results.runs.get(f"{variant} {seed}") for seed in seeds]
    return [run["levels"][level][measure] for run in runs if run and level in run["levels"]]


def write(results):
    """Write the table and the plot of what has been run."""
    rows = []
    for variant in VARIANTS:
        for level in LEVELS:
            loso = figures(results, variant, level, "loso")
            if not loso or (level == "input" and variant not in ("GIM", "log-mel GIM", "GIM, shuffled")):
                continue
            row = {"what": variant, "level": level, "seeds": len(loso)}
            for measure in ("loso", "loso_5_44", "digits", "speakers"):
                row[measure] = spread(figures(results, variant, level, measure))
            rows.append(row)
    notes = []
    for one, other, level in (
        ("GIM", "GIM", "input"),
        ("GIM", "random modules", "z+c"),
        ("GIM", "CPC end to end", "z+c"),
        ("GIM", "GIM, recent only", "z+c"),
        ("GIM, shuffled", "GIM, shuffled, recent only", "z+c"),
        ("GIM, shuffled", "GIM", "z+c"),
    ):
        seeds = [seed for seed in SEEDS if {f"{one} {seed}", f"{other} {seed}"} <= results.runs.keys()]
        if len(seeds) > 1:
            short, long = (
                paired(figures(results, one, "z+c", measure, seeds), figures(results, other, level, measure, seeds))
                for measure in ("loso", "loso_5_44")
            )
            notes.append(f"{one} z+c minus {other} {level}: LOSO {short}, on 5-44 {long}, {len(seeds)} seeds.\n")
    seconds = [run["cpu_s"] for key, run in results.runs.items() if key.startswith("GIM ")]
    notes.append(f"CPU of a GIM run with its probes: {np.mean(seconds):.0f} s." if seconds else "")
    notes.append(common.machine("torch"))
    common.write_table(
        "fsdd_contrast",
        "FSDD: linear probes in %, mean ± deviation over seeds",
        rows,
        "\n".join(notes),
        results.codes(),
    )
    plot(results)


def plot(results):
    """Draw the depth curve: leave-one-speaker-out accuracy per level."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for variant in ("GIM", "log-mel GIM", "random modules"):
        points = [figures(results, variant, level, "loso") for level in LEVELS]
        if all(points):
            means, deviations = [np.mean(p) for p in points], [np.std(p, ddof=1) if len(p) > 1 else 0 for p in points]
            axes.errorbar(range(len(LEVELS)), means, deviations, marker="o", capsize=3, label=variant)
    for variant, style in (("CPC end to end", "--"), ("log-mel CPC end to end", ":")):
        values = figures(results, variant, "z+c", "loso")
        if values:
            axes.axhline(np.mean(values), linestyle=style, color="grey", label=variant)
    axes.set_xticks(range(len(LEVELS)), LEVELS)
    axes.set_ylabel("digits of an unheard speaker, %")
    axes.set_title("FSDD, one online pass, sorted stream")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(common.RESULTS / "fsdd_contrast.png", dpi=150)


def main():
    """Run what is missing, seed by seed."""
    wanted = sys.argv[1:] or list(VARIANTS)
    recordings = fsdd(common.data_folder())
    results = Results("fsdd_contrast")
    for seed in SEEDS:
        for variant in wanted:
            results.run(f"{variant} {seed}", lambda variant=variant, seed=seed: run(variant, seed, recordings))
    write(results)


if __name__ == "__main__":
    main()
