"""Runs whose processes are killed at random moments, and what they are compared with: a run that nobody disturbed."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from subprocess import Popen

import msgspec
import numpy as np
from helpers.commands import call, child_of, ended, started

from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.service.checkpoints import Checkpoints, checkpoints_in
from stream_infomax.state.numbered import frames_behind

PATIENCE = 300.0  # seconds within which a run comes on
LONGEST_WAIT = 0.2  # seconds from a frame to the kill
LONGEST_WATCH = 10.0  # seconds within which a checkpoint is waited for
LONGEST_DELAY = 0.003  # seconds from the first sign of a checkpoint to the kill
SUPERVISOR = "the supervisor"


def leaves(value: object, path: str = "") -> dict[str, bytes]:
    """Return the bytes of every leaf of a state."""
    if isinstance(value, dict):
        return {key: leaf for name, child in value.items() for key, leaf in leaves(child, f"{path}/{name}").items()}
    if hasattr(value, "__array__"):
        return {path: np.asarray(value).tobytes()}
    return {path: json.dumps(value).encode()}


def different(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Return the names of what is not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


class Deployment:
    """A configuration that runs undisturbed once, and under kills as often as one likes.

    Parameters
    ----------
    folder
        Where everything lies.
    config
        The configuration; it runs at the speed of its source.
    services
        Its services and sinks, in the order of the data. Where there are none it runs in one process.
    options
        Of every run.
    """

    def __init__(self, folder: Path, config: str, services: tuple[str, ...], *options: str) -> None:
        self.folder = folder
        self.services = services
        self.options = (*options, "--plain", *(() if services else ("--in-process",)))
        (folder / "pipeline.toml").write_text(config)

    def calm(self) -> dict[str, bytes]:
        """Return every bit that an undisturbed run leaves."""
        words = ("--set", "run.folder=calm", "--set", "source.pace=fast", "--save-features", "calm.npz")
        end = call("run", "pipeline.toml", *self.options, *words, folder=self.folder)
        assert end.code == 0, end.errors
        return self.bits("calm")

    def bits(self, name: str) -> dict[str, bytes]:
        """Return every bit that a finished run has left: features, parts of sinks, states, positions, ledgers."""
        found = {}
        with np.load(self.folder / f"{name}.npz") as file:
            found.update({f"features/{key}": file[key].tobytes() for key in file.files})
        for folder in sorted(path for path in (self.folder / name).iterdir() if path.is_dir()):
            saved = Checkpoints(folder).latest()
            if saved is None:
                continue
            assert saved.finished, f"{folder}: the last checkpoint is not that of the end"
            found.update(leaves(saved.stages, f"{folder.name}/stages"))
            found[f"{folder.name}/processed"] = str(saved.processed).encode()
            found[f"{folder.name}/lost"] = json.dumps(saved.lost).encode()
            for balance in saved.ledger:
                assert not balance.off, f"{folder}: the ledger of the {balance.name} does not balance: {balance.off}"
                if balance.part == "stage":
                    found[f"{folder.name}/ledger/{balance.name}"] = msgspec.json.encode(balance)
            for part in folder.glob("parts/[!.]*"):
                found[f"{folder.name}/{part.name}"] = part.read_bytes()
        return found

    def killed(
        self,
        name: str,
        random: Random,
        kills: int,
        codes: tuple[int, ...] = (0,),
        between: Callable[[], None] = lambda: None,
    ) -> "Kills":
        """Run under so many kills at most, to the end, which has one of these codes; `between` is done before each."""
        done = Kills(self, name, random)
        while not done.over:
            with done.alive() as run:
                while done.count < kills and run.poll() is None:
                    done.strike(run, between)
                end = ended(run)
            assert end.code in (*codes, -signal.SIGKILL), (end.code, end.errors)
            done.over = end.code in codes
        return done


class Kills:
    """What has been killed of one run, and what is to be killed next."""

    def __init__(self, deployment: Deployment, name: str, random: Random) -> None:
        self.services = deployment.services
        self.folder = deployment.folder
        self.place = deployment.folder / name
        self.random = random
        options = ("--set", f"run.folder={name}", "--set", "source.pace=live", "--save-features", f"{name}.npz")
        self.words = ("run", "pipeline.toml", *deployment.options, *options)
        self.count = self.while_saving = 0
        self.over = False
        self._newest = 0

    @contextmanager
    def alive(self) -> Iterator[Popen[str]]:
        """Run, or go on with the run."""
        with started(*self.words, folder=self.folder) as (run, _):
            yield run

    def strike(self, run: Popen[str], before: Callable[[], None]) -> None:
        """Wait for a moment, do what is to be done before, and kill somebody; the run may end before."""
        victims = self._victims()
        last = self.place / (self.services[-1] if self.services else IN_PROCESS)
        if not self._come_on(run, last, self._newest + self.random.randint(1, 60)):
            return
        before()
        watched = [self.place / victim for victim in victims if victim != SUPERVISOR] or [last]
        if self.random.random() < 0.5:
            self.while_saving += self._saves(run, self.random.choice(watched))
        else:
            time.sleep(self.random.uniform(0, LONGEST_WAIT))
        for victim in victims:
            self.count += self._kill(run, victim)
        if SUPERVISOR in victims:
            run.wait()

    def _victims(self) -> list[str]:
        kind = self.random.choices(("one", "pair", "all", SUPERVISOR), (9, 4, 2, 5))[0]
        if kind == SUPERVISOR or not self.services:
            return [SUPERVISOR]
        return self.random.sample(self.services, {"one": 1, "pair": 2, "all": len(self.services)}[kind])

    def _come_on(self, run: Popen[str], folder: Path, offset: int) -> bool:
        """Wait until a service has a checkpoint with so many frames behind it; return False where the run ends."""
        end = time.monotonic() + PATIENCE
        while run.poll() is None:
            assert time.monotonic() < end, f"{folder}: no checkpoint behind frame {offset} within {PATIENCE:g} s"
            saved = checkpoints_in(folder) if folder.is_dir() else []
            if saved and frames_behind(saved[-1]) >= offset:
                self._newest = frames_behind(saved[-1])
                return True
            time.sleep(0.002)
        return False

    def _saves(self, run: Popen[str], folder: Path) -> bool:
        """Wait until something is written into the folder of a service, and a moment more."""
        before = folder.stat().st_mtime_ns
        end = time.monotonic() + LONGEST_WATCH
        while folder.stat().st_mtime_ns == before:
            if run.poll() is not None or time.monotonic() > end:
                return False
        time.sleep(self.random.uniform(0, LONGEST_DELAY))
        return True

    def _kill(self, run: Popen[str], victim: str) -> int:
        """Kill a service, or all of them with their supervisor; return 0 where it is not there just now."""
        if victim == SUPERVISOR:
            there = run.poll() is None
            run.kill()
            return int(there)
        with suppress(OSError, ValueError):
            os.kill(child_of(run.pid, f"--service\0{victim}\0"), signal.SIGKILL)
            return 1
        return 0
