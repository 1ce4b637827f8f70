"""The contracts that every source and stage keeps; what they are stands in contracts/."""

from functools import cache

import pytest
from contracts import examples, kinds, sources, stages


def every(of):
    return pytest.mark.parametrize("example", range(len(of)), ids=[str(example) for example in of])


def checks(of):
    return pytest.mark.parametrize("check", of, ids=lambda check: check.__name__)


@cache
def stage(example):
    return examples.Subject(examples.EXAMPLES[example])


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return cache(lambda example: sources.Subject(sources.EXAMPLES[example], tmp_path_factory.mktemp("source")))


@pytest.mark.parametrize(
    ("of", "room"), [(kinds.STAGES, examples), (kinds.SOURCES, sources)], ids=["stages", "sources"]
)
def test_every_kind_has_an_example(of, room):
    lacking = of.keys() - {example.kind for example in room.EXAMPLES}
    assert not lacking, f"add an Example of {sorted(lacking)} to EXAMPLES of {room.__name__}"


def test_no_sink_goes_unchecked():
    assert not kinds.SINKS, "the sinks need contracts/sinks.py: checks of full, accept, save, drained, and EXAMPLES"


@every(examples.EXAMPLES)
@checks(stages.CHECKS)
def test_stage(check, example, tmp_path):
    check(stage(example), *([tmp_path] if "tmp_path" in check.__code__.co_varnames else []))


@every(sources.EXAMPLES)
@checks(sources.CHECKS)
def test_source(check, example, source):
    check(source(example))
