"""Greedy InfoMax and its end-to-end twin, CPC, as ordinary torch modules: trained offline on a signal made here.

python examples/contrast_offline.py
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from stream_infomax import GreedyInfoMax, plots

torch.set_num_threads(1)
torch.manual_seed(0)


def excerpts(n=16, rows=128, channels=8):
    """Excerpts (n, rows, channels) of noisy waves, each with a frequency and phases of its own."""
    frequency, phase = 0.05 + 0.2 * torch.rand(n, 1, 1), 6.28 * torch.rand(n, 1, channels)
    return torch.sin(frequency * torch.arange(rows)[:, None] + phase) + 0.1 * torch.randn(n, rows, channels)


def train(model, updates=60, report=20):
    """Minimise the sum of the modules' losses; no gradient crosses their borders, so each minimises its own.

    Returns the accuracy of each loss after each update: how often the row that follows is told from the others.
    """
    curves = []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for update in range(1, updates + 1):
        levels = model(excerpts())
        optimiser.zero_grad()
        sum(level.prediction.loss for level in levels).backward()
        optimiser.step()
        curves.append([level.prediction.accuracy for level in levels])
        if update % report == 0:
            print(f"  {update:4d}  accuracy of each loss:", *(f"{level.prediction.accuracy:.2f}" for level in levels))
    return curves


figure = Figure(figsize=(7, 3.2), layout="constrained")
axes = figure.subplots()
print("Greedy InfoMax, four modules, four losses (chance 0.02)")
for number, curve in enumerate(zip(*train(GreedyInfoMax(channels=8, rate=100)), strict=True), 1):
    axes.plot(curve, label=f"module {number}")
print("CPC, the same layers under one loss")
axes.plot(train(GreedyInfoMax(channels=8, rate=100, end_to_end=True)), "--", color="grey", label="CPC")
axes.set(xlabel="updates", ylabel="accuracy of the contrast", title="Modules that learn without a common gradient")
axes.legend(frameon=False)
plots.save(figure, Path("training.png"))
