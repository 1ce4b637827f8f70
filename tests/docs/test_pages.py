"""The pages that a user needs first: every program and command in them runs, in the order of the page.

A block of ``sh`` or ``python`` runs; one of ``toml`` or ``python`` that begins with ``# NAME`` is written to that file
first. Blocks of another kind (``console``, ``text``) show something.
"""

import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / f"{name}.md" for name in ("recordings", "tables", "arrays", "program", "features")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.\w+)\n")


def record(folder: Path, seconds: float) -> None:
    """Put three recordings into a folder, two channels wide: a band of noise."""
    generator = np.random.default_rng(0)
    (folder / "recordings" / "more").mkdir(parents=True)
    for name in ("one", "two", "more/three"):
        samples = np.convolve(generator.laplace(size=int(8000 * seconds)), np.hanning(5), "same") * 2000
        with wave.open(str(folder / "recordings" / f"{name}.wav"), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.stack([samples, samples[::-1]], 1).astype("<i2").tobytes())


def environment(folder: Path) -> dict[str, str]:
    """The commands of this environment, and one thread for each program, as the services have."""
    programs = folder / "bin"
    programs.mkdir()
    for name, module in (("python", ""), ("stream-infomax", "-m stream_infomax.cli")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -P {module} "$@"\n')
        (programs / name).chmod(0o755)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    if page.stem == "arrays":
        extra("sklearn")
    if page.stem == "features":
        for package in ("pyarrow", "pandas", "duckdb"):
            extra(package)
    record(tmp_path, seconds=1.2 if page.stem == "program" else 4)
    surroundings = environment(tmp_path)
    n_run = 0
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        named = NAMED.match(text)
        if language in ("toml", "python") and named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
            continue
        if language not in ("sh", "python"):
            continue
        command = ["sh", "-eu", "-c", text] if language == "sh" else [sys.executable, "-P", "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        n_run += 1
    assert n_run
    if page.stem in ("recordings", "tables"):
        with np.load(tmp_path / "features.npz") as features:
            assert np.isfinite(features["learner"]).all(axis=1).any(), "the warm-up was not over"
