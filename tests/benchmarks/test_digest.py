"""Each table says which code made it, and is named stale when that code has changed."""

from pathlib import Path

import common
import digest
import pytest
import stale


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project: a benchmark, a package with a lazy name, a module behind it and one that nobody needs."""
    files = {
        "benchmarks/speed.py": '"""Speed."""\nfrom stream_infomax import Learner\nLearner(2)\n',
        "stream_infomax/__init__.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from stream_infomax.learner import Learner\n"
            "def __getattr__(name): ...\n"
        ),
        "stream_infomax/learner.py": (
            "import stream_infomax.rules\n"
            "class Learner:\n    '''Learns.'''\n    def step(self):\n        return 1  # a step\n"
        ),
        "stream_infomax/rules.py": "RULE = 1\n",
        "stream_infomax/other.py": "OTHER = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(digest, "ROOT", tmp_path)
    monkeypatch.setattr(digest, "BENCHMARKS", tmp_path / "benchmarks")
    monkeypatch.setattr(stale, "BENCHMARKS", tmp_path / "benchmarks")
    yield tmp_path
    forget()


def forget():
    for cached in (digest._tree, digest._written, digest._lazy):
        cached.cache_clear()


def change(file: Path, old: str, new: str) -> str:
    """Change a file and return the digest of the benchmark then."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    forget()
    return digest.digest(digest.BENCHMARKS / "speed.py")


def test_the_digest_is_that_of_the_code_and_not_of_what_is_said_about_it(project):
    before = digest.digest(project / "benchmarks" / "speed.py")
    learner = project / "stream_infomax" / "learner.py"
    assert change(learner, "# a step", "# one step") == before
    assert change(learner, "'''Learns.'''", "'''Learns from rows.'''") == before
    assert change(learner, "return 1", "return  (1)") == before
    assert change(project / "stream_infomax" / "other.py", "1", "2") == before
    assert change(learner, "return  (1)", "return 2") != before
    assert change(learner, "return 2", "return 1") == before
    assert change(project / "stream_infomax" / "rules.py", "1", "2") != before


def test_a_module_that_is_named_in_a_string_counts(project):
    before = digest.digest(project / "benchmarks" / "speed.py")
    speed = project / "benchmarks" / "speed.py"
    named = change(speed, "Learner(2)", 'Learner(2, "-m", "stream_infomax.other")')
    assert named != before
    assert change(project / "stream_infomax" / "other.py", "1", "2") != named


def test_a_table_is_stale_once_its_code_has_changed(project):
    table = project / "speed.md"
    speed = project / "benchmarks" / "speed.py"
    table.write_text("# Speed\n\n" + common.made_by("speed.py", {"": digest.digest(speed)}) + "\n")
    assert stale.reason(table) == ""
    change(project / "stream_infomax" / "rules.py", "1", "2")
    assert "has changed since" in stale.reason(table)
    table.write_text("# Speed\n")
    assert "does not say" in stale.reason(table)


def test_runs_of_several_codes_are_named():
    line = common.made_by("speed.py", {"a 0": "0123456789ab", "b 0": "", "a 1": "0123456789ab"})
    assert line == "Code: 0123456789ab (a 0, a 1); unknown (b 0), speed.py"


def test_every_table_says_which_code_made_it():
    for table in stale.RESULTS.glob("*.md"):
        assert stale.LINE.search(table.read_text(encoding="utf-8")), table.name
