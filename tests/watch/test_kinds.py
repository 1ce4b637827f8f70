"""How a measure is written."""

import math

import pytest

from stream_infomax.frames.measure import Kind
from stream_infomax.watch.kinds import KINDS


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("objective", 85.504, "85.50 nats"),
        ("objective", -1.730474e17, "-1.73e+17 nats"),
        ("objective", math.nan, "–"),
        ("information", math.inf, "inf bits/row"),
        ("accuracy", 0.5, "50.0%"),
    ],
)
def test_a_value_is_written_in_few_digits(kind: Kind, value: float, text: str) -> None:
    assert KINDS[kind].text(value) == text
