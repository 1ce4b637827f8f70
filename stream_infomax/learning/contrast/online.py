"""OnlineModule: one gradient-isolated module while the stream runs.

Modules in a row make Greedy InfoMax. Each trains on the output of the module below for the same batch, and passes on
its own output from before its step, as in joint training. No gradient goes back. Rows of the stream are encoded with a
running average of the weights, which is steadier than the weights themselves.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.contrast.excerpts import Batch
from stream_infomax.learning.contrast.layouts import Layer
from stream_infomax.learning.contrast.modules import seeded_module
from stream_infomax.settings.extras import optional
from stream_infomax.state.kept import Kept

with optional():
    import torch

Rows = NDArray[np.float32]

RISE, RISE_UPDATES = 3.0, 500  # the learning rate after what comes in has changed its meaning, and for how long
STUCK_SHARE, STUCK_UPDATES = 0.02, 500  # a score below this share of its maximum for so long counts as collapse
AVERAGED = 0.99  # what a step leaves of the average of the weights
FADING = 0.99  # of the score and accuracy that are reported


class OnlineModule(Kept):
    """A module, its optimiser (Adam) and its counters.

    Parameters
    ----------
    channels, layers, steps, **module
        As for ``ContrastModule``.
    seed, index
        The weights and every draw depend on (seed, index of the module, number of the update) only.
    learning_rate
        Of Adam.
    warmup_rows
        It rises from nothing to this while so many rows are learnt from; 0: it starts there.
    decay_rows
        After so many rows it is a half of it, after twice as many a third; 0: it stays.
    clip
        The gradient's norm is cut to this.
    device
        ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
    """

    kept = ("updates", "rows", "raised", "stuck", "score", "accuracy", "skipped")

    def __init__(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        steps: int,
        *,
        seed: int = 0,
        index: int = 0,
        learning_rate: float = 1e-3,
        warmup_rows: int = 0,
        decay_rows: int = 0,
        clip: float = 5.0,
        device: str = "cpu",
        **module: float,
    ) -> None:
        torch.set_num_threads(1)  # the order of additions, and so the bits, would depend on their number
        self.seed, self.index = seed, index
        self.learning_rate, self.clip = learning_rate, clip
        self.warmup_rows, self.decay_rows = warmup_rows, decay_rows
        name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(name)
        self.module = seeded_module(channels, layers, steps, seed=seed, index=index, **module).to(self.device)
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=learning_rate)
        self.published = copy.deepcopy(self.module).requires_grad_(False)
        del self.published.loss
        self.best_score = math.log1p(self.module.loss.negatives)
        self.updates = 0
        self.rows = 0  # learnt from, of what comes in
        self.raised = 0  # updates that are left at the raised learning rate
        self.stuck = 0  # updates in a row at the score of chance
        self.score = self.accuracy = math.nan
        self.skipped = {"not_finite": 0, "constant": 0, "one_excerpt": 0, "short": 0}

    def __getstate__(self) -> dict[str, Any]:
        # Copied: torch shares the memory of tensors with the process that they are sent to.
        return copy.deepcopy(super().__getstate__())

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        torch.set_num_threads(1)  # as in the constructor: the copy may be in another process
        super().__setstate__(attributes)

    @property
    def collapsed(self) -> bool:
        """Whether the score has long been that of chance: nothing can be predicted from the features."""
        return self.stuck >= STUCK_UPDATES

    def learn(self, batch: Batch) -> Batch | None:
        """Take one step on a batch.

        Parameters
        ----------
        batch
            Excerpts (B, T, channels), their lengths (B,), and their past and streams where there are any.

        Returns
        -------
        Batch or None
            The module's output for it from before the step: (B, T / stride, output). None for a batch that is skipped,
            and counted under ``skipped``: one that is not finite, constant, of fewer than two excerpts, or too short
            for one prediction.
        """
        reason = _unusable(batch, self.module.loss.columns)
        if reason:
            self.skipped[reason] += 1
            return None
        generator = torch.Generator()
        generator.manual_seed(_seed(self.seed, self.index, self.updates))
        x = torch.from_numpy(batch.rows).to(self.device)
        past = None if batch.past is None else torch.from_numpy(batch.past).to(self.device)
        streams = None if batch.streams is None else torch.tensor(batch.streams)
        level = self.module(x, torch.from_numpy(batch.lengths), generator, past, streams)
        if level.prediction is None:
            self.skipped["short"] += 1
            return None
        count = int(batch.lengths.sum())
        if not self._step(level.prediction.loss, self._rate(self.rows + count)):
            self.skipped["not_finite"] += 1
            return None
        self.rows += count
        self._average()
        self._watch(self.best_score - float(level.prediction.loss.detach()), float(level.prediction.accuracy))
        past_output = None if level.past is None else level.past.detach().cpu().numpy()
        return Batch(level.z.detach().cpu().numpy(), level.lengths.numpy(), past_output, batch.streams)

    def _rate(self, rows: int) -> float:
        """Return the learning rate when so many rows have been learnt from."""
        rise = min(1.0, rows / self.warmup_rows) if self.warmup_rows else 1.0
        fall = 1 + rows / self.decay_rows if self.decay_rows else 1.0
        return self.learning_rate * rise / fall * (RISE if self.raised else 1.0)

    def _step(self, loss: torch.Tensor, rate: float) -> bool:
        """Take one step down the gradient; False, and no step, where loss or gradient are not finite."""
        if not math.isfinite(float(loss.detach())):
            return False
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if not torch.isfinite(torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)):
            return False
        self.optimiser.step()
        return True

    def _average(self) -> None:
        """Move the published weights towards those just learnt; quickly at first, as an average of few."""
        left = min(AVERAGED, self.updates / (self.updates + 10))
        weights = self.module.state_dict()
        for name, value in self.published.state_dict().items():
            value.lerp_(weights[name], 1 - left)

    def _watch(self, score: float, accuracy: float) -> None:
        """Take in score (nats) and accuracy of an update, and count it."""
        first = self.updates == 0
        self.score = score if first else FADING * self.score + (1 - FADING) * score
        self.accuracy = accuracy if first else FADING * self.accuracy + (1 - FADING) * accuracy
        self.stuck = self.stuck + 1 if self.score < STUCK_SHARE * self.best_score else 0
        self.updates += 1
        self.raised = max(0, self.raised - 1)

    def raise_learning_rate(self) -> None:
        """Learn three times as fast for the next 500 updates: the features below have changed their meaning."""
        self.raised = RISE_UPDATES

    def transform(self, rows: Rows, tails: list[Rows] | None) -> tuple[Rows, Rows, list[Rows]]:
        """Encode rows with the published weights.

        Parameters
        ----------
        rows
            Finite rows (B, T, channels) that follow those before; T is a multiple of the module's stride.
        tails
            What the call before returned; None for a beginning.

        Returns
        -------
        z, c, tails
            Outputs (B, T / stride, output), contexts (B, T / stride, context), and the tails to continue with.
        """
        old = None if tails is None else [torch.from_numpy(tail).to(self.device) for tail in tails]
        with torch.no_grad():
            z, c, new = self.published.encode(torch.from_numpy(rows).to(self.device), old)
        return z.cpu().numpy(), c.cpu().numpy(), [tail.cpu().numpy() for tail in new]

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs: weights, their average, moments, counters."""
        moments = self.optimiser.state_dict()["state"]
        return {
            "weights": {name: _array(value) for name, value in self.module.state_dict().items()},
            "published": {name: _array(value) for name, value in self.published.state_dict().items()},
            "moments": {
                str(index): {name: _array(value) for name, value in entry.items()} for index, entry in moments.items()
            },
            **super().state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        KeyError, ValueError
            Where something is missing, or the sizes of an array differ; names it.
        """
        super().restore(state)
        own = self.module.state_dict()
        for name, value in own.items():
            saved = state["weights"].get(name)
            if saved is None or saved.shape != tuple(value.shape):
                shape = "nothing" if saved is None else f"shape {saved.shape}"
                raise ValueError(f"weights {name!r}: saved is {shape}, this module needs shape {tuple(value.shape)}")
        self.module.load_state_dict({name: torch.from_numpy(np.array(state["weights"][name])) for name in own})
        published = {name: torch.from_numpy(np.array(value)) for name, value in state["published"].items()}
        self.published.load_state_dict(published)
        saved = self.optimiser.state_dict()
        saved["state"] = {
            int(index): {name: torch.from_numpy(np.array(value)) for name, value in entry.items()}
            for index, entry in state["moments"].items()
        }
        self.optimiser.load_state_dict(saved)


def _unusable(batch: Batch, columns: int) -> str:
    """Return why a batch is skipped, an empty text where it is not."""
    if len(batch.lengths) <= columns:
        return "one_excerpt"
    is_there = np.arange(batch.rows.shape[1]) < batch.lengths[:, None]
    used = batch.rows[is_there]
    if not (np.isfinite(used).all() and (batch.past is None or np.isfinite(batch.past[is_there]).all())):
        return "not_finite"
    if len(used) == 0:
        return "short"
    return "constant" if not used.std(0).any() else ""


def _seed(*numbers: int) -> int:
    """Return the seed of the draws that these numbers name."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _array(value: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().numpy().copy()
    return array
