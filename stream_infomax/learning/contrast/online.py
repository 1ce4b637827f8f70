"""One gradient-isolated module while the stream runs: it encodes row by row, and learns from batches that come by.

Modules in a row make Greedy InfoMax: each trains on what the one below made of the same batch, and passes on what
it made of it itself, before its own step, as in joint training. Nothing goes back. Rows of the stream are encoded with
a running average of the weights, which is steadier than the weights themselves.
"""

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.contrast.excerpts import Batch, Cutter
from stream_infomax.learning.contrast.layouts import Layer
from stream_infomax.learning.contrast.modules import seeded_module
from stream_infomax.settings.extras import optional

with optional():
    import torch

Rows = NDArray[np.float32]

RISE, RISE_UPDATES = 3.0, 500  # the learning rate after what comes in has changed its meaning, and for how long
STUCK_SHARE, STUCK_UPDATES = 0.02, 500  # a score below this share of its maximum for so long counts as collapse
AVERAGED = 0.99  # what a step leaves of the average of the weights
FADING = 0.99  # of the score and accuracy that are reported


class OnlineModule:
    """A module, its optimiser (Adam) and its counters.

    Parameters
    ----------
    channels, layers, steps, **loss
        As for ``ContrastModule``.
    seed, index
        The weights and every draw depend on (seed, index of the module, number of the update) only.
    learning_rate
        Of Adam.
    clip
        The gradient's norm is cut to this.
    device
        ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
    """

    def __init__(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        steps: int,
        *,
        seed: int = 0,
        index: int = 0,
        learning_rate: float = 1e-3,
        clip: float = 5.0,
        device: str = "cpu",
        **loss: int,
    ) -> None:
        torch.set_num_threads(1)  # the order of additions, and so the bits, would depend on their number
        self.seed, self.index = seed, index
        self.learning_rate, self.clip = learning_rate, clip
        name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(name)
        self.module = seeded_module(channels, layers, steps, seed=seed, index=index, **loss).to(self.device)
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=learning_rate)
        self.published = copy.deepcopy(self.module).requires_grad_(False)
        del self.published.loss
        self.best_score = math.log1p(self.module.loss.negatives)
        self.updates = 0
        self.raised = 0  # updates that are left at the raised learning rate
        self.stuck = 0  # updates in a row at the score of chance
        self.score = self.accuracy = math.nan
        self.skipped = {"not_finite": 0, "constant": 0, "one_excerpt": 0, "short": 0}

    @property
    def collapsed(self) -> bool:
        """Whether the score has been that of chance for long: the features carry nothing that could be predicted."""
        return self.stuck >= STUCK_UPDATES

    def learn(self, batch: Batch) -> Batch | None:
        """Take one step on a batch and return this module's output for it, as it was before the step.

        A batch that cannot be learnt from is counted under ``skipped`` and goes no further (None): one that is not
        finite, constant, of fewer than two excerpts, or too short for one prediction.
        """
        reason = _unusable(batch, self.module.loss.columns)
        if reason:
            self.skipped[reason] += 1
            return None
        generator = torch.Generator()
        generator.manual_seed(_seed(self.seed, self.index, self.updates))
        x = torch.from_numpy(batch.rows).to(self.device)
        z, _, lengths, score = self.module(x, torch.from_numpy(batch.lengths), generator)
        if score is None:
            self.skipped["short"] += 1
            return None
        loss = float(score.loss.detach())
        if not math.isfinite(loss):
            self.skipped["not_finite"] += 1
            return None
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * (RISE if self.raised else 1.0)
        self.optimiser.zero_grad()
        score.loss.backward()
        if not torch.isfinite(torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)):
            self.skipped["not_finite"] += 1
            return None
        self.optimiser.step()
        self._average()
        self._watch(self.best_score - loss, float(score.accuracy))
        return Batch(z.detach().cpu().numpy(), lengths.numpy())

    def _average(self) -> None:
        """Let the published weights follow; at first quickly, as an average of few."""
        left = min(AVERAGED, self.updates / (self.updates + 10))
        weights = self.module.state_dict()
        for name, value in self.published.state_dict().items():
            value.lerp_(weights[name], 1 - left)

    def _watch(self, score: float, accuracy: float) -> None:
        first = self.updates == 0
        self.score = score if first else FADING * self.score + (1 - FADING) * score
        self.accuracy = accuracy if first else FADING * self.accuracy + (1 - FADING) * accuracy
        self.stuck = self.stuck + 1 if self.score < STUCK_SHARE * self.best_score else 0
        self.updates += 1
        self.raised = max(0, self.raised - 1)

    def raise_learning_rate(self) -> None:
        """Learn three times as fast for the next 500 updates, as when the features below have changed their meaning."""
        self.raised = RISE_UPDATES

    def transform(self, rows: Rows, tails: list[Rows] | None) -> tuple[Rows, Rows, list[Rows]]:
        """Encode finite rows (B, T, C) that follow those before with the published weights.

        Return z, c and the tails to continue with.

        T must be a multiple of the module's stride, so that T / stride rows come out.
        """
        old = None if tails is None else [torch.from_numpy(tail).to(self.device) for tail in tails]
        with torch.no_grad():
            z, c, new = self.published.encode(torch.from_numpy(rows).to(self.device), old)
        return z.cpu().numpy(), c.cpu().numpy(), [tail.cpu().numpy() for tail in new]

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs: weights, their average, moments, counters."""
        moments = self.optimiser.state_dict()["state"]
        return {
            "weights": {name: _array(value) for name, value in self.module.state_dict().items()},
            "published": {name: _array(value) for name, value in self.published.state_dict().items()},
            "moments": {
                str(index): {name: _array(value) for name, value in entry.items()} for index, entry in moments.items()
            },
            "updates": self.updates,
            "raised": self.raised,
            "stuck": self.stuck,
            "score": self.score,
            "accuracy": self.accuracy,
            "skipped": dict(self.skipped),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned; ValueError naming the array where sizes differ."""
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
        self.updates, self.raised, self.stuck = (int(state[name]) for name in ("updates", "raised", "stuck"))
        self.score, self.accuracy = float(state["score"]), float(state["accuracy"])
        self.skipped = dict(state["skipped"])


