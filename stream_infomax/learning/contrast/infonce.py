"""InfoNCE: the loss of a contrastive module, by which it tells the rows that follow from rows that don't.

Shapes: B excerpts, T rows of an excerpt, C channels, A anchors, K steps ahead, N negatives, G groups.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stream_infomax.settings.extras import optional

with optional():
    import torch
    from torch import Tensor, nn
    from torch.nn import functional


class Prediction(NamedTuple):
    """How well a module tells the rows that follow from rows that don't.

    Attributes
    ----------
    loss : Tensor
        Nats, the mean over anchors, then over steps; ln(1 + N) is chance.
    accuracy : Tensor
        Share of anchors whose true row scores highest; 1 / (1 + N) is chance.
    pairs : int
        Pairs of anchor and step that the means are over.
    """

    loss: Tensor
    accuracy: Tensor
    pairs: int


class InfoNCE(nn.Module):
    """Tell the row that follows after k steps from N others (CPC, equation 4; GIM, equation 3).

    s_k(z, c) = zᵀ W_k c, or its cosine over a temperature, which bounds it, and

        L_k = -mean over anchors of [ s_k(z_{t+k}, c_t) - logsumexp of s_k over {z_{t+k}} and the negatives ],
        L = mean of L_k over k = 1 … K.

    Gradients flow through positives, negatives and contexts. Of the negatives a share is a pool of the anchor's own
    excerpt or image (a group; G of them are in a batch), a share a pool of the other groups of its stream, and the
    rest a pool that all anchors and steps share, drawn from all rows of the batch. Where a negative is the positive
    itself it is left out.

    Parameters
    ----------
    context, target
        Channels of c and of z.
    steps
        K, how many steps ahead to predict.
    negatives
        N, negatives of an anchor.
    anchors
        So many anchors are drawn from a batch, equally many (rounded up) from each group.
    skip
        The first step predicted is 1 + skip: on grids of overlapping patches the rows that share pixels with the
        context are skipped.
    columns
        So many consecutive sequences are the columns of one image, and "own" means of that image. 1 for sounds.
    own
        The share of the negatives that is of the own group.
    stream
        The share that is of other groups of the same stream; a group without any takes them from the whole batch.
    temperature
        Scores are cosines divided by this; 0: plain products without a bound.
    reach
        It is predicted from the contexts of so many last rows, zeros before the first of a sequence.
    """

    def __init__(
        self,
        context: int,
        target: int,
        steps: int,
        *,
        negatives: int = 64,
        anchors: int = 256,
        skip: int = 0,
        columns: int = 1,
        own: float = 0.25,
        stream: float = 0.0,
        temperature: float = 0.0,
        reach: int = 1,
    ) -> None:
        super().__init__()
        if min(steps, anchors, columns) < 1 or negatives < 2 or skip < 0:
            raise ValueError(
                f"steps, anchors and columns are at least 1, negatives 2, skip 0; received steps={steps}, "
                f"anchors={anchors}, columns={columns}, negatives={negatives}, skip={skip}"
            )
        if min(own, stream) < 0 or own + stream > 1 or temperature < 0 or reach < 1:
            raise ValueError(
                f"own and stream are shares, together at most 1, temperature is at least 0, reach 1; received "
                f"own={own}, stream={stream}, temperature={temperature}, reach={reach}"
            )
        self.steps, self.negatives, self.anchors, self.skip, self.columns = steps, negatives, anchors, skip, columns
        self.n_own, self.n_stream = int(negatives * own), int(negatives * stream)
        self.temperature, self.reach = temperature, reach
        self.predict = nn.Linear(context * reach, steps * target, bias=False)  # W_1 … W_K

    def forward(
        self, z: Tensor, c: Tensor, lengths: Tensor, generator: torch.Generator, streams: Tensor | None = None
    ) -> Prediction | None:
        """Return loss and accuracy, or None where no row of the batch has a row that far ahead.

        Parameters
        ----------
        z, c
            Targets (B, T, C) and contexts (B, T, Cc).
        lengths
            Rows of each sequence (B,), on the CPU.
        generator
            Draws anchors and negatives, on the CPU: every device draws alike.
        streams
            A number (B,) for the stream of each sequence, on the CPU; None: all are of one.
        """
        total, width = z.shape[1:]
        z, c = z.flatten(0, 1), c.flatten(0, 1)
        anchors, ends = self._draw_anchors(lengths, total, generator)  # (G, A)
        positives = anchors[..., None] + self.skip + torch.arange(1, self.steps + 1)  # (G, A, K)
        valid = positives < ends[..., None]
        pairs = int(valid.sum())
        if pairs == 0:
            return None
        positives = torch.where(valid, positives, anchors[..., None])
        shared, own = self._draw_negatives(lengths, total, generator, streams)

        predicted = self.predict(self._seen(c, anchors, total)).view(len(anchors), -1, width)  # (G, A·K, C)
        if self.temperature:
            z = functional.normalize(z, dim=-1)
            predicted = functional.normalize(predicted, dim=-1) / self.temperature
        positive = (predicted * _take(z, positives.flatten(1))).sum(-1, keepdim=True)  # (G, A·K, 1)
        negative = torch.cat([predicted @ _take(z, shared).T, predicted @ _take(z, own).transpose(1, 2)], -1)
        drawn = torch.cat([shared.expand(len(own), -1), own], -1)  # (G, N)
        is_positive = (drawn[:, None] == positives.flatten(1)[..., None]).to(z.device)
        scores = torch.cat([positive, negative.masked_fill(is_positive, -math.inf)], -1)  # (G, A·K, 1 + N)

        weight = valid.to(z)
        weight = weight / weight.sum((0, 1)).clamp(min=1)  # mean over anchors …
        weight = (weight / weight.sum()).flatten(1)  # … then over the steps that any anchor reaches
        surprise = torch.logsumexp(scores, -1) - scores[..., 0]
        right = scores[..., 0] > scores[..., 1:].amax(-1)
        return Prediction((weight * surprise).sum(), (weight * right).sum().detach(), pairs)

    def _draw_anchors(self, lengths: Tensor, total: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the flat indices (G, A) of rows with a row to predict, and where their sequences end.

        They are spread evenly over each excerpt or image. A group without such a row gets ends that leave no pair.
        """
        able = torch.arange(total) + 1 + self.skip < lengths[:, None]
        rows, first, count = _by_group(able, self.columns)
        each = -(-self.anchors // len(count))
        part = (torch.arange(each) + torch.rand(len(count), each, generator=generator, dtype=torch.float64)) / each
        anchors = rows[first[:, None] + (part * count[:, None]).long()]
        sequence = anchors // total
        ends = sequence * total + lengths[sequence]
        return anchors, torch.where(count[:, None] > 0, ends, 0)

    def _seen(self, c: Tensor, anchors: Tensor, total: int) -> Tensor:
        """Return the contexts (G, A, reach·Cc) of the anchors and of the rows before them, the newest first."""
        seen = [_take(c, anchors)]
        for back in range(1, self.reach):
            is_there = anchors % total >= back
            before = _take(c, torch.where(is_there, anchors - back, anchors))
            seen.append(torch.where(is_there[..., None].to(c.device), before, torch.zeros_like(before)))
        return torch.cat(seen, -1) if self.reach > 1 else seen[0]

    def _draw_negatives(
        self, lengths: Tensor, total: int, generator: torch.Generator, streams: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the flat indices of the pool for all (P,) and of each group's own and its stream's (G, N - P)."""
        rows, first, count = _by_group(torch.arange(total) < lengths[:, None], self.columns)
        n_shared = self.negatives - self.n_own - self.n_stream
        shared = rows[torch.randint(int(count.sum()), (n_shared,), generator=generator)]
        part = torch.rand(len(count), self.n_own, generator=generator, dtype=torch.float64)
        own = rows[first[:, None] + (part * count[:, None]).long()]
        if not self.n_stream:
            return shared, own
        part = torch.rand(len(count), self.n_stream, generator=generator, dtype=torch.float64)
        of = torch.zeros(len(count), dtype=torch.int64) if streams is None else streams[:: self.columns]
        return shared, torch.cat([own, _of_others(rows, first, count, of, part)], -1)


def _of_others(rows: Tensor, first: Tensor, count: Tensor, streams: Tensor, part: Tensor) -> Tensor:
    """Return rows (G, n) at the shares `part` of what the other groups of each group's stream have.

    A group that is alone of its stream gets rows of the whole batch.
    """
    order = torch.argsort(streams, stable=True)
    sorted_rows = torch.cat([rows[start : start + n] for start, n in zip(first[order], count[order], strict=True)])
    place = torch.empty_like(first)  # where each group begins in the rows, sorted by stream
    place[order] = count[order].cumsum(0) - count[order]
    same = streams[:, None] == streams
    in_stream = (same * count).sum(1)
    begin = torch.where(same, place, len(sorted_rows)).amin(1)
    others = in_stream - count
    is_alone = others == 0
    index = (part * torch.where(is_alone, len(sorted_rows), others)[:, None]).long()
    index = index + torch.where(is_alone, 0, begin)[:, None]
    is_past_own = ~is_alone[:, None] & (index >= place[:, None])
    return sorted_rows[index + is_past_own * count[:, None]]


def _by_group(chosen: Tensor, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the flat indices of the chosen rows (B, T) and one more; where each group begins in them, its number."""
    count = chosen.sum(1).view(-1, columns).sum(1)
    rows = chosen.flatten().nonzero().squeeze(1)
    return torch.cat([rows, rows.new_zeros(1)]), count.cumsum(0) - count, count


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Return rows[index]; the backward pass of index_select is the fast one."""
    return rows.index_select(0, index.flatten().to(rows.device)).view(*index.shape, rows.shape[-1])
