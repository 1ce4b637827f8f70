"""Checkpoints whose process is killed while its thread writes them, and of which the newest is damaged."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from stream_infomax.learning.infomax.replay import RowMemory
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.state.file import pages_of
from torture.frame import Trial, torture

WIDTH, MEMORY = 64, 3 << 20
WRITER = """
import sys
from pathlib import Path
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.saving import Saving
from torture.checkpoints import memory, rows
folder, keep, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
checkpoints = Checkpoints(folder, keep)
saved, ring, processed = checkpoints.latest(), memory(), -1
if saved is not None:
    ring.restore(saved.stages["a"]["memory"])
    processed = saved.processed
print(processed, checkpoints.safe, flush=True)
saving = Saving(checkpoints)
while True:
    processed += 1
    ring.add(rows(seed, processed))
    if not saving.busy or saving.written(wait=processed % 8 == 0):
        print(processed, checkpoints.safe, flush=True)
        fields = dict(log="", finished=False, lost={}, config={}, source={}, sinks={})
        saving.begin(Checkpoint(processed=processed, stages={"a": {"memory": ring.state()}}, **fields), lambda: None)
"""


def memory() -> RowMemory:
    """Return a memory that holds a few pages."""
    return RowMemory(MEMORY, WIDTH, seed=0)


def rows(seed: int, number: int) -> np.ndarray:
    """Return what comes with a frame."""
    rng = np.random.default_rng([seed, number])
    return rng.standard_normal((rng.integers(1, 600), WIDTH)).astype(np.float32)


@torture(minutes=6, short=0.01)
def checkpoints_while_they_are_written(trial: Trial) -> str:
    """A checkpoint is whole or the one before is, and upstream keeps what comes after it, whatever is killed."""
    total, damaged, random = trial.times(300, least=3), 0, trial.random()
    folder, seed = trial.folder / "a", random.randrange(1000)
    keep = told = start = 0
    for number in range(total):
        if number % 50 == 0:  # another life
            folder, keep, told, start = trial.folder / str(number), random.choice((1, 2, 3)), -1, -1
        told = max(told, killed(folder, keep, seed, random.uniform(0.0, 0.4)))
        if keep > 1 and told > start and random.random() < 0.5:
            damage(folder, random)
            damaged += 1
        start = check(folder, keep, seed, told)
        trial.progress(number + 1, total)
    return f"{total} kills, {damaged} damaged files: nothing lost, {start + 1} frames in the last life"


def killed(folder: Path, keep: int, seed: int, seconds: float) -> int:
    """Kill a process that writes so long after it has begun; return up to where upstream was told to forget."""
    command = [sys.executable, "-c", WRITER, str(folder), str(keep), str(seed)]
    places = os.pathsep.join((str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": places}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        try:
            lines += process.communicate(timeout=seconds)[0].splitlines(keepends=True)
        except subprocess.TimeoutExpired:
            process.kill()
            lines += process.communicate()[0].splitlines(keepends=True)
    assert process.returncode == -9, "it ended by itself"
    return max(int(line.split()[1]) for line in lines if line.endswith("\n"))


def damage(folder: Path, random) -> None:
    """Damage the newest checkpoint, or one of its pages."""
    newest = Checkpoints(folder).paths()[-1]
    path = random.choice([newest, *(folder / "pages" / name for name in sorted(pages_of(newest)))])
    content = bytearray(path.read_bytes())
    how = random.choice(("cut", "turned", "gone"))
    if how == "gone":
        path.unlink()
        return
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content[: random.randrange(len(content))] if how == "cut" else content)


def check(folder: Path, keep: int, seed: int, told: int) -> int:
    """Return where the newest readable checkpoint stands, which must hold what it should."""
    saved = Checkpoints(folder, keep).latest()
    if saved is None:
        assert told == -1
        return -1
    assert saved.processed >= told, f"upstream was told to forget up to {told}, the checkpoint is at {saved.processed}"
    ring, expected = memory(), memory()
    ring.restore(saved.stages["a"]["memory"])
    for number in range(saved.processed + 1):
        expected.add(rows(seed, number))
    assert ring.written == expected.written
    np.testing.assert_array_equal(ring.rows, expected.rows)
    return saved.processed
