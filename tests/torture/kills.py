"""Kills at random moments: every bit of the features and of the final state is that of an undisturbed run."""

import shutil
import signal
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random

import numpy as np
from helpers.chains import LIVE, Chain, features, in_a_row
from helpers.kills import Deployment, different

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.frame import Frame
from stream_infomax.learning.infomax.encoder import kept_bases
from stream_infomax.run.control import control
from stream_infomax.run.place import place_of
from stream_infomax.run.verify import verify
from stream_infomax.settings.extras import installed
from stream_infomax.transport.tap import FRAME, TapReader
from torture.frame import Trial, need, torture

VICTIMS = (("a",), ("source", "recorder"), ("a", "recorder"), ("source", "a", "recorder"))


LEARNER = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = {frames}
rate = 12800.0

[[stage]]
name = "windows"
kind = "windows"
form = "waveform"
length = 4
hop = 2

[[stage]]
name = "learner"
kind = "learner"
n_components = 4
warmup = 300
"""

SINKS = """
[[sink]]
name = "first"
kind = "{kind}"
part = "20 kB"

[[sink]]
name = "second"
kind = "npz"
part = "30 kB"
arrays = ["source", "learner"]

[[sink]]
kind = "nothing"
"""

CONTRAST = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = {frames}
rate = 12800.0

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = 4
hop = 4

[[stage]]
name = "learner"
kind = "learner"
n_components = 4
warmup = 300

[[stage]]
name = "module1"
kind = "contrast"
service = "contrast"
layout = "paired"
width = 8
rows = 200
module = 1
carry = ["learner"]

[[stage]]
name = "classifier"
kind = "classifier"
target = "regime"
levels = ["learner", "module1"]
"""


@torture(minutes=20, short=0.015)
def kills_of_a_chain(trial: Trial) -> str:
    """Source, stage and recorder are killed one by one, in pairs and all at once."""
    total, killed, runs = trial.times(200), 0, 0
    while killed < total:
        random = trial.random(runs)
        killed += killed_chain(trial, random, runs, min(16, total - killed))
        runs += 1
        trial.progress(killed, total)
    return f"{killed} kills in {runs} runs, 0 differing bits"


def reached(made: Chain, name: str, offset: int) -> bool:
    """Wait until a service has published a frame so late; return False where it ends before it is seen."""
    with TapReader(made.tap(name), topics=(FRAME,)) as observer:
        while made.processes[name].poll() is None:
            if observer.socket.poll(20):
                frame = observer.receive()
                if isinstance(frame, Frame) and frame.offset >= offset:
                    return True
    return False


def killed_chain(trial: Trial, random, number: int, kills: int) -> int:
    """Run a chain, kill, compare; return how many processes were killed."""
    folder = trial.folder / str(number)
    folder.mkdir()
    n_frames = 400 + 60 * kills
    made = Chain(folder, n_frames, last="recorder")  # 1 ms a frame
    made.settings["source"].update(LIVE)
    killed, order = 0, cycle(random.sample(VICTIMS, len(VICTIMS)))
    try:
        made.start()
        for moment in sorted(random.sample(range(30, n_frames - 50), kills)):
            if not reached(made, "a", moment):
                break  # it was faster than the observer
            victims = next(order)
            for name in victims:
                made.processes[name].kill()
            killed += sum(made.end(name)[0] == -signal.SIGKILL for name in victims)
            made.start(*victims)
        made.finish()
    finally:
        made.kill_all()
    outputs, state = in_a_row(n_frames, "a")
    kept, saved = features(made), made.saved("a")
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(n_frames))
    assert kept["a"].tobytes() == outputs.tobytes(), "features differ"
    assert (saved.finished, saved.lost) == (True, {})
    assert not [balance.off for balance in saved.ledger if balance.off], "a ledger does not balance"
    assert saved.stages["a"]["total"].tobytes() == state["total"].tobytes(), "the final state differs"
    assert saved.stages["a"]["rng"] == state["rng"], "the final random state differs"
    return killed


def killed_runs(trial: Trial, deployment: Deployment, total: int, kills_a_run: int) -> str:
    """Kill run after run of a deployment, compare each with the calm one, and say how often what was killed."""
    calm = deployment.calm()
    killed = while_saving = runs = 0
    while killed < total:
        name = f"killed{runs}"
        done = deployment.killed(name, trial.random(runs), min(kills_a_run, total - killed))
        differ = different(calm, deployment.bits(name))
        assert not differ, f"run {runs}, {done.count} kills: {len(differ)} of {len(calm)} differ: {differ[:5]}"
        shutil.rmtree(deployment.folder / name)
        killed, while_saving, runs = killed + done.count, while_saving + done.while_saving, runs + 1
        trial.progress(killed, total)
    return f"{killed} kills in {runs} runs, {while_saving} moments while a checkpoint was written, 0 differing bits"


@torture(minutes=60)
def kills_of_a_learner_and_sinks(trial: Trial) -> str:
    """Source, windows, learner, three sinks and their supervisor are killed alone, in pairs and all at once."""
    config = LEARNER.format(frames=1000) + SINKS.format(kind="parquet" if installed("pyarrow") else "npz")
    services = ("source", "windows", "learner", "first", "second", "nothing", "recorder")
    return killed_runs(trial, Deployment(trial.folder, config, services), trial.times(160), 16)


@torture(minutes=30)
def kills_of_runs_that_are_steered(trial: Trial) -> str:
    """Commands between kills, in processes and in one: computed again with its commands, no bit of a run differs."""
    total, killed, told, runs = trial.times(80), 0, 0, 0
    while killed < total:
        services = ("source", "windows", "learner", "recorder") if runs % 2 else ()
        name, random = f"steered{runs}", trial.random(runs)
        deployment = Deployment(trial.folder, LEARNER.format(frames=1000), services)
        person = Person(trial.folder / name, random)
        killed += deployment.killed(name, random, min(8, total - killed), between=person.speak).count
        verdict = verify(trial.folder / name, lambda *_: None)
        assert verdict.same, [one.difference for one in verdict.compared]
        shutil.rmtree(trial.folder / name)
        told, runs = told + person.told, runs + 1
        trial.progress(killed, total)
    assert told
    return f"{told} commands and {killed} kills in {runs} runs, 0 differing bits"


class Person:
    """Somebody who tells a run something at random."""

    def __init__(self, place: Path, random: Random) -> None:
        self.place = place
        self.random = random
        self.told = 0

    def speak(self) -> None:
        """Tell it something; where it does not go on yet, or any more, nothing."""
        action = self.random.choice(["pause", "resume", "hold", "resume", "undo", "mark", "save"])
        kept = kept_bases(self.place)
        version = self.random.choice(kept).version if kept else "0123"
        value = {"undo": version, "mark": f"text {self.told}"}.get(action, "")
        with suppress(ConfigError):
            answers = control(place_of(self.place), action, value=value)
            self.told += sum(answer.problem == "" for answer in answers)


@torture(minutes=60)
def kills_of_the_whole_chain(trial: Trial) -> str:
    """The same of source, learner, contrast and classifier."""
    need(installed("torch"), "PyTorch is not installed")
    services = ("source", "learner", "contrast", "classifier", "recorder")
    return killed_runs(trial, Deployment(trial.folder, CONTRAST.format(frames=1000), services), trial.times(80), 16)


@torture(minutes=60)
def kills_of_one_process(trial: Trial) -> str:
    """A run in one process with its sinks is killed and given the same command again."""
    config = LEARNER.format(frames=1000) + SINKS.format(kind="npz")
    return killed_runs(trial, Deployment(trial.folder, config, ()), trial.times(160), 16)
