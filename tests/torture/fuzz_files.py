"""Damaged files of every format: rows of them or an error that names the file, and nothing else."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from pathlib import Path

from torture.formats import Format, formats
from torture.frame import Trial, torture
from torture.fuzz_messages import GROWTH, resident
from torture.mutations import damaged

# Seconds that a file may take; it has a kilobyte or two.
LONGEST = 60.0
# Of files that decoders of others read, some of which keep what they have allocated.
ROOM = 8 * GROWTH


def tried(one: Format, folder: Path, content: bytes) -> str:
    """Read a file with this content; return the type of the error that names it, empty where it was read."""
    path = folder / one.name
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    path.write_bytes(content)
    try:
        one.read(path)
    except one.errors as error:
        named = str(folder) in str(error) or one.name in str(error)
        assert named, f"an error that does not name its file: {error}"
        return type(error).__name__
    return ""


def fuzzed(trial: Trial, one: Format, total: int) -> Counter[str]:
    """Read so many damaged files of a format; return how many ended in which error."""
    folder = trial.folder / one.name.replace(".", "-")
    folder.mkdir()
    one.write(folder / one.name)
    content = (folder / one.name).read_bytes()
    assert tried(one, folder, content) == "", "a file that is right is refused"
    generator = trial.random(one.name)
    found: Counter[str] = Counter()
    before = 0.0
    for number in range(total):
        harmed = damaged(generator, content)
        begin = time.monotonic()
        try:
            found[tried(one, folder, harmed)] += 1
        except Exception as error:
            kept = Path(f"/tmp/{number}-{one.name}")
            kept.write_bytes(harmed)
            raise AssertionError(f"{one.name}, file {number} (kept as {kept}): {error!r:.300}") from error
        seconds = time.monotonic() - begin
        assert seconds < LONGEST, f"{one.name}, file {number}: {seconds:.1f} s"
        if number == total // 5:
            before = resident()
    grown = resident() - before
    assert grown < ROOM, f"{one.name}: grew by {grown:.0f} MiB over {total} files"
    shutil.rmtree(folder)
    return found


@torture(minutes=120)
def fuzz_of_files(trial: Trial) -> str:
    """Does one of 200,000 damaged files of any format end in anything but rows, or an error that names it?"""
    logging.disable(logging.WARNING)
    try:
        found = formats()
        each = trial.times(200_000 // len(found), least=2)
        ends: Counter[str] = Counter()
        for number, one in enumerate(found):
            ends += fuzzed(trial, one, each)
            trial.progress(number + 1, len(found))
    finally:
        logging.disable(logging.NOTSET)
    read = ends.pop("", 0)
    said = ", ".join(f"{count:,} {name}" for name, count in ends.most_common())
    return f"{read + ends.total():,} files of {len(found)} formats: {read:,} read, {said}"
