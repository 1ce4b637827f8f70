"""What the README says is true: its programs run, its commands and configurations exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_in_the_readme_runs() -> None:
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert programs
    for program in programs:
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make\s+([a-z]+)", README))
    assert {"demo", "test", "check", "docs", "bench", "figures", "torture"} == named
    assert named <= targets


def test_commands_exist() -> None:
    from stream_infomax.cli import app

    named = set(re.findall(r"stream-infomax ([a-z]+)", README))
    assert named == {name for name in app if not name.startswith("-")}


def test_configurations_that_are_named_exist() -> None:
    named = set(re.findall(r"configs/\w+\.toml", README))
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_what_it_would_do() -> None:
    dry = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert dry.stdout.splitlines()[-1] == ".venv/bin/stream-infomax run configs/photographs.toml"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["bench", "figures"])
def test_make_runs_files_that_exist(target: str) -> None:
    dry = subprocess.run(["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT, check=True)
    named = re.findall(r"benchmarks/\S+\.py", dry.stdout)
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
