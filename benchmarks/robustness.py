"""Do the same default settings do for every kind of data, every number of components, every seed and every disturbance?

Eight sets, 30,000 rows in the stream's own order (patches shuffled, signals in time), the last parts held out. The
measure is the sum over units of |⟨-ln φ(ŷ_k)⟩ - its value for a Gaussian|, in nats on held-out rows: minus Q up to a
constant for super-Gaussian outputs (2.83), and the same for sub-Gaussian ones; for more components than dimensions it
is -Q̂ (2.98). 0 % is the mean of random starts, 100 % the best of the defaults and of a sweep of the learning rate
over two decades (0.1 … 10 times the default). Five seeds.

    python benchmarks/robustness.py [SET ...]     these sets (again), or those that results/robustness.json lacks
    python benchmarks/robustness.py --draw        tables and plot of what is there
"""

import argparse
import json
from collections.abc import Callable
from functools import cache

import common
import matplotlib.pyplot as plt
import numpy as np
from photographs import pictures, random_patches

from stream_infomax.learning import kernels, updates
from stream_infomax.learning.infomax import OnlineInfomax
from stream_infomax.learning.tuning import minus_log_density, start_beta
from stream_infomax.learning.whitening import polar

ROWS, HELD_OUT, FRAME, SEEDS = 30_000, 8_000, 256, range(5)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
RATIOS = (0.5, 1, 4, 12)
# ⟨-ln φ⟩ of a Gaussian of unit variance, φ the logistic density of unit variance.
GRID = np.linspace(-12, 12, 20_001)
GAUSSIAN = float(
    np.trapezoid(minus_log_density(GRID, start_beta(1, 1)) * np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi), GRID)
)
STORE = common.RESULTS / "robustness.json"


