"""The settings of online infomax: the parameters of the estimator, and of the stage that learns with it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from stream_infomax.learning.infomax.neurons import Output
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings
from stream_infomax.settings.types import Doc, Positive, PositiveFloat, SeedNumber

Adapt: TypeAlias = Literal["fixed", "follow", "hold"]

# Blocks learnt from the memory for each new one.
REPLAYS = 4
# Fewest rows of a step, new and drawn, for each feature and for each component: with fewer, the products of the step
# alone would cost more than those of its rows.
ROWS_A_FEATURE, ROWS_A_COMPONENT = 1.75, 0.5
WARMUP_ROWS_A_FEATURE = 10
# Of rows that are so wide, the end of the warm-up is computed while so many blocks come.
BESIDE_FEATURES, BESIDE_BLOCKS = 64, 4


class InfomaxSettings(Settings, frozen=True, kw_only=True):
    """Neural population infomax, learnt from a stream in one pass."""

    n_components: Annotated[
        Positive | None,
        Doc(
            "K1, the number of filters; without it K0. Below the rank, K0 is lowered to it; above, there are as many "
            "filters as dimensions and a warning, or `overcomplete`."
        ),
    ] = None
    overcomplete: Annotated[
        bool, Doc("Whether `n_components` may exceed the dimensions: algorithm 2, several times the work.")
    ] = False
    n_rank: Annotated[
        Positive | None, Doc("K0, the dimensions kept by the whitening; without it `energy` decides.")
    ] = None
    energy: Annotated[
        float,
        Meta(gt=0, le=1),
        Doc("Square root of the share of variance that the kept dimensions hold (2.49); 1 keeps the numerical rank."),
    ] = 1.0
    block: Annotated[
        Positive,
        Doc(
            "Rows between two updates; raised where the step, which takes four rows from the memory for each new one, "
            "would have fewer than 1.75 times the features or half the components and cost more than they do."
        ),
    ] = 64
    memory: Annotated[Memory, Doc("For past rows, learnt from again along the way; 0 for none.")] = Memory("24 MiB")
    half_life: Annotated[
        PositiveFloat | None,
        Doc("Rows after which the weight of an observation halves, for streams that change."),
    ] = None
    adapt: Annotated[
        Adapt,
        Doc(
            "What a change of the stream does. `fixed`: it is reported. `follow`: what was learnt before counts less. "
            "`hold`: learning stops until a person resumes it."
        ),
    ] = "fixed"
    false_alarm_rows: Annotated[
        PositiveFloat, Doc("Rows of a stream that does not change between two changes reported in error.")
    ] = 1e7
    output: Annotated[
        Output,
        Doc(
            "`potential`: y. `rate`: g²/4. `poisson`: spikes drawn with that rate. `halves`: [max(y, 0), max(-y, 0)]. "
            "`log`: ln(|ŷ| + 0.1)."
        ),
    ] = "potential"
    warmup: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        Doc("Rows from which rank and first whitening are taken; without it ten times the features."),
    ] = None

    def __post_init__(self) -> None:
        if self.overcomplete and self.n_components is None:
            raise SettingError("overcomplete", True, "true with n_components", "how many filters there are is missing")
        if self.overcomplete or self.n_rank is None or self.n_components is None:
            return
        if self.n_components > self.n_rank:
            raise SettingError(
                "n_components", self.n_components, f"n_components <= n_rank = {self.n_rank}, or overcomplete = true"
            )

    def rows_a_block(self, n_features: int) -> int:
        """Return the rows between two updates: `block`, or more where the products of an update ask for it."""
        least = max(ROWS_A_FEATURE * n_features, ROWS_A_COMPONENT * (self.n_components or 0))
        return max(self.block, math.ceil(least / (1 + REPLAYS if self.memory else 1)))

    def rows_of_warmup(self, n_features: int) -> int:
        """Return the rows from which the first basis is computed."""
        return WARMUP_ROWS_A_FEATURE * n_features if self.warmup is None else self.warmup

    def rows_until_basis(self, n_features: int) -> int:
        """Return the rows after which there is a basis, where all of them vary: whole blocks."""
        block = self.rows_a_block(n_features)
        n_blocks = -(-self.rows_of_warmup(n_features) // block)
        return block * (n_blocks + (BESIDE_BLOCKS if n_features >= BESIDE_FEATURES else 0))

    def check_memory(self, n_features: int) -> None:
        """Raise SettingError where the memory holds less than a block."""
        least = self.rows_a_block(n_features)
        n_rows = self.memory // (4 * n_features)
        if self.memory and n_rows < least:
            raise SettingError(
                "memory",
                self.memory,
                f"0 B, or at least a block: {Memory(4 * n_features * least)}",
                f"it holds {n_rows} rows of {n_features} numbers, a block has {least}",
            )


class EstimatorSettings(InfomaxSettings, frozen=True, kw_only=True):
    """Parameters of OnlineInfomax."""

    random_state: Annotated[
        SeedNumber | None,
        Doc(
            "Seed of the start, of what is drawn from the memory, and of spikes. None draws one; from a RandomState or "
            "a Generator of NumPy's one is drawn at every fresh start."
        ),
    ] = 0
