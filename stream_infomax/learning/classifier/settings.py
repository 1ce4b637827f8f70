"""The settings of the linear classifier: the parameters of the estimator, and of the stage that learns with it."""

from __future__ import annotations

from typing import Annotated

from stream_infomax.settings.record import Settings
from stream_infomax.settings.types import Doc, NotNegativeFloat, PositiveFloat


class SoftmaxSettings(Settings, frozen=True, kw_only=True):
    """Multinomial logistic regression, one step of Adam for each labelled vector."""

    learning_rate: Annotated[
        PositiveFloat, Doc("Of Adam, for up to 100 features; of n more it is the root of 100 / n of it.")
    ] = 2e-3
    penalty: Annotated[NotNegativeFloat, Doc("Of the squared weights.")] = 1e-4
    half_life: Annotated[
        PositiveFloat | None,
        Doc("Labelled vectors after which what was learnt counts half; without it nothing is forgotten."),
    ] = None
