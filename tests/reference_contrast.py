"""The naive twin of the contrastive loss: slow, and as plain as the equations."""

from helpers.extras import extra

torch = extra("torch")


def info_nce(loss, z, c, lengths, draws, streams=None):
    """Equation by equation, one anchor, step and negative at a time."""
    batch, total, width = z.shape
    anchors, _ = loss._draw_anchors(lengths, total, draws)
    shared, own = loss._draw_negatives(lengths, total, draws, streams)
    weights = loss.predict.weight.view(loss.steps, width, c.shape[2] * loss.reach)
    z_flat = z.reshape(batch * total, width)

    def score(j, b, t, k):
        seen = torch.cat([c[b, t - back] if t >= back else 0 * c[b, t] for back in range(loss.reach)])
        predicted, target = weights[k - 1] @ seen, z_flat[j]
        if not loss.temperature:
            return target @ predicted
        return target @ predicted / torch.sqrt((target @ target) * (predicted @ predicted)) / loss.temperature

    losses, accuracies = [], []
    for k in range(1, loss.steps + 1):
        per_anchor, hits = [], []
        for group in range(batch // loss.columns):
            for anchor in anchors[group].tolist():
                b, t = divmod(anchor, total)
                if b // loss.columns != group or t + loss.skip + k >= lengths[b]:
                    continue
                positive = anchor + loss.skip + k
                negatives = [j for j in [*shared.tolist(), *own[group].tolist()] if j != positive]
                scores = [score(j, b, t, k) for j in [positive, *negatives]]
                per_anchor.append(torch.logsumexp(torch.stack(scores), 0) - scores[0])
                hits.append(float(scores[0] > max(scores[1:])))
        if per_anchor:
            losses.append(sum(per_anchor) / len(per_anchor))
            accuracies.append(sum(hits) / len(hits))
    return sum(losses) / len(losses), sum(accuracies) / len(accuracies)
