"""Kernels are compiled before a stream begins, and where nothing can be kept or what was kept is damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stream_infomax

FIT = (
    "import numpy as np; from stream_infomax import OnlineInfomax as O; "
    "print(float(O().fit(np.random.default_rng(0).laplace(size=(500, 4))).components_.sum()))"
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the package without anything compiled."""
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "contrast", "plots", "cli", "run")
    shutil.copytree(Path(stream_infomax.__file__).parent, folder / "stream_infomax", ignore=ignored)
    return folder


def start(folder, *arguments, prefix=(), **environment):
    """Run Python on the copy; `prefix` is a program that starts it."""
    taken = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    taken |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [*prefix, sys.executable, "-W", "always", *arguments]
    done = subprocess.run(command, env=taken, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(params=["no rights", "a file in its place"])
def closed(copy, request):
    """The copy where its folders cannot be written, and what takes root's right to do it all the same."""
    if request.param == "a file in its place":
        for room in ("infomax", "measures"):
            (copy / "stream_infomax" / "learning" / room / "__pycache__").write_text("")
        yield copy, ()
        return
    prefix = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere, and setpriv is not there to take that right")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    folders = [copy, *(path for path in copy.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield copy, prefix
    for folder in folders:
        folder.chmod(0o755)


def test_works_where_no_folder_can_be_written(closed):
    folder, prefix = closed
    done = start(folder, "-c", FIT, prefix=prefix, HOME="/dev/null")
    assert done.stderr.count("RuntimeWarning:") == 1
    assert "compiled kernels cannot be kept" in done.stderr
    assert "set NUMBA_CACHE_DIR" in done.stderr


def test_the_folder_that_the_warning_names_is_taken(closed, tmp_path):
    folder, prefix = closed
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    done = start(folder, "-c", FIT, prefix=prefix, HOME="/dev/null", NUMBA_CACHE_DIR=str(cache))
    assert "RuntimeWarning" not in done.stderr
    assert list(cache.rglob("*.nbc"))


def test_a_cache_that_is_cut_off_or_overwritten_is_compiled_again(copy):
    expected = start(copy, "-c", FIT).stdout
    files = [*copy.rglob("*.nbi"), *copy.rglob("*.nbc")]
    assert len(files) > 10
    for number, path in enumerate(sorted(files)):
        content = path.read_bytes()
        path.write_bytes([content[: len(content) // 2], b"", b"no pickle"][number % 3])
    done = start(copy, "-c", FIT)
    assert done.stdout == expected
    assert "is damaged" in done.stderr
    again = start(copy, "-c", FIT)
    assert again.stdout == expected
    assert "damaged" not in again.stderr


def test_a_full_disk_is_no_end(copy):
    code = (
        "import errno, os; from numba.core import caching\n"
        "def full(*a): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "caching.IndexDataCacheFile._save_data = full\n"
    )
    done = start(copy, "-c", code + FIT)
    assert "No space left on device" in done.stderr
    assert done.stderr.count("RuntimeWarning") <= 2  # one for each folder


def test_nothing_is_left_to_compile_when_the_stream_begins():
    code = """
import numpy as np
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.infomax import kernels as infomax
from stream_infomax.learning.measures import kernels as measures
from numba.core.registry import CPUDispatcher
found = [k for module in (infomax, measures) for k in vars(module).values() if isinstance(k, CPUDispatcher)]
compile_kernels()
before = [len(k.signatures) for k in found]
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.learner import LearnerStage
X = np.random.default_rng(0).laplace(size=(800, 4))
for n in (3, 4, 9):
    for Z in (X, X.astype("f4"), np.frombuffer(X.astype("f4").tobytes(), "f4").reshape(X.shape)):
        stage = LearnerStage("a", "x", n_components=n, overcomplete=True)
        for rows in np.split(Z, 10):
            stage.process(Frame("s", arrays={"x": Array(rows, ("item", "component"))}))
        stage.measures()
        stage.learner.transform(Z)
assert all(before) and before == [len(k.signatures) for k in found], (before, found)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
