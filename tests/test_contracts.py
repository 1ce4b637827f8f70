"""The contracts that every source and stage keeps; what they are stands in contracts/."""

from functools import cache

import pytest
from contracts import kinds, stages


@cache
def subject(example):
    return stages.Subject(stages.EXAMPLES[example])


def test_every_kind_of_stage_has_an_example():
    assert kinds.STAGES.keys() == {example.kind for example in stages.EXAMPLES}


@pytest.mark.parametrize("example", range(len(stages.EXAMPLES)), ids=[str(example) for example in stages.EXAMPLES])
@pytest.mark.parametrize("check", stages.CHECKS, ids=lambda check: check.__name__)
def test_stage(check, example, tmp_path):
    check(subject(example), *([tmp_path] if "tmp_path" in check.__code__.co_varnames else []))
