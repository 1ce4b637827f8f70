"""The table of faults in docs/operations.md: it is that of the records, and every record has a test that makes it."""

import ast
import re
from pathlib import Path

import pytest
from helpers.faults import FAULTS, with_table

ROOT = Path(__file__).parents[2]


def sources() -> dict[str, str]:
    """Return the source of the tests of each fault."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "@fault(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            for decorator in getattr(node, "decorator_list", ()):
                name = re.fullmatch(r"fault\('(.*)'\)", ast.unparse(decorator))
                if name is not None:
                    found[name[1]] = found.get(name[1], "") + ast.unparse(node)
    return found


SOURCES = sources()


def test_the_table_is_that_of_the_records() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert page == with_table(page), "PYTHONPATH=tests python -m faults"


@pytest.mark.parametrize("name", FAULTS)
def test_each_is_made_by_a_test_that_sees_what_the_table_says(name: str) -> None:
    assert name in SOURCES, "no test makes it"
    if f"see('{name}'" not in SOURCES[name]:
        words = re.findall(r"`([^`]+)`", FAULTS[name].seen)
        assert not [word for word in words if word not in SOURCES[name]]
