"""How each kind of measure is shown: title, unit, direction, and the form of a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stream_infomax.frames.measure import Kind


@dataclass(frozen=True)
class Display:
    """How a kind of measure is shown.

    Attributes
    ----------
    title
        What it is called.
    unit
        Stands behind a value; empty for shares, which are shown as per cent.
    better
        Which direction is good; empty where neither is.
    over
        What its position counts: rows or frames.
    form
        The format of a value.
    measured
        What it is measured on, for people who compare values.
    beside
        The kind that it is drawn beside, because it is there to be compared with.
    """

    title: str
    unit: str
    better: Literal["lower", "higher", ""]
    over: str
    form: str
    measured: str = ""
    beside: Kind | None = None

    @property
    def is_share(self) -> bool:
        """Whether values are shares of 1."""
        return self.form.endswith("%")

    @property
    def arrow(self) -> str:
        """The direction that is good, as an arrow."""
        return {"lower": "↓", "higher": "↑", "": ""}[self.better]

    @property
    def heading(self) -> str:
        """Title, unit and direction."""
        details = ", ".join(filter(None, (self.unit, self.better and f"{self.better} is better {self.arrow}")))
        if not details:
            return self.title
        return f"{self.title[:-1]}, {details})" if self.title.endswith(")") else f"{self.title} ({details})"

    def text(self, value: float) -> str:
        """Return the value with its unit."""
        form = ".3g" if MANY_DIGITS <= abs(value) < math.inf else self.form
        return "–" if math.isnan(value) else f"{value:{form}} {self.unit}".rstrip()


# Numbers from here on are written with an exponent: nobody reads so many digits.
MANY_DIGITS = 1e6
# The first accuracies are shares of a handful of results: before so many frames they say nothing.
FEW_FRAMES = 20

SAMPLED = "rows sampled evenly from the stream so far"

KINDS: dict[Kind, Display] = {
    "objective": Display("objective", "nats", "lower", "rows", ".2f", SAMPLED),
    "entropy": Display("coefficient entropy", "bits", "lower", "rows", ".3f", SAMPLED),
    "information": Display("information", "bits/row", "higher", "rows", ".1f", "the most recent rows"),
    "score": Display("contrast score", "nats", "higher", "frames", ".2f", "the most recent batches"),
    "accuracy": Display(
        "accuracy (last 200)", "", "higher", "frames", ".1%", "each segment before its label is learnt"
    ),
    "baseline": Display("baseline", "", "", "frames", ".1%", beside="accuracy"),
}


def worth_showing(kind: Kind, position: int, value: float) -> float:
    """Return a value of a curve; NaN where too few results are behind it to say anything."""
    return math.nan if KINDS[kind].is_share and position < FEW_FRAMES else value