def windows(files: list, length: int, seed: int) -> np.ndarray:
    """Windows of 64 samples without overlap, from as many recordings as give enough; files in a seeded order."""
    import soundfile

    rows = []
    for i in np.random.default_rng(seed).permutation(len(files)):
        samples = soundfile.read(files[i], dtype="float32")[0]
        rows.append(samples[: len(samples) // length * length].reshape(-1, length))
        if sum(map(len, rows)) >= ROWS + HELD_OUT:
            break
    return np.concatenate(rows)[: ROWS + HELD_OUT]


def photographs() -> np.ndarray:
    """8×8 patches."""
    return np.concatenate(
        [random_patches(part, n, 8, i) for i, (part, n) in enumerate(zip(pictures(), (ROWS, HELD_OUT), strict=True))]
    )


def mnist() -> np.ndarray:
    """8×8 patches from the middle of digits."""
    with np.load(common.data_folder() / "mnist" / "mnist_train.npz") as file:
        images = file["images"][: ROWS + HELD_OUT].astype(np.float32) / 255
    return images[:, 10:18, 10:18].reshape(len(images), 64)


def fsdd_mel() -> np.ndarray:
    """Patches of three log-mel frames."""
    from fsdd_features import patches

    rows = np.concatenate(list(patches(3, False, 3).values()))
    return rows[np.isfinite(rows).all(axis=1)][: ROWS + HELD_OUT]


def eeg() -> np.ndarray:
    """64 channels, microvolts, runs in turn; the last fifth of each is held out."""
    early, late = [], []
    for file in sorted((common.data_folder() / "eeg_motor").glob("*.npz")):
        with np.load(file) as run:
            data = run["data"].T.astype(np.float32)
        early.append(data[: len(data) * 4 // 5])
        late.append(data[len(data) * 4 // 5 :])
    return np.concatenate([np.concatenate(early)[:ROWS], np.concatenate(late)[:HELD_OUT]])


def known() -> np.ndarray:
    """Sixteen Laplace and sixteen uniform sources, mixed."""
    rng = np.random.default_rng(0)
    n = ROWS + HELD_OUT
    sources = np.concatenate([rng.laplace(size=(n, 16)), rng.uniform(-2, 2, size=(n, 16))], axis=1)
    return (sources @ rng.standard_normal((32, 32))).astype(np.float32)


def audio(*parts: str) -> list:
    """The files of a folder of recordings."""
    return sorted(common.data_folder().joinpath(*parts).rglob("*.[fw][la][av]*"))


SETS: dict[str, Callable[[], np.ndarray]] = {
    "photographs": photographs,
    "MNIST": mnist,
    "FSDD, waveform": lambda: windows(audio("fsdd", "recordings"), 64, 0),
    "FSDD, log-mel": fsdd_mel,
    "ESC-10": lambda: windows(audio("esc10", "audio"), 64, 0),
    "LibriSpeech": lambda: windows(audio("librispeech_mini", "multi_utterance"), 64, 0),
    "EEG": eeg,
    "known, half sub-Gaussian": known,
}
KEPT = {"FSDD, waveform": 0.999, "ESC-10": 0.999, "LibriSpeech": 0.999, "MNIST": 0.999}


@cache
def split(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out."""
    rows = SETS[name]()
    return rows[: -min(HELD_OUT, len(rows) // 5)], rows[-min(HELD_OUT, len(rows) // 5) :]


def measure(filters: np.ndarray, K0: int, rows: np.ndarray, held_out: np.ndarray) -> float:
    """Nats above a Gaussian (or -Q̂) of the C nearest to filters (K1, K), whitening by the rows' covariance."""
    mean = rows.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
    values, vectors = values[-K0:], vectors[:, -K0:]
    C = polar((vectors * np.sqrt(values)).T @ filters.T.astype(np.float64))
    Y = (held_out - mean) @ (vectors / np.sqrt(values)) @ C
    K1 = C.shape[1]
    beta = start_beta(K1, K0)
    if K1 == K0:
        return float(np.abs(minus_log_density(Y, beta).mean(axis=0) - GAUSSIAN).sum())
    D = np.exp(-minus_log_density(Y, beta)).mean(axis=0)
    return 0.5 * float(np.linalg.slogdet((C * D**2) @ C.T)[1])


def learn(rows: np.ndarray, factor: float = 1.0, **settings) -> OnlineInfomax:
    """One pass with the learning rate times a factor."""
    usual = updates.RATE
    updates.RATE = usual * factor
    learner = OnlineInfomax(**settings)
    for first in range(0, len(rows), FRAME):
        learner.partial_fit(rows[first : first + FRAME])
    updates.RATE = usual
    return learner


def sizes(name: str, ratio: float) -> dict[str, int]:
    """n_rank and n_components for a share of the rank that the set has."""
    rows, _ = split(name)
    probe = OnlineInfomax(energy=KEPT.get(name, 1.0)).partial_fit(rows[: 12 * rows.shape[1] + 64])
    K0 = probe.n_rank_
    return (
        {"n_rank": max(1, K0 // 2), "n_components": max(1, K0 // 2)}
        if ratio < 1
        else {
            "n_rank": K0,
            "n_components": int(ratio * K0),
        }
    )


def run_set(name: str) -> list[dict]:
    """All ratios of one set."""
    rows, held_out = split(name)
    found = []
    for ratio in RATIOS:
        size = sizes(name, ratio)
        K0, K1 = size["n_rank"], size["n_components"]

        def judged(learner: OnlineInfomax, K0=K0) -> float:
            return measure(learner.components_, K0, rows, held_out)

        rng = np.random.default_rng(0)
        values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
        whiten = vectors[:, -K0:] / np.sqrt(values[-K0:])
        starts = [measure((whiten @ polar(rng.standard_normal((K0, K1)))).T, K0, rows, held_out) for _ in range(3)]
        seeds = [judged(learn(rows, random_state=seed, **size)) for seed in SEEDS]
        sweep = {factor: judged(learn(rows, factor, **size)) for factor in FACTORS if factor != 1.0}
        random = float(np.mean(starts))
        best = max(float(np.median(seeds)), *sweep.values())
        share = 100 * (np.array(seeds) - random) / (best - random)
        found.append(
            {
                "set": name,
                "K1 / K0": f"{ratio:g} ({K1} / {K0})" if ratio >= 1 else f"1, K0 halved ({K1})",
                "gain, nats": f"{best - random:.3f}",
                "defaults, median": f"{np.median(share):.1f} %",
                "spread over seeds": f"{share.max() - share.min():.1f} %",
                **{
                    f"rate × {factor:g}": f"{100 * (value - random) / (best - random):.1f} %"
                    for factor, value in sweep.items()
                },
            }
        )
        print(found[-1], flush=True)
    return found


def disturbed(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The same rows, disturbed."""
    rng = np.random.default_rng(1)
    rows = rows.astype(np.float64)
    deviation = rows.std(axis=0).mean()
    outliers = rows.copy()
    hit = rng.random(len(rows)) < 0.01
    outliers[hit] += 100 * deviation * rng.standard_normal((hit.sum(), rows.shape[1]))
    return {
        "as it is": rows,
        "× 10⁻⁶": rows * 1e-6,
        "× 10⁶": rows * 1e6,
        "+ 1000 deviations": rows + 1000 * deviation,
        "1 % outliers of 100 σ": outliers,
        "heavy tails (rows × |Student t, 3|)": rows * np.abs(rng.standard_t(3, size=(len(rows), 1))),
    }


def run_disturbances(name: str) -> list[dict]:
    """Share of the undisturbed gain that is left under disturbances, judged on clean rows."""
    rows, held_out = split(name)
    K0 = sizes(name, 1)["n_rank"]
    shares: dict[str, float] = {}
    rng = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
    start = (vectors[:, -K0:] / np.sqrt(values[-K0:])) @ polar(rng.standard_normal((K0, K0)))
    random = measure(start.T, K0, rows, held_out)
    for kind, changed in disturbed(rows).items():
        learner = learn(changed, n_rank=K0)
        value = measure(learner.components_, K0, rows, held_out) if learner.n_rank_ == K0 else random
        shares[kind] = value - random
    usual = shares["as it is"]
    return [{"set": name, **{kind: f"{100 * share / usual:.1f} %" for kind, share in shares.items()}}]


def main() -> None:
    """Measure what is asked for or missing, and write tables and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    kernels.warmup()
    stored = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    missing = [] if options.draw else [name for name in SETS if name not in stored]
    for name in options.sets or missing:
        stored[name] = {"ratios": run_set(name), "disturbances": run_disturbances(name)}
        STORE.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    rows = [row for name in SETS if name in stored for row in stored[name]["ratios"]]
    note = f"{common.machine()}. Targets: ≥ 98 % with the defaults, spread over seeds ≤ 1 % of the gain."
    common.write_table("robustness", "The same defaults on everything", rows, note)
    kinds = [row for name in SETS if name in stored for row in stored[name]["disturbances"]]
    common.write_table("robustness_disturbed", "Share of the gain under disturbances, judged on clean rows", kinds)
    draw(rows)


def draw(rows: list[dict]) -> None:
    """Share of the gain over the factor of the learning rate."""
    names = list(dict.fromkeys(row["set"] for row in rows))
    figure, all_axes = plt.subplots(2, 4, figsize=(12, 5.4), sharey=True, layout="constrained", squeeze=False)
    for axes, name in zip(all_axes.flat, names, strict=False):
        for row in (row for row in rows if row["set"] == name):
            shares = {factor: row.get(f"rate × {factor:g}", row["defaults, median"]) for factor in FACTORS}
            axes.plot(
                list(shares), [float(share.rstrip(" %")) for share in shares.values()], ".-", label=row["K1 / K0"]
            )
        axes.set(xscale="log", title=name, ylim=(50, 102))
        axes.legend(frameon=False, fontsize=7, title="K1 / K0", title_fontsize=7)
    for axes in all_axes.flat[len(names) :]:
        axes.set_axis_off()
    for axes in all_axes[1]:
        axes.set_xlabel("learning rate, times the default")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("share of the best gain, %")
    figure.savefig(common.RESULTS / "robustness.png", dpi=120)


if __name__ == "__main__":
    main()
