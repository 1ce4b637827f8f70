"""Probing: which stage is the input of the modules."""

from pathlib import Path

import pytest

from stream_infomax.configuration.load import convert
from stream_infomax.run.probing import Probed


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "second"), ({"input": "first"}, "first"), ({"input": "source"}, ""), (None, "")]
)
def test_the_input_is_what_the_first_module_reads(given, expected):
    stages = [
        {"name": "first", "kind": "learner", "carry": ["source"]},
        {"name": "second", "kind": "learner", "carry": ["source", "first"]},
    ]
    if given is not None:
        stages.append({"name": "module1", "kind": "contrast", **given})
    config = convert({"run": {"folder": "runs/x"}, "source": {"kind": "synthetic"}, "stage": stages})
    assert Probed(Path("runs/x"), config, {}).input == expected
