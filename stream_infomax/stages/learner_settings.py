"""LearnerSettings: what can be set of a learner in a pipeline."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, ClassVar, Literal

from msgspec.structs import replace

from stream_infomax.learning.infomax.neurons import width
from stream_infomax.learning.infomax.settings import InfomaxSettings
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, NotNegativeFloat, Seed


class LearnerSettings(InfomaxSettings, StageSettings, frozen=True, kw_only=True):
    """Online infomax."""

    free: ClassVar = ("half_life", "adapt", "false_alarm_rows", "budget_ms", "learn")

    learn: Annotated[bool, Doc("False: only encode.")] = True
    share: Annotated[
        Literal["all", "stream"],
        Doc(
            "`all`: one basis serves all streams. `stream`: each stream has a learner of its own, with a memory of its "
            "own; 16 of those that have ended are kept."
        ),
    ] = "all"
    budget_ms: Annotated[
        NotNegativeFloat,
        Doc(
            "Milliseconds of a frame, in the mean, while others wait; 0: as many as it takes. Where encoding and "
            "learning take more, only 1 of 2, 4 … 64 frames is learnt from; all are encoded."
        ),
    ] = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_rank is not None and self.n_components is not None and self.n_rank > self.n_components:
            raise SettingError("n_rank", self.n_rank, f"n_rank <= n_components = {self.n_components}")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the estimator."""
        return {key: getattr(self, key) for key in InfomaxSettings.__struct_fields__}

    def encoder_id(self, name: str, stream: str) -> str:
        """Return the id of the features of a stage, and of its one stream where each has a learner of its own."""
        # It depends on settings only: runs can be compared.
        text = json.dumps([name, self.seed, self.parameters, *([stream] if stream else [])], sort_keys=True)
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the features, and whether the warm-up ends within the data."""
        if incoming.width is None:
            return None
        if not incoming.at_most:
            self.check_memory(incoming.width)
        n_components = self.n_components or self.n_rank or incoming.width
        warmup = self.rows_of_warmup(incoming.width)
        seconds = f", {warmup / incoming.rate:,.1f} s" if incoming.rate else ""
        of = "" if incoming.live else f" of {incoming.rows:,}"
        about = f"warm-up {'at most ' if incoming.at_most else ''}{warmup:,}{of} rows{seconds}"
        is_short = self.learn and self.rows_until_basis(incoming.width) > incoming.rows
        is_short = is_short and not (incoming.at_most or incoming.live)
        return replace(
            incoming,
            row=(width(self.output, n_components),),
            channels=(),
            units=(),
            at_most=incoming.at_most or not self.overcomplete,
            about=about if self.learn else "",
            warning=f"the data end before the warm-up: {about}" if is_short else "",
        )
