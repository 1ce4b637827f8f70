"""64 channels of EEG: held-out objective and entropy beside batch ICA, and where the alpha rhythm of closed eyes goes.

Four runs of one person, 160 Hz; the first four fifths of each run are learnt from, the last fifth is held out. All
programs get the same dimensions: those that configs/sensor.toml keeps (`energy`). Q (2.83, nats, at β0, b = 0, C after
polar) and coefficient entropy (bits) are of whitened rows: in the whitening of the rows learnt from, and in the
held-out rows' own, since variances of the two differ much.

Alpha: of the power from 8 to 13 Hz on eight channels over the back of the head, with eyes closed, the share that the
sum of one, two, three and five components explains. They are chosen one after the other on the rows learnt from; the
share is of the held-out ones. The contrast is the power from 8 to 13 Hz with eyes closed over that with eyes open of
the first one.

    python benchmarks/eeg.py
"""

import time
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path

import common  # isort: skip - pins the threads before numpy is loaded
import numpy as np
from picard import picard
from picard.densities import Tanh
from sklearn.decomposition import FastICA

from stream_infomax import plots
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import minus_log_density, start_beta
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.measures.information import coefficient_entropy
from stream_infomax.sources.table import TableSource
from stream_infomax.stages.learner import LearnerStage

CONFIG = Path(__file__).parents[1] / "configs" / "sensor.toml"
PICTURE = Path(__file__).parents[1] / "docs" / "figures" / "eeg.png"
SEEDS, FRAME, LEARNT, RATE = range(5), 160, 0.8, 160.0
BACK = ("O1", "Oz", "O2", "Po7", "Po3", "Poz", "Po4", "Po8")
TAKEN = (1, 2, 3, 5)


@dataclass
class Space:
    """The K0 largest dimensions of rows, whitened: x̂ = (x - μ) V; and the way back."""

    mean: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, K0: int) -> "Space":
        """Of the covariance of rows."""
        values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64), bias=True))
        values, vectors = values[::-1][:K0], vectors[:, ::-1][:, :K0]
        return cls(rows.mean(axis=0, dtype=np.float64), vectors / np.sqrt(values), vectors * np.sqrt(values))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Whitened rows, float32."""
        return ((rows - self.mean) @ self.forward).astype(np.float32)

    def judge(self, filters: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """Q and coefficient entropy of the rotation nearest to filters (K, K0) of x - μ."""
        Y = self.apply(rows) @ polar(self.backward.T @ filters).astype(np.float32)
        beta = np.float32(start_beta(Y.shape[1], Y.shape[1]))
        return float(minus_log_density(Y, beta).sum(axis=1, dtype=np.float64).mean()), coefficient_entropy(Y)


@dataclass
class Recording:
    """Rows by condition, split in time, and the channels' names."""

    learnt: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    names: list[str]

    @classmethod
    def load(cls) -> "Recording":
        """From the data folder."""
        learnt, held_out, names = {}, {}, []
        for file in sorted((common.data_folder() / "eeg_motor").glob("*.npz")):
            with np.load(file) as found:
                rows, names = found["data"].T.astype(np.float32), [str(name) for name in found["channel_names"]]
            cut = int(LEARNT * len(rows))
            learnt[file.stem], held_out[file.stem] = rows[:cut], rows[cut:]
        return cls(learnt, held_out, names)

    @staticmethod
    def of(part: dict[str, np.ndarray], condition: str) -> np.ndarray:
        """The rows of the one run with this condition."""
        return next(rows for name, rows in part.items() if name.endswith(condition))


def alpha(rows: np.ndarray) -> np.ndarray:
    """The transform of columns from 8 to 13 Hz, under a Hann window."""
    hertz = np.fft.rfftfreq(len(rows), 1 / RATE)
    spectrum = np.fft.rfft((rows - rows.mean(axis=0)) * np.hanning(len(rows))[:, None], axis=0)
    return spectrum[(hertz >= 8) & (hertz <= 13)] / np.sqrt(len(rows))


def explained(outputs: np.ndarray, basis: np.ndarray, chosen: list[int], back: np.ndarray) -> float:
    """The share of the power of `back` that the sum of chosen components explains."""
    rest = back - outputs[:, chosen] @ basis[:, chosen].T
    return 1 - float((np.abs(rest) ** 2).sum() / (np.abs(back) ** 2).sum())


def alpha_of(filters: np.ndarray, basis: np.ndarray, data: Recording, most: int = max(TAKEN)) -> dict[str, object]:
    """Which components hold the alpha of closed eyes, how much of it, and how much more than with eyes open."""
    places = [data.names.index(name) for name in BACK]
    learnt, held_out = (data.of(part, "eyes_closed") for part in (data.learnt, data.held_out))
    chosen: list[int] = []
    outputs, back = alpha(learnt @ filters), alpha(learnt[:, places])
    for _ in range(min(most, filters.shape[1])):
        others = [i for i in range(filters.shape[1]) if i not in chosen]
        chosen.append(max(others, key=lambda i: explained(outputs, basis[places], [*chosen, i], back)))
    outputs, back = alpha(held_out @ filters), alpha(held_out[:, places])
    shares = [100 * explained(outputs, basis[places], chosen[:n], back) for n in TAKEN]
    first = filters[:, chosen[:1]]
    opened, closed = (
        (np.abs(alpha(data.of(data.held_out, f"eyes_{eyes}") @ first)) ** 2).mean() for eyes in ("open", "closed")
    )
    where = [data.names[int(np.abs(basis[:, i]).argmax())] for i in chosen[:3]]
    return {"shares": shares, "contrast": float(closed / opened), "where": where}


