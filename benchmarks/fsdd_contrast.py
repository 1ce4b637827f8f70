"""What do the contrastive modules add on spoken digits, and what is each of their levers worth?

FSDD → infomax → modules, everything learnt in one online pass over indices 5-44 of all six speakers, sorted by speaker,
then digit (the hard order); who speaks is known. Linear probes on mean and deviation of each recording, fitted on
indices 5-44 and tested on 45-49; leave-one-speaker-out (LOSO) tests on the speaker whom the probe never saw, and is
also given on that speaker's indices 5-44 (2400 instead of 300 recordings, and what settings were chosen on).

    python benchmarks/fsdd_contrast.py [VARIANT ...] [SEED ...]     runs what is missing, then writes table and plot
"""

import common  # isort: skip  (pins threads)
import sys

import numpy as np
from contrast_common import SEEDS, Front, Results, Stack, fsdd, leave_one_out, paired, probe, spread

# What was chosen on indices 5-44 (docs/tried.md), as in configs/speech.toml.
REPLAY = {"replay": 16_000_000, "group": "speaker"}
CHOSEN = {
    "stack": "mel",
    "own": 0.25,
    "stream": 0.75,
    "temperature": 0.1,
    "residual": True,
    "horizon": 0.06,
    "skip": (3, 4, 4),
}
STILL = {"warp": 0.0, "gain": 0.0, "tilt": 0.0}
WAVE_REPLAY = {**REPLAY, "rows": 2048}
WAVE = {**CHOSEN, "stack": "fine", "skip": (3, 2, 2, 2)}
EXTENT = (10, 1)  # mel frames of a patch, and between two
PLAIN = {"stack": "mel", "rows": 1024}

# name: (front end, settings of its windows, of the stack, does it train)
VARIANTS = {
    "modules": ("log-mel", REPLAY, CHOSEN, True),
    "untrained": ("log-mel", {}, CHOSEN, False),
    "CPC end to end": ("log-mel", REPLAY, {**CHOSEN, "end_to_end": True}, True),
    "CPC, skip 40 ms": ("log-mel", REPLAY, {**CHOSEN, "end_to_end": True, "skip": (2,)}, True),
    "CPC, horizon 120 ms": ("log-mel", REPLAY, {**CHOSEN, "end_to_end": True, "horizon": 0.12}, True),
    "CPC, rate 0.0003": ("log-mel", REPLAY, {**CHOSEN, "end_to_end": True, "learning_rate": 3e-4}, True),
    "CPC, not residual": ("log-mel", REPLAY, {**CHOSEN, "end_to_end": True, "residual": False}, True),
    "no replay": ("log-mel", {}, {**CHOSEN, "rows": 1024}, True),
    "replay without distortions": ("log-mel", {**REPLAY, **STILL}, CHOSEN, True),
    "negatives from all": ("log-mel", REPLAY, {**CHOSEN, "own": 0.25, "stream": 0.0}, True),
    "negatives from the own excerpt": ("log-mel", REPLAY, {**CHOSEN, "own": 1.0, "stream": 0.0}, True),
    "raw scores": ("log-mel", REPLAY, {**CHOSEN, "temperature": 0.0}, True),
    "not residual": ("log-mel", REPLAY, {**CHOSEN, "residual": False}, True),
    "skip by construction": ("log-mel", REPLAY, {**CHOSEN, "skip": (), "extent": EXTENT}, True),
    "no skip": ("log-mel", REPLAY, {**CHOSEN, "skip": ()}, True),
    "horizon 120 ms": ("log-mel", REPLAY, {**CHOSEN, "horizon": 0.12}, True),
    "no lever": ("log-mel", {}, PLAIN, True),
    "only replay": ("log-mel", REPLAY, {"stack": "mel"}, True),
    "only negatives of the speaker": (
        "log-mel",
        {**REPLAY, **STILL},
        {"stack": "mel", "own": 0.25, "stream": 0.75},
        True,
    ),
    "only temperature": ("log-mel", {}, {**PLAIN, "temperature": 0.1}, True),
    "only residual": ("log-mel", {}, {**PLAIN, "residual": True}, True),
    "only skip": ("log-mel", {}, {**PLAIN, "skip": (3, 4, 4), "horizon": 0.06}, True),
    "waveform modules": ("waveform", WAVE_REPLAY, WAVE, True),
    "waveform untrained": ("waveform", {}, WAVE, False),
    "waveform CPC end to end": ("waveform", WAVE_REPLAY, {**WAVE, "end_to_end": True}, True),
    "waveform, no lever": ("waveform", {}, {}, True),
}
LEVELS = ("input", "module 1", "module 2", "module 3", "module 4", "z+c", "all levels")


