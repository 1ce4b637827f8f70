"""What every document says is true: its links, commands, targets and files exist. And it can be read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 120
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")
PATHS = re.compile(r"`((?:benchmarks|configs|docs|examples|services|stream_infomax|tests|\.ci|\.github)/[\w./-]+)`")
# Words that are ours alone, or that say in five words what one says.
OURS = ("anew", "of late", "to be had", "named rightly", "without looking", "puts up with", "so as to")

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


@documents
def test_no_line_is_too_long(document: Path) -> None:
    lines = document.read_text(encoding="utf-8").splitlines()
    assert not [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]


@documents
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    made = ("configuration.md", "gallery/", "reference/", "CONTRIBUTING.md", "CHANGELOG.md")  # by the build of docs/
    links = [link for link in LINK.findall(text) if document.parent == ROOT or not link.startswith(made)]
    assert not [link for link in links if not (document.parent / link).exists()]


@documents
def test_commands_exist(document: Path) -> None:
    from stream_infomax.cli import app

    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"^\$? ?(?:\.venv/bin/)?stream-infomax ([a-z]+)", text, re.MULTILINE))
    named |= set(re.findall(r"`stream-infomax ([a-z]+)", text))
    assert named <= set(app)


@documents
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    assert named <= targets


@documents
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not [path for path in PATHS.findall(text) if not (ROOT / path).exists() and "NAME" not in path]


@documents
def test_the_words_are_those_of_the_field(document: Path) -> None:
    text = document.read_text(encoding="utf-8").lower()
    assert not [word for word in OURS if word in text]


def test_the_workflow_and_ci_run_the_same() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"run: (.*)", workflow) == ["bash .ci/run"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)", script, re.MULTILINE) == ["check", "docs", "test"]
