"""Greedy InfoMax and its end-to-end twin, CPC, as ordinary torch modules: trained offline on a signal made here.

python examples/contrast_offline.py
"""

import torch

from stream_infomax import GreedyInfoMax

torch.set_num_threads(1)
torch.manual_seed(0)


def excerpts(n=16, rows=128, channels=8):
    """Excerpts (n, rows, channels) of noisy waves, each with a frequency and phases of its own."""
    frequency, phase = 0.05 + 0.2 * torch.rand(n, 1, 1), 6.28 * torch.rand(n, 1, channels)
    return torch.sin(frequency * torch.arange(rows)[:, None] + phase) + 0.1 * torch.randn(n, rows, channels)


def train(model, updates=60, report=20):
    """Minimise the sum of the modules' losses; as no gradient crosses their borders, each minimises its own."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for update in range(1, updates + 1):
        levels = model(excerpts())
        optimiser.zero_grad()
        sum(level.prediction.loss for level in levels).backward()
        optimiser.step()
        if update % report == 0:
            print(f"  {update:4d}  accuracy of each loss:", *(f"{level.prediction.accuracy:.2f}" for level in levels))


print("Greedy InfoMax, four modules, four losses (chance 0.02)")
train(GreedyInfoMax(channels=8, rate=100))
print("CPC, the same layers under one loss")
train(GreedyInfoMax(channels=8, rate=100, end_to_end=True))