def run(variant, seed, recordings):
    """Return the accuracies (%) of every level after one pass."""
    kind, windows, settings, trains = VARIANTS[variant]
    streamed = [recording for recording in recordings if int(recording.labels["index"]) < 45]
    front = Front(kind, seed, 8000, **windows)
    stack = None
    for recording in streamed:
        if (frame := front.learn(recording)) is None:
            continue
        if stack is None:
            width = frame.arrays["learner"].row_shape[0]
            stack = Stack(width, front.rate, seed=seed, replays="replay" in windows, **settings)
        stack.learn(frame, trains)
    pooled = [stack.levels(rows) for rows in front.features(recordings)]
    digits, speakers, index = (
        np.array([recording.labels[name] for recording in recordings]) for name in ("digit", "speaker", "index")
    )
    seen = index.astype(int) < 45
    result = {"updates": stack.updates, "levels": {}}
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
            if not loso or (level == "input" and variant not in ("modules", "waveform modules")):
                continue
            row = {"what": variant, "level": level, "seeds": len(loso)}
            for measure in ("loso", "loso_5_44", "digits", "speakers"):
                row[measure] = spread(figures(results, variant, level, measure))
            rows.append(row)
    notes = []
    for (one, level), (other, below) in (
        (("modules", "z+c"), ("modules", "input")),
        (("modules", "all levels"), ("modules", "input")),
        (("modules", "z+c"), ("untrained", "z+c")),
        (("modules", "z+c"), ("CPC end to end", "z+c")),
        (("modules", "all levels"), ("CPC end to end", "all levels")),
        (("waveform modules", "z+c"), ("waveform modules", "input")),
        (("waveform modules", "z+c"), ("waveform CPC end to end", "z+c")),
    ):
        seeds = [seed for seed in SEEDS if {f"{one} {seed}", f"{other} {seed}"} <= results.runs.keys()]
        if len(seeds) > 1:
            short, long = (
                paired(figures(results, one, level, measure, seeds), figures(results, other, below, measure, seeds))
                for measure in ("loso", "loso_5_44")
            )
            notes.append(f"{one}, {level}, minus {other}, {below}: LOSO {short}, on 5-44 {long}, {len(seeds)} seeds.\n")
    seconds = [run["cpu_s"] for key, run in results.runs.items() if key.startswith("modules ")]
    notes.append(f"CPU of a run of the modules with its probes: {np.mean(seconds):.0f} s." if seconds else "")
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
    """Draw accuracy by depth, and beside it what each lever brings, left out or alone."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    levers = [name for name, (kind, *_, trains) in VARIANTS.items() if kind == "log-mel" and trains]
    levers = [name for name in levers if figures(results, name, "z+c", "loso_5_44")]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3 + 0.22 * len(levers)), layout="constrained")
    drawn = ("modules", "CPC end to end", "untrained", "no lever")
    levels = [level for level in LEVELS if level != "z+c"]
    levels = [level for level in levels if any(figures(results, name, level, "loso_5_44") for name in drawn)]
    for variant in drawn:
        points = {place: figures(results, variant, level, "loso_5_44") for place, level in enumerate(levels)}
        points = {place: values for place, values in points.items() if values}
        if points:
            means = [np.mean(values) for values in points.values()]
            deviations = [np.std(values, ddof=1) if len(values) > 1 else 0 for values in points.values()]
            left.errorbar(list(points), means, deviations, marker="o", capsize=3, label=variant)
    left.set_xticks(range(len(levels)), levels, rotation=20)
    left.set_ylabel("accuracy on digits of an unheard speaker, %")
    for place, name in enumerate(levers):
        for level, colour, shift in (("z+c", "C0", -0.12), ("all levels", "C3", 0.12)):
            values = figures(results, name, level, "loso_5_44")
            right.plot(values, [place + shift] * len(values), "|", color=colour, alpha=0.6)
            right.plot(np.mean(values), place + shift, "o", color=colour, label=level if place == 0 else None)
    values = figures(results, "modules", "input", "loso_5_44")
    if values:
        right.axvline(np.mean(values), color="0.6", linestyle="--", label="input")
    right.set_yticks(range(len(levers)), levers)
    right.invert_yaxis()
    right.set_xlabel("accuracy on digits of an unheard speaker, %")
    for axes in (left, right):  # legends above, where no line goes
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1, handlelength=1.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.suptitle("FSDD, one online pass over a sorted stream")
    figure.savefig(common.RESULTS / "fsdd_contrast.png", dpi=150)
    pyplot.close(figure)


def main():
    """Run what is missing, seed by seed."""
    wanted = [name for name in sys.argv[1:] if not name.isdigit()] or list(VARIANTS)
    seeds = [int(text) for text in sys.argv[1:] if text.isdigit()] or SEEDS
    recordings = fsdd(common.data_folder())
    results = Results("fsdd_contrast")
    for seed in seeds:
        for variant in wanted:
            results.run(f"{variant} {seed}", lambda variant=variant, seed=seed: run(variant, seed, recordings))
    write(results)


if __name__ == "__main__":
    main()
