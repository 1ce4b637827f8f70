"""How long is it from a device's push until the features of its frame come out of the tap, while the learner learns?

A program in C (device_latency.c) pushes frames of 20 ms of sound at 16 kHz in real time and listens to the tap of the
learner: a source of kind "devices", windows of 64 samples every 32, a learner with its defaults, checkpoints as always.
Once all in one process (services/edge.py), once with the source and the learner in processes of their own
(`stream-infomax run`), and once without anything between: what ZeroMQ and the machine take. The frames of the first
seconds, in which the learner warms up, do not count.

    python benchmarks/device_latency.py [SECONDS]
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import common
import numpy as np

# Seconds that are measured of each, and those before in which nothing counts.
SECONDS, BEFORE = 35, 6
FRAMES_A_SECOND = 50
GOAL = 2.0  # ms, of the 99th percentile on an idle machine
HERE = Path(__file__).parent
CONFIG = """
[run]
folder = "{folder}/run"

[source]
kind = "devices"
ends = true

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = 64
hop = 32

[[stage]]
name = "learner"
kind = "learner"
"""
EDGE = (str(HERE.parent / "services" / "edge.py"), "pipeline.toml")
RUN = ("-m", "stream_infomax.cli", "run", "pipeline.toml", "--plain")


@contextmanager
def pipeline(folder: Path, *arguments: str) -> Iterator[tuple[str, str]]:
    """Start a run; yield where devices push and where the features come out, once both are there."""
    (folder / "pipeline.toml").write_text(CONFIG.format(folder=folder))
    devices, tap = folder / "run" / "source.devices", folder / "run" / "learner.tap"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(
        [sys.executable, "-P", *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            while not (devices.exists() and tap.exists()):
                if process.poll() is not None:
                    raise SystemExit(f"{arguments[0]} ended with exit code {process.returncode}")
                time.sleep(0.05)
            yield f"ipc://{devices}", f"ipc://{tap}"
            if process.wait(60):  # the device has ended its stream
                raise SystemExit(f"{arguments[0]} ended with exit code {process.returncode}")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def measure(program: Path, devices: str, tap: str, seconds: float) -> np.ndarray:
    """Number of each frame, and milliseconds from push to source, to tap, to observer, and in all: (frames, 5)."""
    n_frames = round((BEFORE + seconds) * FRAMES_A_SECOND)
    done = subprocess.run([program, devices, tap, str(n_frames)], stdout=subprocess.PIPE, text=True, check=True)
    found = np.array([line.split() for line in done.stdout.splitlines()], dtype=float)
    if found[-1, 0] != n_frames - 1 or len(found) < n_frames - FRAMES_A_SECOND:
        raise SystemExit(f"{len(found)} of {n_frames} frames came out")
    found[:, 1:] /= 1000
    return found[found[:, 0] >= BEFORE * FRAMES_A_SECOND]


def row(name: str, found: np.ndarray) -> dict[str, object]:
    """A line of the table."""
    total = found[:, 4]
    parts = dict(
        zip(("push → source", "source → tap", "tap → observer"), np.median(found[:, 1:4], axis=0), strict=True)
    )
    return {
        "": name,
        "frames": len(found),
        **{f"p{share:g}, ms": f"{np.percentile(total, share):.2f}" for share in (50, 99, 99.9)},
        "longest, ms": f"{total.max():.2f}",
        **{f"{part}, p50": f"{value:.2f}" if value else "" for part, value in parts.items()},
    }


def main() -> None:
    """Measure and write the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    table = []
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "device_latency"
        source, libraries = str(HERE / "device_latency.c"), ("-lzmq", "-lm", "-lpthread")
        subprocess.run(["cc", "-std=c99", "-O2", "-Wall", source, "-o", program, *libraries], check=True)
        for title, arguments in (("in one process", EDGE), ("source and learner apart", RUN)):
            folder = Path(name) / arguments[-1].strip("-")
            folder.mkdir()
            with pipeline(folder, *arguments) as (devices, tap):
                found = measure(program, devices, tap, seconds)
            table.append(row(title, found))
            print(table[-1], flush=True)
        table.append(row("ZeroMQ alone", measure(program, f"ipc://{name}/alone", "-", min(seconds, 10.0))))
    note = (
        f"{common.machine('pyzmq')}, load {os.getloadavg()[0]:.1f} at the end. Milliseconds from the push of a frame "
        "of 20 ms until its features are in the observer, in C, by one clock; parts: medians. Checkpoints are written "
        f"as always. Goal: p99 at most {GOAL:g} ms on an idle machine."
    )
    common.write_table("device_latency", "Device to published feature", table, note)


if __name__ == "__main__":
    main()
