"""What does it bring that every neuron's β and b follow its potentials (stage 2 of the paper: p(ŷ) ∝ |g′|)?

One pass over three sets (sets.py), complete and four times overcomplete. Stage 2 minimises the cross-entropy
⟨-ln |g′(ŷ)|⟩ of the potentials and the density that the tuning function assumes, in nats a neuron, here on held-out
rows: at the start (β0, b = 0), as the stream left it, and at the optimum for the held-out rows themselves (Newton's
method), which no learner can beat. What is left above the potentials' entropy is the misfit of the logistic shape.

    STREAM_INFOMAX_DATA=FOLDER python benchmarks/neurons.py
"""

import common  # isort: skip - pins the threads before numpy is loaded

import numpy as np
from sets import split

from stream_infomax import OnlineInfomax
from stream_infomax.learning.infomax.neurons import minus_log_density, start_beta
from stream_infomax.learning.measures.information import output_entropies

SETS = ("photographs", "MNIST", "FSDD, waveform")
RATIOS = (1, 4)
FRAME, SEEDS = 256, range(3)


def best(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """β and b (K1,) of the likeliest logistic density of potentials (n, K1), by damped Newton steps in ln β and b."""
    beta, bias = np.full(y.shape[1], start_beta(1, 1)), np.zeros(y.shape[1])
    for _ in range(200):
        t = np.tanh(0.5 * (beta * y + bias))
        excess = beta * np.mean(y * t, axis=0) - 1
        shift = np.mean(t, axis=0) / np.maximum(0.5 * np.mean(1 - t * t, axis=0), 1e-3)
        beta *= np.exp(-0.3 * np.clip(excess, -1, 1))
        bias -= 0.3 * np.clip(shift, -1, 1)
    return beta, bias


def run(name: str, ratio: int, seed: int) -> np.ndarray:
    """Means over the neurons: cross-entropy at the start, tuned, at best; entropy; range of β/β0 and of b."""
    rows, stretches = split(name)
    rank = OnlineInfomax(energy=0.999).fit(rows[: 24 * rows.shape[1] + 64]).n_rank_
    learner = OnlineInfomax(ratio * rank, overcomplete=ratio > 1, n_rank=rank, random_state=seed)
    for first in range(0, len(rows), FRAME):
        learner.partial_fit(rows[first : first + FRAME])
    scale = np.sqrt(ratio)
    y = np.concatenate([learner.transform(part) for part in stretches]).astype(np.float64) / scale
    beta, start = learner.beta_.astype(np.float64), start_beta(ratio, 1)
    values = [
        minus_log_density(y, start).mean(),
        minus_log_density(y, beta, learner.bias_.astype(np.float64)).mean(),
        minus_log_density(y, *best(y)).mean(),
        output_entropies(y).mean() * np.log(2),
    ]
    return np.array([*values, *np.quantile(beta / start, (0.05, 0.95)), *np.quantile(learner.bias_, (0.05, 0.95))])


def main() -> None:
    """Measure and write the table."""
    table = []
    for name in SETS:
        for ratio in RATIOS:
            start, tuned, least, entropy, low, high, left, right = np.mean([run(name, ratio, s) for s in SEEDS], axis=0)
            table.append(
                {
                    "set": name,
                    "K1 / K0": ratio,
                    "⟨-ln g′⟩ at β0, b = 0": f"{start:.4f}",
                    "tuned online": f"{tuned:.4f}",
                    "fitted to the held-out rows": f"{least:.4f}",
                    "share of that gain": f"{100 * (start - tuned) / (start - least):.1f} %",
                    "entropy of ŷ": f"{entropy:.4f}",
                    "β/β0 (5 … 95 % of the neurons)": f"{low:.2f} … {high:.2f}",
                    "b": f"{left:+.2f} … {right:+.2f}",
                }
            )
    note = f"{common.machine()}. Nats a neuron on held-out rows, mean of {len(SEEDS)} seeds."
    common.write_table("neurons", "Neurons that follow their potentials", table, note)


if __name__ == "__main__":
    main()
