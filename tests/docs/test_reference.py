"""Docstrings of public names are numpydoc: every parameter is described under its name, and no other."""

import inspect
import re
import textwrap
from typing import Any

import pytest
from helpers.extras import extra

import stream_infomax

extra("torch")
extra("PIL")
SECTION = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)


def parameters(docstring: str) -> list[str] | None:
    """Return the names in the section Parameters; None where there is no such section."""
    parts = SECTION.split(inspect.cleandoc(docstring))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if "Parameters" not in sections:
        return None
    heads = [line for line in textwrap.dedent(sections["Parameters"]).splitlines() if re.match(r"\S", line)]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def public() -> list[tuple[str, Any]]:
    """Return every public name, and the public methods of the classes."""
    found = []
    for name in stream_infomax.__all__:
        thing = getattr(stream_infomax, name)
        found.append((name, thing))
        if inspect.isclass(thing):
            methods = inspect.getmembers(thing, inspect.isfunction)
            found += [(f"{name}.{method}", function) for method, function in methods if not method.startswith("_")]
    return [(name, thing) for name, thing in found if (thing.__module__ or "").startswith("stream_infomax")]


@pytest.mark.parametrize(("name", "thing"), public(), ids=[name for name, _ in public()])
def test_parameters_are_described_under_their_names(name: str, thing: Any) -> None:
    assert thing.__doc__, f"{name} has no docstring"
    described = parameters(thing.__doc__)
    if described is None:
        return
    signature = inspect.signature(thing).parameters
    accepted = {name for name in signature if name != "self"}
    assert set(described) <= accepted
    if inspect.isclass(thing):  # what a class is made of is described in full, or under its **keywords
        rest = any(one.kind == one.VAR_KEYWORD for one in signature.values())
        assert rest or set(described) == accepted
