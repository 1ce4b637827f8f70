"""The contracts that every source, stage and sink keeps; what they are stands in contracts/."""

from contextlib import ExitStack, closing
from functools import cache
from inspect import signature

import pytest
from contracts import commands, examples, kinds, live, sinks, sources, stages
from helpers.extras import needs


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
    ("of", "room"),
    [
        (kinds.STAGES, examples),
        (kinds.SOURCES.keys() - live.KINDS.keys(), sources),
        (live.KINDS, live),
        (kinds.SINKS, sinks),
    ],
    ids=["stages", "sources", "live sources", "sinks"],
)
def test_every_kind_has_an_example(of, room):
    lacking = set(of) - {example.kind for example in room.EXAMPLES}
    assert not lacking, f"add an Example of {sorted(lacking)} to EXAMPLES of {room.__name__}"


@every(examples.EXAMPLES)
@checks([*stages.CHECKS, *commands.CHECKS])
def test_stage(check, example, tmp_path):
    check(stage(example), *([tmp_path] if "tmp_path" in signature(check).parameters else []))


@every(sources.EXAMPLES)
@checks(sources.CHECKS)
def test_source(check, example, source):
    check(source(example))


@every(live.EXAMPLES)
@checks(live.CHECKS)
def test_live_source(check, example, tmp_path):
    check(live.Subject(live.EXAMPLES[example], tmp_path))


@pytest.mark.parametrize(
    "example",
    [pytest.param(i, marks=needs(*example.needs), id=str(example)) for i, example in enumerate(sinks.EXAMPLES)],
)
@checks(sinks.CHECKS)
def test_sink(check, example, tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        check(*(stack.enter_context(closing(sinks.Subject(sinks.EXAMPLES[example], folder))) for folder in folders))
