"""Does a pipeline of four services, killed with signal 9 at random moments, end with the same weights and scores?

FSDD recordings, configs/speech.toml: source, learner, contrast (four modules), classifier, a checkpoint every 20
frames. One run is left alone; in others the services are killed in turn, at random moments, until each has been killed
as often as asked. Compared are basis, weights, moments, memories of excerpts, classifiers and test-then-train scores,
bit for bit.

    python benchmarks/contrast_kill.py [KILLS OF EACH SERVICE] [RECORDINGS]     10 and 60 by default
"""

import common  # isort: skip  (pins threads)
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from contrast_speed import CONFIG, same, some

from stream_infomax.streaming.checkpoint import Checkpoints

SERVICES = ("source", "learner", "contrast", "classifier")
SHORTEST, LONGEST = 2.0, 6.0  # seconds between two kills
FRAMES_BETWEEN_CHECKPOINTS = 20


def start(sound: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run."""
    changes = [f"source.path={sound}", f"run.folder={folder}", f"run.checkpoint_every={FRAMES_BETWEEN_CHECKPOINTS}"]
    command = [sys.executable, "-m", "stream_infomax.cli", "run", str(CONFIG), "--plain"]
    command += [part for change in changes for part in ("--set", change)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def kill(run: int, service: str) -> bool:
    """Kill a service of the run; return whether there was one."""
    with suppress(ProcessLookupError, FileNotFoundError):
        for child in Path(f"/proc/{run}/task/{run}/children").read_text(encoding="ascii").split():
            words = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8").split("\0")
            if f"{service}.py" in " ".join(words) or service in words:
                os.kill(int(child), signal.SIGKILL)
                return True
    return False


def states(folder: Path) -> dict[str, Any]:
    """Return the final states of all stages."""
    found: dict[str, Any] = {}
    for service in SERVICES[1:]:
        tree = Checkpoints(folder / service).latest()
        assert tree is not None
        found.update(tree["stage"])
    return found


def main() -> None:
    """Run, kill, compare, write the table."""
    numbers = [int(text) for text in sys.argv[1:]]
    kills, recordings = (numbers + [10, 60][len(numbers) :])[:2]
    place = Path(tempfile.mkdtemp(prefix="kill"))
    rng = np.random.default_rng(0)
    done = dict.fromkeys(SERVICES, 0)
    runs, equal = 0, 0
    try:
        sound = place / "sound"
        sound.mkdir()
        some(common.data_folder(), recordings, sound)
        if start(sound, place / "calm").wait() != 0:
            raise SystemExit("the run that nobody disturbs failed")
        expected = states(place / "calm")
        while min(done.values()) < kills:
            folder = place / f"run{runs}"
            run = start(sound, folder)
            while run.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    run.wait(rng.uniform(SHORTEST, LONGEST))
                    break
                service = min(done, key=lambda name: done[name])
                done[service] += kill(run.pid, service)
            if run.returncode != 0:
                raise SystemExit(f"run {runs} ended with exit code {run.returncode}")
            runs += 1
            found = states(folder)
            differ = [name for name in expected if not same(expected[name], found[name])]
            equal += not differ
            print(
                f"{time.strftime('%X')}: {equal} of {runs} runs equal, differing {differ}, kills so far {done}",
                flush=True,
            )
    finally:
        shutil.rmtree(place)
    rows = [{"service": name, "kills": count} for name, count in done.items()]
    note = (
        f"{runs} runs with kills, {equal} of them equal to the undisturbed one, bit for bit. {common.machine('torch')}"
    )
    common.write_table("contrast_kill", "Services killed with signal 9 at random moments", rows, note)


if __name__ == "__main__":
    main()
