"""Does a run whose services are killed with signal 9 at random moments end with the same basis and the same features?

Patches of the photographs bundled with scikit-image -> learner -> recorder (a sink), as `stream-infomax run`
starts them. One run is left alone; in the others a process is killed when the learner has come to a random offset,
until it has been killed as often as asked; the supervisor restarts it. Compared are every array of the recorded
features, byte by byte, and the learner's final state: basis, averages, whitening, memory, random state.

    python benchmarks/kill9.py [--kills 20] [--frames 4000]
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, write_table  # first: it pins the threads

from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.transport.tap import TapReader

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 100

[source]
kind = "images"
path = "skimage:natural"
mode = "patches"
items = 64
frames = {frames}
log = {{ frames = 64 }}

[[stage]]
name = "patches"
kind = "windows"
service = "learner"
form = "patches"
center = true

[[stage]]
name = "learner"
kind = "learner"
n_rank = 100
"""


def start(folder: Path, frames: int) -> subprocess.Popen[str]:
    """Start a run in a new folder."""
    folder.mkdir()
    config = folder.with_suffix(".toml")
    config.write_text(CONFIG.format(folder=folder, frames=frames))
    command = [sys.executable, "-m", "stream_infomax.cli", "run", str(config), "--plain"]
    command += ["--save-features", str(folder.with_suffix(".npz"))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def pid_of(run: subprocess.Popen[str], service: str) -> int | None:
    """Return the process of a service of the run, None while there is none."""
    for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if service in words or any(word.endswith(f"/{service}.py") for word in words):
            return int(child)
    return None


def disturbed(folder: Path, frames: int, victims: list[str], kills: int, seed: int) -> tuple[int, float]:
    """Run and kill; return how often something was killed, and the seconds that the run took."""
    rng = random.Random(seed)
    moments = sorted(rng.sample(range(frames // 50, frames - frames // 10), kills))
    begin = time.monotonic()
    run = start(folder, frames)
    killed = 0
    with TapReader(f"ipc://{folder}/learner.tap") as observer:
        for moment in moments:
            if all(frame.offset < moment for frame in observer):
                break
            pid = pid_of(run, rng.choice(victims))
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    if run.wait() != 0:
        raise SystemExit(f"the run ended with exit code {run.returncode}; see {folder}")
    return killed, time.monotonic() - begin


def features(folder: Path) -> dict[str, bytes]:
    """Return the bytes of everything recorded."""
    with np.load(folder.with_suffix(".npz")) as file:
        return {name: file[name].tobytes() for name in file.files}


def flatten(value: object, path: str = "") -> dict[str, bytes]:
    """Return the bytes of every leaf of a state."""
    if isinstance(value, dict):
        return {key: leaf for name, child in value.items() for key, leaf in flatten(child, f"{path}/{name}").items()}
    if isinstance(value, np.ndarray):
        return {path: value.tobytes()}
    return {path: json.dumps(value).encode()}


def state(folder: Path) -> dict[str, bytes]:
    """Return the final state of the learner's service."""
    tree = Checkpoints(folder / "learner").latest()
    assert tree is not None
    assert tree.finished
    return flatten(tree.stages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=4000)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="kill9") as name:
        base = Path(name)
        begin = time.monotonic()
        if start(base / "alone", arguments.frames).wait() != 0:
            raise SystemExit("the undisturbed run did not end well")
        seconds = time.monotonic() - begin
        alone_features, alone_state = features(base / "alone"), state(base / "alone")
        size = sum(map(len, alone_features.values())) >> 20
        rows.append(
            {"killed": "nothing", "kills": 0, "seconds": f"{seconds:.0f}", "features": f"{size} MiB", "basis": ""}
        )
        for seed, victims in enumerate((["learner"], ["source", "learner", "recorder"]), 1):
            folder = base / f"killed{seed}"
            killed, seconds = disturbed(folder, arguments.frames, victims, arguments.kills, seed)
            rows.append(
                {
                    "killed": " or ".join(victims),
                    "kills": killed,
                    "seconds": f"{seconds:.0f}",
                    "features": "identical" if features(folder) == alone_features else "**DIFFERENT**",
                    "basis": "identical" if state(folder) == alone_state else "**DIFFERENT**",
                }
            )
            shutil.rmtree(folder)
    note = f"{machine('pyzmq')}; {arguments.frames} frames of 64 patches, a checkpoint every 100 frames."
    write_table("kill9", "Services killed with signal 9 at random moments", rows, note)


if __name__ == "__main__":
    main()