def stream(rows: np.ndarray, passes: int, seed: int, energy: float) -> np.ndarray:
    """Filters (K, K0) of the online learner."""
    learner = OnlineInfomax(energy=energy, random_state=seed)
    for _ in range(passes):
        for first in range(0, len(rows), FRAME):
            learner.partial_fit(rows[first : first + FRAME])
    return learner.components_.T.astype(np.float64)


def batch(space: Space, rows: np.ndarray, seed: int, program: str) -> np.ndarray:
    """Filters (K, K0) of a batch program on whitened rows."""
    X = space.apply(rows).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the iterations do not reach the tolerance
        if program == "FastICA":
            ica = FastICA(whiten=False, fun="logcosh", max_iter=500, random_state=seed).fit(X)
            return space.forward @ ica.components_.T
        density = Tanh({"alpha": start_beta(1, 1) / 2})
        options = {"whiten": False, "centering": False, "max_iter": 500, "tol": 1e-5, "random_state": seed}
        return space.forward @ picard(X.T, fun=density, ortho=True, extended=False, **options)[1].T


def main() -> None:
    """Measure, and write tables and picture."""
    compile_kernels()
    data = Recording.load()
    energy = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["stage"][0]["energy"]
    learnt, held_out = (np.concatenate(list(part.values())) for part in (data.learnt, data.held_out))
    K0 = stream(learnt, 1, 0, energy).shape[1]
    space, own = Space.of(learnt, K0), Space.of(held_out, K0)
    rng = np.random.default_rng(0)
    programs = {
        "random rotation": lambda seed: space.forward @ polar(rng.standard_normal((K0, K0))),
        "whitening alone (PCA)": lambda seed: space.forward,
        "stream-infomax, one pass": lambda seed: stream(learnt, 1, seed, energy),
        "stream-infomax, five passes": lambda seed: stream(learnt, 5, seed, energy),
        "Picard-O, same density": lambda seed: batch(space, learnt, seed, "Picard"),
        "FastICA, logcosh": lambda seed: batch(space, learnt, seed, "FastICA"),
    }
    table, rhythm = [], []
    for name, program in programs.items():
        runs, spent = [], []
        for seed in SEEDS if "PCA" not in name else [0]:
            since = time.process_time()
            runs.append(program(seed))
            spent.append(time.process_time() - since)
        table.append(
            quality(
                name, runs, spent, {"learnt": (space, learnt), "held out": (space, held_out), "own": (own, held_out)}
            )
        )
        rhythm.append(loudest(name, [alpha_of(W, basis_of(W, space), data) for W in runs]))
    rhythm.append(
        loudest("best single channels", [alpha_of(np.eye(64), np.cov(learnt.T) / learnt.var(axis=0), data, 1)])
    )
    note = (
        f"{common.machine('python-picard', 'scikit-learn')}, shared cores. {K0} dimensions, {len(learnt):,} rows "
        f"learnt from, {len(held_out):,} held out; medians of {len(SEEDS)} seeds (least … most)."
    )
    common.write_table("eeg", "64 channels of EEG", table, note)
    common.write_table("eeg_alpha", "Alpha of closed eyes in few components", rhythm, note)
    draw(energy)


def basis_of(filters: np.ndarray, space: Space) -> np.ndarray:
    """What components look like on the channels: (K, K0)."""
    return space.backward @ polar(space.backward.T @ filters)


def quality(name: str, runs: list[np.ndarray], spent: list[float], judged: dict) -> dict[str, str]:
    """One line of the table of objectives."""
    found = {by: np.array([space.judge(W, rows) for W in runs]).T for by, (space, rows) in judged.items()}
    Q = found["held out"][0]
    return {
        "program": name,
        "Q, rows learnt from": f"{np.median(found['learnt'][0]):.2f}",
        "Q, held out": f"{np.median(Q):.2f} ({Q.min():.2f} … {Q.max():.2f})",
        "Q, held out in its own whitening": f"{np.median(found['own'][0]):.2f}",
        "coefficient entropy, held out, bits": f"{np.median(found['held out'][1]):.3f}",
        "in its own whitening": f"{np.median(found['own'][1]):.4f}",
        "CPU s": f"{np.median(spent):.1f}" if max(spent) > 0.05 else "",
    }


def loudest(name: str, found: list[dict]) -> dict[str, str]:
    """One line of the table of alpha."""
    shares = np.array([one["shares"] for one in found])
    line = {"program": name}
    for place, n in enumerate(TAKEN):
        low, high = shares[:, place].min(), shares[:, place].max()
        line[f"{n}"] = f"{np.median(shares[:, place]):.0f} %" + (
            f" ({low:.0f} … {high:.0f})" if high - low > 0.5 else ""
        )
    if "single" in name:
        line |= dict.fromkeys([str(n) for n in TAKEN[1:]], "")
    contrasts = [one["contrast"] for one in found]
    return line | {
        "closed : open, of the first": f"{np.median(contrasts):.1f} ({min(contrasts):.1f} … {max(contrasts):.1f})",
        "largest on (first seed)": ", ".join(found[0]["where"]),
    }


def draw(energy: float) -> None:
    """What configs/sensor.toml draws: all rows, five passes."""
    source = TableSource(common.data_folder() / "eeg_motor", array="data", transposed=True, frame=FRAME, repeat=5)
    stage = LearnerStage("learner", "source", energy=energy, seed=0)
    for frame in source.frames():
        stage.process(frame)
    learner, spectra = stage.learner, stage.observed.spectra
    figure = plots.components(
        learner.components_, learner.mixing_, ("channel",), (64,), spectra.rate, source.channels, spectra.power
    )
    common.save_small(figure, PICTURE)


if __name__ == "__main__":
    main()
