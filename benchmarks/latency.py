"""How long is it from a frame's leaving the source until its features are published, while the learner learns?

Sound at 16 kHz in frames of 20 ms, in real time, from a recording that is made for this: noise whose colour and level
change, and clicks. Windows of K samples, K apart, and a learner with its defaults, checkpoints as always. The source is
a process, windows and learner are another, as `stream-infomax run` starts them; the supervisor runs beside them, and
this program listens to the tap. The latency of a frame is the time from when the source had it to when the learner's
service sent its features to the tap, by the clock of the machine. Frames of the warm-up do not count.

    python benchmarks/latency.py [--seconds 600] [--K 64 144 256]
"""

import common  # isort: skip  (pins threads)
import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import zmq

from stream_infomax.transport import messages
from stream_infomax.transport.tap import FRAME

RATE, FRAME_SECONDS = 16_000, 0.02
SIZES = (64, 144, 256)
GOALS = {"p99": 2.0, "maximum": 10.0}  # ms, on an idle machine
SHARES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}
CONFIG = """
[run]
folder = "run"

[source]
kind = "audio"
path = "sound.wav"
pace = "live"

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
length = {K}
hop = {K}

[[stage]]
name = "learner"
kind = "learner"
"""


def sound(path: Path, seconds: float) -> None:
    """Write the recording."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(math.ceil(seconds)):
            noise = rng.laplace(size=RATE) * rng.uniform(0.2, 1)
            pole = rng.uniform(0.5, 0.98)
            kernel = pole ** np.arange(400)
            coloured = np.convolve(noise, kernel)[:RATE]
            coloured[rng.integers(0, len(coloured), 5)] += 20
            file.write(np.clip(coloured / 60, -1, 1))


def before(K: int) -> float:
    """Return the seconds in which nothing counts: the warm-up, and a few to get going."""
    return 5 + 12 * K * K / RATE


def measure(K: int, seconds: float, folder: Path) -> np.ndarray:
    """Return the latency of each frame in milliseconds."""
    (folder / "pipeline.toml").write_text(CONFIG.format(K=K))
    command = [sys.executable, "-P", "-m", "stream_infomax.cli", "run", "pipeline.toml", "--plain"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    found = []
    with (
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as run,
        zmq.Context() as context,
        context.socket(zmq.SUB) as tap,
    ):
        tap.connect(f"ipc://{folder}/run/learner.tap")
        tap.subscribe(FRAME)
        end = time.monotonic() + seconds + before(K) + 60
        try:
            while run.poll() is None and time.monotonic() < end:
                if not tap.poll(500):
                    continue
                sent = messages.decode_answer(tap.recv_multipart()[1])
                if sent.offset * FRAME_SECONDS >= before(K):
                    found.append(1000 * (sent.sent - sent.origin))
        finally:
            if run.poll() is None:
                run.send_signal(signal.SIGTERM)
    expected = round(seconds / FRAME_SECONDS)
    if len(found) < 0.99 * expected:
        raise SystemExit(f"{len(found)} of {expected} frames came out")
    return np.array(found)


def row(K: int, found: np.ndarray) -> dict[str, object]:
    """A line of the table."""
    return {
        "K": K,
        "frames": len(found),
        **{f"{name}, ms": f"{np.percentile(found, share):.2f}" for name, share in SHARES.items()},
        "maximum, ms": f"{found.max():.2f}",
        **{f"over {limit:g} ms": int(np.count_nonzero(found > limit)) for limit in GOALS.values()},
    }


def plot(latencies: dict[int, np.ndarray], path: Path) -> None:
    """Draw how many frames took how long."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    edges = np.geomspace(0.3, max(20.0, *(found.max() for found in latencies.values())) * 1.05, 120)
    for K, found in latencies.items():
        axes.hist(found, edges, histtype="step", label=f"K = {K}")
    for name, limit in GOALS.items():
        axes.axvline(limit, color="grey", linestyle=":")
        axes.text(limit, 1.02, f"goal: {name}", transform=axes.get_xaxis_transform(), ha="center", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="source to published feature, ms", ylabel="frames")
    axes.legend()
    common.save_small(figure, path)
    plt.close(figure)


def main() -> None:
    """Measure, write the table and draw the histogram."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--K", type=int, nargs="*", default=list(SIZES))
    arguments = parser.parse_args()
    table, latencies = [], {}
    for K in arguments.K:
        with tempfile.TemporaryDirectory(prefix="latency") as name:
            sound(Path(name) / "sound.wav", arguments.seconds + before(K))
            latencies[K] = measure(K, arguments.seconds, Path(name))
        table.append(row(K, latencies[K]))
        print(table[-1], flush=True)
    goals = ", ".join(f"{name} at most {limit:g} ms" for name, limit in GOALS.items())
    note = (
        f"{common.machine('pyzmq')}, load {os.getloadavg()[0]:.1f} at the end. {arguments.seconds:g} s of sound at "
        f"{RATE // 1000} kHz in frames of {1000 * FRAME_SECONDS:g} ms; windows of K samples, K apart; a source, and "
        f"windows with a learner that learns, in a process each. Goals, on an idle machine with 2 cores: {goals}."
    )
    common.write_table("latency", "Source to published feature, while learning", table, note)
    plot(latencies, common.RESULTS / "latency.png")


if __name__ == "__main__":
    main()
