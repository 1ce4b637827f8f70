"""What does a second worker of a fleet bring, and what does it cost when one is killed?

Two shards of a synthetic stream of 144 channels, merged after every 4,096 rows of each, in one worker and in two,
started by `stream-infomax fleet` with a Ray of this machine. The rate counts from the first merge to the last of both:
what starts once is left out. Then a worker is killed with SIGKILL in the midst of a run; it is back when the fleet
merges again. The basis has to have the same bits each time.

    python benchmarks/fleet.py [--repeats 3]
"""

import common  # isort: skip  (pins threads)
import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHARDS, ROUND, ROWS, CHANNELS = 2, 4096, 1024, 144
FRAMES = 200
KILLED_AFTER = 12  # rounds
PIPELINE = f"""
[run]
folder = "{{folder}}"
checkpoint_every = 8
[source]
kind = "synthetic"
n_sources = {CHANNELS}
rows = {ROWS}
frames = {{frames}}
[[stage]]
name = "learner"
kind = "learner"
[fleet]
workers = {{workers}}
shards = {SHARDS}
round = {ROUND}
"""


class Run:
    """A fleet from start to end.

    Parameters
    ----------
    folder
        Where it lies.
    workers
        How many there are.
    disturb
        Called with the folder once `KILLED_AFTER` rounds are merged; returns when that was.

    Attributes
    ----------
    times
        When each round was seen in the record.
    disturbed
        When something was done to it.
    """

    def __init__(self, folder: Path, workers: int, disturb: Callable[[Path], float] | None = None) -> None:
        folder.mkdir()
        config = folder / "fleet.toml"
        config.write_text(PIPELINE.format(folder=folder / "run", workers=workers, frames=FRAMES), encoding="utf-8")
        self._record = folder / "run" / "rounds.jsonl"
        self.times: list[float] = []
        self.disturbed = 0.0
        command = [str(Path(sys.executable).parent / "stream-infomax"), "fleet", str(config), "--plain"]
        with (folder / "log").open("w") as log:
            going = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                while going.poll() is None:
                    self._look()
                    if disturb and not self.disturbed and len(self.times) > KILLED_AFTER:
                        self.disturbed = disturb(folder)
                    time.sleep(0.005)
            finally:
                going.terminate()
                going.wait()
        if going.returncode:
            raise SystemExit((folder / "log").read_text(encoding="utf-8")[-2000:])
        self._look()
        self.basis = hashlib.sha256((folder / "run" / "basis.safetensors").read_bytes()).hexdigest()
        self.lines = [json.loads(line) for line in self._record.read_text(encoding="utf-8").splitlines()]

    def _look(self) -> None:
        if self._record.exists():
            lines = self._record.read_bytes().count(b"\n")
            self.times += [time.monotonic()] * (lines - len(self.times))

    @property
    def rate(self) -> float:
        """Rows a second of all, from the first merge of both to the last."""
        both = [number for number, line in enumerate(self.lines) if len(line["parts"]) == SHARDS]
        rows = sum(sum(self.lines[number]["parts"].values()) for number in both[1:])
        return rows / (self.times[both[-1]] - self.times[both[0]])

    @property
    def rows(self) -> int:
        """Rows that were learnt from, each as often as that happened."""
        return sum(sum(line["parts"].values()) for line in self.lines)

    @property
    def standstill(self) -> float:
        """Seconds that the fleet stood still after it was disturbed, beyond what a round takes."""
        gaps = np.diff(self.times)
        after = [gap for at, gap in zip(self.times[1:], gaps, strict=True) if at > self.disturbed]
        return float(max(after) - np.median(gaps))


def kill(folder: Path) -> float:
    """Kill the worker with shard 1, and return when."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = any(word.startswith(str(folder).encode()) for word in words)
        if ours and b"stream_infomax.fleet.worker" in words and words[words.index(b"--shards") + 1] == b"1":
            os.kill(int(process.name), signal.SIGKILL)
            return time.monotonic()
    raise SystemExit("the worker with shard 1 is not there")


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", default="", help="what else ran on this machine, for the note")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        runs = {n: [Run(folder / f"{n}-{i}", n) for i in range(given.repeats)] for n in (1, SHARDS)}
        killed = [Run(folder / f"killed-{i}", SHARDS, kill) for i in range(given.repeats)]
    rates = {n: [run.rate for run in some] for n, some in runs.items()}
    whole = [run for some in runs.values() for run in some]
    same = len({run.basis for run in [*whole, *killed]}) == 1
    ratio = max(rates[SHARDS]) / max(rates[1])
    stood = [run.standstill for run in killed]
    table = [
        {"what": f"rows a second, {n} worker{'s' * (n > 1)}", "found": spread(rates[n], "{:,.0f}")} for n in rates
    ] + [
        {"what": "two workers over one, the best of each", "found": f"{ratio:.2f}", "at least": "1.7"},
        {"what": "a worker killed: seconds until the fleet merges again", "found": spread(stood), "at least": "≤ 5"},
        {"what": "rows learnt twice", "found": f"{max(run.rows - whole[0].rows for run in killed)}", "at least": "0"},
        {"what": "rows of the stream, learnt", "found": f"{FRAMES * ROWS:,}, {whole[0].rows:,}"},
        {"what": "the same bits in all runs", "found": "yes" if same else "no", "at least": "yes"},
    ]
    note = f"{common.machine()}. {len(whole + killed)} runs of {FRAMES * ROWS:,} rows; median (range). {given.beside}"
    common.write_table("fleet", "A fleet on one machine", table, note.rstrip())


def spread(found: list[float], form: str = "{:.2f}") -> str:
    """Return median and range."""
    middle, least, most = (form.format(value) for value in (np.median(found), min(found), max(found)))
    return f"{middle} ({least} … {most})"


if __name__ == "__main__":
    main()