class RowEncoder:
    """The state of one stream in one module: what its convolutions and GRU remember, and rows short of a stride.

    Output row j of a segment stands for its input rows j·stride to (j + 1)·stride - 1, whatever the frames. A NaN
    among them makes it NaN, and starts the state afresh.
    """

    def __init__(self, module: OnlineModule) -> None:
        self.module = module
        self.rest: Rows = np.zeros((0, module.module.channels), np.float32)
        self.tails: list[Rows] | None = None

    def encode(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return z and c for the next rows (n, C) of the segment."""
        stride = self.module.module.stride
        rows = np.concatenate([self.rest, rows])
        count = len(rows) // stride
        self.rest = rows[count * stride :].copy()
        blocks = rows[: count * stride].reshape(count, stride, rows.shape[1])
        finite = np.isfinite(blocks.reshape(count, stride * rows.shape[1])).all(1)
        z = np.full((count, self.module.module.width), np.nan, np.float32)
        c = np.full((count, self.module.module.context), np.nan, np.float32)
        borders = [0, *(np.flatnonzero(np.diff(finite.astype(np.int8))) + 1), count]
        for start, stop in pairwise(borders):
            piece = np.ascontiguousarray(blocks[start:stop]).reshape(1, (stop - start) * stride, rows.shape[1])
            if stop > start and np.isfinite(piece).all():
                found_z, found_c, self.tails = self.module.transform(piece, self.tails)
                z[start:stop], c[start:stop] = found_z[0], found_c[0]
            elif stop > start:
                self.tails = None
        return z, c

    def reset(self) -> None:
        """Forget what came before, as at the border of a segment."""
        self.rest, self.tails = self.rest[:0], None

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        tails = {} if self.tails is None else {str(i): tail.copy() for i, tail in enumerate(self.tails)}
        return {"rest": self.rest.copy(), "fresh": self.tails is None, "tails": tails}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        self.rest = np.array(state["rest"], np.float32)
        tails = [np.array(state["tails"][str(i)], np.float32) for i in range(len(state["tails"]))]
        self.tails = None if state["fresh"] else tails


class GridEncoder:
    """Grids of patches in one module: columns are what it sees as sequences; nothing is remembered between grids."""

    def __init__(self, module: OnlineModule, height: int, width: int) -> None:
        self.module, self.height, self.width = module, height, width

    def encode(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return z and c for a grid's rows (height·width, C), which run along its lines; a patch of NaN stays NaN."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(1))
        z, c, _ = self.module.transform(self.columns(np.where(finite[:, None], rows, 0)), None)
        back = [np.ascontiguousarray(output.swapaxes(0, 1)).reshape(len(rows), -1) for output in (z, c)]
        for output in back:
            output[~finite] = np.nan
        return back[0], back[1]

    def columns(self, rows: Rows) -> Rows:
        """Return a grid's rows as its columns (width, height, C)."""
        return np.ascontiguousarray(rows.reshape(self.height, self.width, -1).swapaxes(0, 1))


class StreamState:
    """What a module remembers of one stream: the segment, its encoder's tails, and rows that are no excerpt yet."""

    def __init__(self, encoder: RowEncoder, cutter: Cutter) -> None:
        self.encoder, self.cutter = encoder, cutter
        self.segment = ""

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return {"segment": self.segment, "encoder": self.encoder.state(), "open": self.cutter.open.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        self.segment = state["segment"]
        self.encoder.restore(state["encoder"])
        self.cutter.open = np.array(state["open"], np.float32)


def _unusable(batch: Batch, columns: int) -> str:
    if len(batch.lengths) <= columns:
        return "one_excerpt"
    used = batch.rows[np.arange(batch.rows.shape[1]) < batch.lengths[:, None]]
    if not np.isfinite(used).all():
        return "not_finite"
    if len(used) == 0:
        return "short"
    return "constant" if not used.std(0).any() else ""


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _array(value: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().numpy().copy()
    return array
