"""Services that have too little of what a machine gives: room on the disk, a disk that keeps up, descriptors."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.faults import fault, see

from faults.scenarios import chain, nothing_lost, small_disk, until

needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")


@fault("full")
@needs_mounts
def test_a_full_disk(tmp_path: Path) -> None:
    with chain(tmp_path, 400) as made, small_disk(tmp_path / "a", 400):
        made.start()
        until(made, "a", 50)
        filler = tmp_path / "a" / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        code, errors = made.end("a")
        assert code == 1
        see("full", errors)
        assert str(tmp_path / "a") in errors
        assert len(errors.splitlines()) == 1
        filler.unlink()
        made.start("a")
        nothing_lost(made, 400)


@fault("read-only")
@needs_mounts
def test_a_folder_that_becomes_read_only(tmp_path: Path) -> None:
    with chain(tmp_path, 400) as made, small_disk(tmp_path / "a", 4000):
        made.start()
        until(made, "a", 50)
        remount = ["mount", "-o", "remount,{}", str(tmp_path / "a")]
        while subprocess.run([word.format("ro") for word in remount], capture_output=True, check=False).returncode:
            pass  # a checkpoint is being written
        code, errors = made.end("a")
        assert code == 1
        see("read-only", errors)
        assert len(errors.splitlines()) == 1
        subprocess.run([word.format("rw") for word in remount], check=True)
        made.start("a")
        nothing_lost(made, 400)


@fault("slow")
def test_a_slow_disk(tmp_path: Path) -> None:
    """Each file takes a tenth of a second until it is on the disk: os.fsync of the child is slowed down."""
    with chain(tmp_path, 300, slow_disk=0.1) as made:
        made.start()
        nothing_lost(made, 300)


@fault("descriptors")
@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_too_few_file_descriptors(tmp_path: Path) -> None:
    with chain(tmp_path, 60) as made:
        made.start("source", "b")
        for number in (8, 10, 18):
            made.prefix["a"] = ("prlimit", f"--nofile={number}:{number}")
            made.start("a")
            code, errors = made.end("a")
            assert code in (1, -signal.SIGABRT), "libzmq ends a process that it cannot go on in"
            see("descriptors", errors)
            assert code != 1 or f"may have {number} files open" in errors
            assert len(errors.splitlines()) == 1
        del made.prefix["a"]
        made.start("a")
        nothing_lost(made, 60)
