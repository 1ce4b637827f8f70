"""The scripts under services/, started as a person or an init system would: without a supervisor, over TCP."""

import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import load
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.transport.tap import TapReader

SERVICES = Path(__file__).parents[2] / "services"
LONG = 60.0
CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 20

[source]
kind = "synthetic"
n_sources = 4
rows = 16
frames = 300
rate = {rate}
pace = "{pace}"
log = {{ frames = 64, bind = "{outlet}", tap = "{tap}" }}

[[stage]]
name = "learner"
kind = "learner"
warmup = 200
"""


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class Services:
    """A source and a learner."""

    def __init__(self, folder, pace="fast"):
        self.folder = folder
        self.outlet = free_address()
        self.config = folder / "pipeline.toml"
        text = CONFIG.format(folder=folder, outlet=self.outlet, tap=free_address(), pace=pace, rate=1600.0)
        self.config.write_text(text)
        self.processes = {}

    def start(self, *names):
        for name in names:
            command = [sys.executable, "-P", str(SERVICES / f"{name}.py"), "--config", str(self.config)]
            self.processes[name] = subprocess.Popen(
                [*command, "--service", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

    def ready(self, name):
        stdout = self.processes[name].stdout
        assert select.select([stdout], [], [], LONG)[0], f"{name} says nothing"
        return stdout.readline().strip()

    def end(self, name):
        _, errors = self.processes[name].communicate(timeout=LONG)
        return self.processes[name].returncode, errors

    def learnt(self):
        return Checkpoints(self.folder / "learner").latest()

    def until(self, offset):
        """Wait until the learner has published a frame so late."""
        with TapReader(f"ipc://{self.folder}/learner.tap") as observer:
            next(frame for frame in observer if frame.offset >= offset)


@pytest.fixture
def services(tmp_path):
    made = []

    def make(**settings):
        made.append(Services(tmp_path, **settings))
        return made[-1]

    yield make
    for service in made:
        for process in service.processes.values():
            process.kill()
            process.communicate()


def flat(value, path=""):
    if isinstance(value, dict):
        return {key: leaf for name, child in value.items() for key, leaf in flat(child, f"{path}/{name}").items()}
    return {path: np.asarray(value).tobytes() if hasattr(value, "__array__") else repr(value)}


def learnt_in_a_row(services):
    config = load(services.config)
    pipeline = pipeline_of(config)
    for frame in source_of(config).frames():
        pipeline.process(frame)
    return flat(pipeline.state())


def test_source_and_learner_over_tcp_learn_what_they_learn_in_a_row(services):
    made = services()
    made.start("learner", "source")
    assert made.ready("source") == f"READY source {made.outlet}"
    assert made.ready("learner") == f"READY learner ipc://{made.folder}/learner.outlet"
    assert [made.end("source"), made.end("learner")] == [(0, ""), (0, "")]
    learnt = made.learnt()
    assert (learnt.processed, learnt.finished, learnt.lost) == (299, True, {})
    assert flat(learnt.stages) == learnt_in_a_row(made)


def test_stopped_and_killed_they_go_on_to_the_same_bits(services):
    made = services(pace="live")
    made.start("learner", "source")
    made.until(40)
    for name in ("source", "learner"):
        made.processes[name].send_signal(signal.SIGTERM)
        assert made.end(name) == (0, "")
    assert 40 <= made.learnt().processed < 299
    made.start("source", "learner")
    made.until(100)
    made.processes["learner"].kill()
    assert made.end("learner")[0] == -signal.SIGKILL
    made.start("learner")
    assert [made.end("source"), made.end("learner")] == [(0, ""), (0, "")]
    assert flat(made.learnt().stages) == learnt_in_a_row(made)


def test_an_address_in_use_is_one_line(services):
    made = services()
    made.start("source")
    made.ready("source")
    first = made.processes.pop("source")
    made.start("source")
    # The same folder too, but nobody gets that far.
    assert made.end("source") == (2, f"source: address already in use: {made.outlet}\n")
    first.kill()
    first.communicate()


def test_a_configuration_that_cannot_be_is_one_line_and_exit_2(services):
    made = services()
    (made.folder / "pipeline.toml").write_text(made.config.read_text().replace("warmup = 200", "warmup = 0"))
    made.start("source", "learner")
    for name in ("source", "learner"):
        code, errors = made.end(name)
        assert code == 2
        assert "stage.learner.warmup = 0" in errors
        assert len(errors.splitlines()) == 1
