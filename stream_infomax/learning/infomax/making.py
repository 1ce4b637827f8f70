"""Which of the two rules learns."""

from __future__ import annotations

from stream_infomax.learning.infomax.complete import CompleteRule
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.overcomplete import OvercompleteRule
from stream_infomax.learning.infomax.rules import Rule
from stream_infomax.learning.infomax.whitening import StreamingWhitener


def make_rule(whitener: StreamingWhitener, n_components: int, seed: int | None, horizon: Horizon) -> Rule:
    """Return algorithm 1 where there are as many components as dimensions, algorithm 2 where there are more.

    Its C is a random one; zeros where `seed` is None, until it is restored.
    """
    whiten, dewhiten = whitener.whiten, whitener.dewhiten
    if n_components == whitener.n_rank:
        return CompleteRule(whiten, dewhiten, seed, horizon)
    return OvercompleteRule(whiten, dewhiten, n_components, seed, horizon)
