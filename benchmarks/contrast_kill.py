"""Does a pipeline of four services, killed with signal 9 at random moments, end with the same weights and scores?

FSDD recordings, configs/speech.toml: source, learner, contrast (four modules), classifier, a checkpoint every 20
frames, and logs of 64, so that nobody has finished long before the others. One run is left alone. In the others a
service is killed some random milliseconds after the classifier has come to a random frame, first in the first
twentieth of the stream and never in the last tenth; the supervisor starts it again. Compared are basis, weights,
moments, memories of excerpts, classifiers and test-then-train scores, bit for bit.

    python benchmarks/contrast_kill.py [KILLS OF EACH SERVICE] [RECORDINGS]     10 and 200 by default
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
from kill9 import pid_of

from stream_infomax.frames.frame import Frame
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.transport.tap import FRAME, TapReader

SERVICES = ("source", "learner", "contrast", "classifier")
KILLS_A_RUN = 10
LONGEST_DELAY = 0.5  # seconds
LOGS = ("source", "stage.learner", "stage.module4", "stage.classifier")


def start(sound: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run."""
    changes = [f"source.path={sound}", f"run.folder={folder}", "run.checkpoint_every=20"]
    changes += [f"{place}.log.frames=64" for place in LOGS]
    command = [sys.executable, "-m", "stream_infomax.cli", "run", str(CONFIG), "--plain"]
    command += [part for change in changes for part in ("--set", change)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def await_frame(reader: TapReader, run: subprocess.Popen[str], offset: int) -> None:
    """Wait until a frame as late as this has been published; SystemExit where the run ends before it."""
    while run.poll() is None:
        if reader.socket.poll(500):
            frame = reader.receive()
            if isinstance(frame, Frame) and frame.offset >= offset:
                return
    raise SystemExit(f"the run ended with exit code {run.returncode} before frame {offset}")


def disturbed(sound: Path, folder: Path, frames: int, victims: list[str], rng: np.random.Generator) -> dict[str, int]:
    """Run and kill each victim once; return how often which service was killed."""
    first, last = frames // 20, frames - frames // 10
    moments = first + np.sort(rng.choice(last - first, len(victims), replace=False))
    moments[0] = first
    killed = dict.fromkeys(SERVICES, 0)
    run = start(sound, folder)
    with TapReader(f"ipc://{folder}/classifier.tap", (FRAME,)) as reader:
        for moment, victim in zip(moments, victims, strict=True):
            await_frame(reader, run, moment)
            with suppress(subprocess.TimeoutExpired):
                run.wait(rng.uniform(0, LONGEST_DELAY))
            pid = pid_of(run, victim)
            if pid is not None:  # it may be about to be started again
                os.kill(pid, signal.SIGKILL)
                killed[victim] += 1
    if run.wait() != 0:
        raise SystemExit(f"the run ended with exit code {run.returncode}")
    return killed


def states(folder: Path) -> tuple[dict[str, Any], int]:
    """Return the final states of all stages, and the number of frames."""
    found: dict[str, Any] = {}
    frames = 0
    for service in SERVICES[1:]:
        tree = Checkpoints(folder / service).latest()
        assert tree is not None
        assert tree.finished
        found.update(tree.stages)
        frames = int(tree.processed) + 1
    return found, frames


def main() -> None:
    """Run, kill, compare, write the table."""
    numbers = [int(text) for text in sys.argv[1:]]
    kills, recordings = (numbers + [10, 200][len(numbers) :])[:2]
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
        expected, frames = states(place / "calm")
        while missing := [name for name in SERVICES for _ in range(kills - done[name])]:
            victims = [str(name) for name in rng.permutation(missing)[:KILLS_A_RUN]]
            killed = disturbed(sound, place / f"run{runs}", frames, victims, rng)
            done = {name: done[name] + killed[name] for name in SERVICES}
            found, _ = states(place / f"run{runs}")
            differ = [name for name in expected if not same(expected[name], found[name])]
            shutil.rmtree(place / f"run{runs}")
            runs += 1
            equal += not differ
            print(
                f"{time.strftime('%X')}: {equal} of {runs} runs equal, differing {differ}, killed {killed}", flush=True
            )
    finally:
        shutil.rmtree(place)
    rows = [{"service": name, "kills": count} for name, count in done.items()]
    note = (
        f"{runs} runs of {frames} frames with {sum(done.values())} kills; {equal} of them ended bit for bit like the "
        f"undisturbed one. {common.machine('torch')}"
    )
    common.write_table("contrast_kill", "Services killed with signal 9 at random moments", rows, note)


if __name__ == "__main__":
    main()
