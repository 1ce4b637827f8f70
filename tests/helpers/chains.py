"""What tests of services share: a chain of toy services, each a process, and what the same stages give in a row."""

import json
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers.toys import Counting, Summing

from stream_infomax.frames.contracts import Pipeline
from stream_infomax.run.feature_files import write_frames
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.sinks.store import FrameStore

TOYS = Path(__file__).with_name("toys.py")
LONG = 60.0
# One millisecond a frame: long enough to be killed in.
LIVE = {"pace": "live", "rate": 4000.0}


class Chain:
    """Toy services in a folder: source -> a -> b, or a recorder behind a."""

    def __init__(self, folder, n_frames, last="b", **common):
        self.folder = folder
        common = {"folder": str(folder), "checkpoint_every": 40, "log_frames": 100, **common}
        self.settings = {
            "source": {**common, "readers": ["a"], "n_frames": n_frames},
            "a": {**common, "name": "a", "readers": [last]},
            "b": {**common, "name": "b", "input": "a", "inlet": self.outlet("a")},
            "recorder": {**common, "inlet": self.outlet("a")},
        }
        self.names = ["source", "a", last]
        # What stands before the command of each: another network, fewer descriptors.
        self.prefix = {}
        self.processes = {}

    def outlet(self, name):
        return f"ipc://{self.folder}/{name}.outlet"

    def tap(self, name):
        return f"ipc://{self.folder}/{name}.tap"

    def start(self, *names, **changes):
        for name in names or self.names:
            settings = json.dumps({**self.settings[name], **changes})
            arguments = [str(TOYS), name if name in ("source", "recorder") else "stage", settings]
            self.processes[name] = subprocess.Popen(
                [*self.prefix.get(name, ()), sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                bufsize=1,
            )

    def line(self, name):
        """Wait for a line on stdout."""
        stdout = self.processes[name].stdout
        assert select.select([stdout], [], [], LONG)[0], f"{name} says nothing"
        return stdout.readline().strip()

    def ends(self, *names):
        """Wait for the processes; return exit code and stderr of each."""
        ends = []
        for name in names or self.names:
            process = self.processes[name]
            _, errors = process.communicate(timeout=LONG)
            ends.append((process.returncode, errors))
        return ends

    def end(self, name):
        return self.ends(name)[0]

    def finish(self):
        """Wait for all and check that they ended well without a word."""
        assert self.ends() == [(0, "")] * len(self.names)

    def saved(self, name):
        return Checkpoints(self.folder / name).latest()

    def kill_all(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()


def in_a_row(n_frames, *names):
    """Return the outputs of the last of the stages when they run in this process, and its state."""
    stages = [Summing(name, input=before) for before, name in zip(("source", *names), names, strict=False)]
    outputs = [frame.arrays[names[-1]].data for frame in Pipeline(stages)(Counting(n_frames).frames())]
    return np.concatenate(outputs), stages[-1].state()


def features(chain):
    output = chain.folder / "features.npz"
    write_frames(output, FrameStore(chain.folder / "recorder").frames)
    with np.load(output) as file:
        return {name: file[name] for name in file.files}
