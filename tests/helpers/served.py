"""A service as a process of its own, and a reader of its log in the test."""

import select
import subprocess
import sys
import time
from pathlib import Path

import zmq

from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.transport.inlet import Inlet

LONG = 60.0
READER = "nothing"  # the sink of the configuration, which the test stands for

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = {every}

[source]
kind = "{kind}"
{settings}

[[sink]]
kind = "nothing"
"""


class ServedSource:
    """A source of a kind as a process; the test reads its log as the service behind it would."""

    def __init__(self, context, folder: Path, kind: str, settings: str = "", every: int = 100):
        self.folder = folder / "run"
        self.folder.mkdir()
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(folder=self.folder, kind=kind, settings=settings, every=every))
        self.context = context
        self.inlet = None
        self.frames = []
        self.start()

    def start(self):
        command = [sys.executable, "-m", "stream_infomax.configuration.serving", "--config", str(self.config)]
        self.process = subprocess.Popen(
            [*command, "--service", "source"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert select.select([self.process.stdout], [], [], LONG)[0], "it says nothing"
        line = self.process.stdout.readline()
        assert line.startswith(b"READY"), self.process.stderr.read().decode()
        if self.inlet is None:
            self.inlet = Inlet(self.context, f"ipc://{self.folder}/source.outlet", READER)

    def until(self, enough):
        """Read frames until `enough` of them are there; return all frames so far."""
        end = time.monotonic() + LONG
        poller = zmq.Poller()
        for socket in self.inlet.sockets:
            poller.register(socket, zmq.POLLIN)
        while not enough(self.frames):
            arrival = self.inlet.receive()
            if arrival is not None:
                self.frames.append(arrival.frame)
                continue
            assert time.monotonic() < end, f"{len(self.frames)} frames came"
            assert self.process.poll() is None, self.process.stderr.read().decode()
            self.inlet.attend(dict(poller.poll(1000 * min(1.0, self.inlet.due()) + 1)))
        return self.frames

    def of(self, stream):
        """Return the frames of a stream so far."""
        return [frame for frame in self.frames if frame.stream == stream]

    def stop(self):
        """Ask it to stop; return its last checkpoint and what it said."""
        if self.inlet.next:
            self.inlet.commit(self.inlet.next - 1)
        self.process.terminate()
        _, errors = self.process.communicate(timeout=LONG)
        assert self.process.returncode == 0, errors.decode()
        return Checkpoints(self.folder / "source").latest(), errors.decode()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
