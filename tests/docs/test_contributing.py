"""The worked examples of CONTRIBUTING.md, in a copy of the project: they run, and keep every contract.

A block that begins with ``# PATH`` is a file; where the file is there already, its lines go into the table of examples
or kinds. One that begins with ``# SOURCES``, ``# STAGES`` or ``# SINKS`` goes into that table of kinds.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extras import extra

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = Path("stream_infomax/configuration/kinds.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the examples in it."""
    project = tmp_path_factory.mktemp("project")
    without_bytes = shutil.ignore_patterns("__pycache__")
    for name in ("stream_infomax", "tests", "services"):
        shutil.copytree(ROOT / name, project / name, ignore=without_bytes)
    shutil.copy(ROOT / "pyproject.toml", project)
    for place, text in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        if place.isupper():
            insert(project / TABLE, f'{place} = Kinds(\n    "stream_infomax.{place.lower()}",\n    {{', text)
        elif (project / place).exists():
            insert(project / place, "EXAMPLES = [", text)
        else:
            (project / place).parent.mkdir(parents=True, exist_ok=True)
            (project / place).write_text(text, encoding="utf-8")
    return project


def insert(file: Path, head: str, lines: str) -> None:
    """Put lines below the head of a table."""
    text = file.read_text(encoding="utf-8")
    assert text.count(head) == 1, f"{file.name} has no {head!r}"
    file.write_text(text.replace(head, f"{head}\n{lines.rstrip()}"), encoding="utf-8")


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in the copy."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return subprocess.run(
        [sys.executable, "-P", "-m", *arguments],
        cwd=project,
        env={**os.environ, **threads, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def files_of(project: Path, under: str) -> list[str]:
    """Return the Python files below a folder that the examples have added."""
    files = [path.relative_to(project) for path in (project / under).rglob("*.py")]
    return [str(path) for path in files if not (ROOT / path).exists()]


def test_they_keep_every_contract(project: Path) -> None:
    own = files_of(project, "tests")
    assert len(own) == 3
    wanted = "tone or smooth or levels or every_kind or test_the_spectrum or test_a_step or test_what_came_after"
    done = call(project, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_contracts.py", *own, "-k", wanted)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 30, done.stdout


def test_they_are_written_as_the_rest_is(project: Path) -> None:
    extra("ruff")
    own = [*files_of(project, "stream_infomax"), *files_of(project, "tests")]
    assert len(own) == 6
    for arguments in (("check",), ("format", "--check")):
        done = call(project, "ruff", *arguments, *own)
        assert done.returncode == 0, done.stdout


def test_they_run_in_a_pipeline(project: Path) -> None:
    done = call(project, "stream_infomax.cli", "run", "tone.toml", "--save-features", "features.npz")
    assert done.returncode == 0, done.stderr
    assert "100 frames, none lost" in done.stdout
    levels = (project / "runs" / "tone" / "levels" / "levels.csv").read_text(encoding="utf-8").splitlines()
    assert [line for line in levels if ",smooth," in line][-1].startswith("99,smooth,")
    assert len(set(levels)) == len(levels) > 100


def test_they_stand_in_the_reference(project: Path) -> None:
    program = "from stream_infomax.configuration.reference import markdown; print(markdown())"
    (project / "show.py").write_text(program, encoding="utf-8")
    shown = call(project, "show")
    assert shown.returncode == 0, shown.stderr
    assert "Of the tone, in Hz." in shown.stdout
    assert "What a row keeps of the smoothed row before it." in shown.stdout
    assert "Significant digits of a level." in shown.stdout
