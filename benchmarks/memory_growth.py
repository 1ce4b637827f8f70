"""Does the memory of a learner's service grow while it runs?

Small synthetic frames go through a source's and a learner's process over sockets, as fast as they take them. The
resident memory of both is read from /proc as the learner's status tells how many frames it has had. The learner's
memory of past rows is 1 MB, so that frames this small fill it within the first 10,000; with the default of 24 MiB
its pages are touched for the first time until many more have passed.

    python benchmarks/memory_growth.py [--frames 1000000] [--memory 1]
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import RESULTS, machine, write_table  # first: it pins the threads

from stream_infomax.transport.messages import Status
from stream_infomax.transport.tap import STATUS, TapReader

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 20000

[source]
kind = "synthetic"
n_sources = 8
rows = 4
frames = {frames}

[[stage]]
name = "learner"
kind = "learner"
memory = {memory}
"""
SERVICES = Path(__file__).parents[1] / "services"
# Frames after which a measurement stands in the table.
MARKS = (1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)


def megabytes(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(folder: Path, frames: int, memory: float) -> list[tuple[int, float, float]]:
    """Return frames processed, and the megabytes of learner and source then."""
    config = folder / "pipeline.toml"
    config.write_text(CONFIG.format(folder=folder, frames=frames, memory=int(memory * 2**20)))
    source, learner = (
        subprocess.Popen(
            [sys.executable, "-P", str(SERVICES / f"{name}.py"), "--config", str(config), "--service", name],
            stdout=subprocess.DEVNULL,
        )
        for name in ("source", "learner")
    )
    found = []
    with TapReader(f"ipc://{folder}/learner.tap", topics=(STATUS,)) as observer:
        while learner.poll() is None:
            if not observer.socket.poll(1000):
                continue
            status = observer.receive()
            if isinstance(status, Status):
                found.append((status.frames, megabytes(learner), megabytes(source)))
                if status.finished:
                    break
    if learner.wait() or source.wait():
        raise SystemExit("a service did not end well")
    return found


def plot(found: list[tuple[int, float, float]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    frames, learner, source = zip(*found, strict=True)
    for values, label in ((learner, "learner"), (source, "source")):
        axes.plot([frame / 1000 for frame in frames], values, label=label, linewidth=1)
        axes.annotate(
            f"{label}: {values[-1]:.0f} MB",
            (frames[-1] / 1000, values[-1]),
            (0, 5),
            ha="right",
            textcoords="offset points",
        )
    axes.set(xlabel="frames (thousands)", ylabel="resident memory (MB)", ylim=(0, 1.2 * max(learner)), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "memory_growth.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--memory", type=float, default=1.0, help="megabytes of past rows that the learner keeps")
    arguments = parser.parse_args()
    n_frames = arguments.frames
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), n_frames, arguments.memory)
    seconds = time.monotonic() - begin
    rows = []
    for mark in (*(mark for mark in MARKS if mark < n_frames), n_frames):
        reached = next((entry for entry in found if entry[0] >= mark), None)
        if reached:
            rows.append(
                {"frames": f"{mark:,}", "learner (MB)": f"{reached[1]:.1f}", "source (MB)": f"{reached[2]:.1f}"}
            )
    # Checkpoints come and go; what stays is told by the medians of the first and the last tenth after 10,000.
    after = np.array([entry for entry in found if entry[0] >= 10_000])
    tenth = max(1, len(after) // 10)
    growth = np.median(after[-tenth:], axis=0) - np.median(after[:tenth], axis=0)
    title = "**growth after 10,000, last tenth against first**"
    rows.append({"frames": title, "learner (MB)": f"**{growth[1]:+.1f}**", "source (MB)": f"**{growth[2]:+.1f}**"})
    note = (
        f"{machine('pyzmq')}; frames of 4 rows of 8 numbers, {arguments.memory:g} MB of past rows, "
        f"{n_frames / seconds:,.0f} frames a second."
    )
    write_table("memory_growth", "Memory of a learner's service over its frames", rows, note)
    plot(found)


if __name__ == "__main__":
    main()
