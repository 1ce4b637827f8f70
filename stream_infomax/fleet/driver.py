"""Driver: has Ray place the processes of a fleet, and watches them until all have ended."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from stream_infomax.fleet.names import LINES
from stream_infomax.fleet.placed import End, Placed, Standing
from stream_infomax.run.settings import RunError
from stream_infomax.service.signals import stop_signals

# Bytes that a local Ray keeps for objects; a fleet puts none there.
OBJECTS = 100_000_000
# What Ray is told before it is imported: it says nothing of itself to anybody.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Seconds between two looks at the processes, and how long one may not answer before it counts as away.
LOOK = 0.25
SILENT = 2.0


@dataclass(frozen=True)
class Patience:
    """When the driver gives up; times in seconds.

    Attributes
    ----------
    place
        Until Ray has found a place for every process at the start.
    lost
        So many times in a row Ray may lose a process or its machine without a round between.
    stop
        From the request to stop until what still runs is killed; its last checkpoints count.
    """

    place: float = 120.0
    lost: int = 5
    stop: float = 30.0


class Placing(NamedTuple):
    """A process to place.

    Attributes
    ----------
    name, arguments
        As `Placed` takes them.
    cpus
        How many it needs.
    node
        The Ray resource that its machine must have; empty: any.
    """

    name: str
    arguments: Sequence[str]
    cpus: float = 1.0
    node: str = ""

    @property
    def wants(self) -> str:
        """What it asks of a machine, in words."""
        wishes = [f"{self.cpus:g} CPU"] if self.cpus else []
        return " and ".join([*wishes, *([f"the resource {self.node!r}"] if self.node else [])]) or "any place"


@contextmanager
def connected(address: str, cpus: int) -> Iterator[None]:
    """Have a Ray to place things on: that of an address, or one of our own that ends with this block.

    Raises
    ------
    RunError
        Where there is none at the address, or none can be started.
    """
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    if not address and "ray" not in sys.modules and not any(name.startswith("RAY_AUTH") for name in os.environ):
        # What is ours alone needs no token that lies in a file; Ray reads this once.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECTS}
    options = {"address": address} if address else {"address": "local", **own}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise RunError(f"--address {address}: no Ray answers there: {text}" if address else f"Ray: {text}") from error
    try:
        yield
    finally:
        ray.shutdown()


class Driver:
    """Places processes and watches them.

    Parameters
    ----------
    placings
        What to place; the first is stopped last: the others need it.
    folder, run
        The run folder, which all machines must reach, and the id of the run.
    on_change
        Called with a process's name, its state, how often it was started again, and its machine.
    patience
        When to give up.
    """

    def __init__(
        self,
        placings: Sequence[Placing],
        folder: Path,
        run: str,
        on_change: Callable[[str, str, int, str], None] = lambda name, state, restarts, host: None,
        patience: Patience = Patience(),
    ) -> None:
        self._folder = folder.resolve()
        self._on_change = on_change
        self._patience = patience
        self._watched = [_Watched(placing, self._folder, run) for placing in placings]
        self._asked = 0
        self._give_up = float("inf")
        self._told: dict[str, tuple[str, int, str]] = {}

    def run(self, tend: Callable[[], None] = lambda: None) -> bool:
        """Watch until all processes have finished (True) or a signal has stopped them (False).

        Parameters
        ----------
        tend
            Called a few times a second.

        Raises
        ------
        RunError
            Where a process finds no place, cannot go on or is lost again and again; the others have been stopped.
        """
        failure = ""
        useless = False
        start = time.monotonic()
        with self._signals():
            try:
                for one in self._watched:
                    one.place()
                while going := [one for one in self._watched if one.end is None]:
                    _wait(going)
                    for one in going:
                        one.look(self._progress(), self._patience, start)
                        self._tell(one)
                        if one.end is not None and one.end.outcome == "failed" and not failure:
                            failure, useless = one.end.words, one.end.useless
                            self._stop()
                    self._stop_in_order()
                    tend()
            finally:
                for one in self._watched:
                    one.kill()
        if failure:
            raise RunError(failure, useless=useless)
        if self._asked > 1:
            raise RunError("killed by a second signal; the same command resumes from the last checkpoints")
        return all(one.end is not None and one.end.outcome == "finished" for one in self._watched)

    def stop(self) -> None:
        """Ask all to stop and save; a second request kills them."""
        self._asked += 1
        self._stop()
        if self._asked > 1:
            self._give_up = 0.0

    def _stop(self) -> None:
        self._give_up = min(self._give_up, time.monotonic() + self._patience.stop)

    def _stop_in_order(self) -> None:
        """Where all is to stop: the others before the first, and what takes too long at once."""
        if self._give_up == float("inf"):
            return
        first, *others = self._watched
        for one in [one for one in others if one.end is None] or [first]:
            one.stop()
            if time.monotonic() >= self._give_up:
                one.kill()

    def _progress(self) -> int:
        with suppress(FileNotFoundError):
            return (self._folder / LINES).stat().st_size
        return 0

    def _tell(self, one: _Watched) -> None:
        now = one.state, one.restarts, one.host
        if self._told.get(one.name) != now:
            self._told[one.name] = now
            self._on_change(one.name, *now)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def handle(_: int, __: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, handle) for number in stop_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Watched:
    """A process that Ray has placed, over all its lives."""

    def __init__(self, placing: Placing, folder: Path, run: str) -> None:
        self.placing = placing
        self.name = placing.name
        self.state, self.host = "placing", ""
        self.end: End | None = None
        self._arguments = (placing.name, list(placing.arguments), run, str(folder))
        self._standing: Standing | None = None
        # Restarts of the program in earlier lives of the actor, and those that Ray made of the actor.
        self._before = 0
        self._lost_without_progress = 0
        self._progress = -1
        self._asked_to_stop = False
        self._actor: Any = None
        self._run: Any = None
        self._ask: Any = None
        self._asked_at = self._heard_at = 0.0

    @property
    def restarts(self) -> int:
        """How often the program was started again, by Ray or on its machine."""
        return self._before + (self._standing.restarts if self._standing else 0)

    @property
    def awaited(self) -> list[Any]:
        """What Ray has to answer."""
        return [ref for ref in (self._run, self._ask) if ref is not None]

    def place(self) -> None:
        """Ask Ray to start it."""
        import ray

        resources = {self.placing.node: 0.001} if self.placing.node else {}
        made = ray.remote(Placed).options(
            num_cpus=self.placing.cpus,
            resources=resources,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy="SPREAD",
        )
        self._actor = made.remote(*self._arguments)
        self._run = self._actor.run.remote()
        self._heard_at = time.monotonic()

    def look(self, progress: int, patience: Patience, start: float) -> None:
        """Take in what there is to know."""
        import ray

        now = time.monotonic()
        try:
            if self._ask is not None and _is_there(self._ask):
                ask, self._ask = self._ask, None
                self._take(ray.get(ask), progress, patience)
            if self._run is not None and _is_there(self._run):
                run, self._run = self._run, None
                end, standing = ray.get(run)
                self._take(standing, progress, patience)
                self._over(end)
                return
        except ray.exceptions.RayError as error:
            text = " ".join(str(error).split())[:300]
            self._over(
                End("stopped" if self._asked_to_stop else "failed", f"{self.name!r} is lost to Ray: {text}", False)
            )
            return
        if self._ask is None and now >= self._asked_at + LOOK:
            self._ask, self._asked_at = self._actor.standing.remote(), now
        if now - self._heard_at > SILENT and self._standing is not None and self.end is None:
            self.state = "away"
        if self._standing is None and now - start > patience.place:
            self._over(
                End(
                    "failed",
                    f"{self.name!r} has found no place for {patience.place:g} s: it asks for "
                    f"{self.placing.wants}; Ray has {_resources()}",
                    True,
                )
            )

    def _take(self, standing: Standing, progress: int, patience: Patience) -> None:
        before, self._standing = self._standing, standing
        self._heard_at = time.monotonic()
        self.state, self.host = standing.state, standing.host
        if not standing.found:
            text = (
                f"{self.name!r} is on {standing.host}, and the run folder {self._arguments[-1]} is not there; accepted "
            )
            self._over(End("failed", text + "is a folder that all machines share", True))
        if progress > self._progress:
            self._progress, self._lost_without_progress = progress, 0
        if before is not None and before.life != standing.life:
            self._before += before.restarts + 1
            self._lost_without_progress += 1
            if self._lost_without_progress >= patience.lost:
                often = f"{patience.lost} times without a round between, the last time on {before.host}"
                self._over(End("failed", f"{self.name!r} or its machine was lost {often}", False))

    def _over(self, end: End) -> None:
        if self.end is None:
            self.end = end
            self.state = end.outcome

    def stop(self) -> None:
        """Ask it to stop, once for each life of the actor."""
        if self.end is None and not self._asked_to_stop:
            self._asked_to_stop = True
            self._actor.stop.remote()

    def kill(self) -> None:
        """End it now."""
        import ray

        if self._actor is not None and ray.is_initialized():
            with suppress(ray.exceptions.RayError):
                ray.kill(self._actor, no_restart=True)
        self._over(End("stopped", "", False))


def _wait(going: Sequence[_Watched]) -> None:
    """Wait until one of several has something to say, not for long."""
    import ray

    ray.wait([ref for one in going for ref in one.awaited], num_returns=1, timeout=LOOK)
    time.sleep(0.02)


def _is_there(ref: Any) -> bool:
    import ray

    return bool(ray.wait([ref], timeout=0)[0])


def _resources() -> str:
    import ray

    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    found = {name: count for name, count in sorted(free.items()) if not name.startswith("node:")}
    return ", ".join(f"{count:g} {name}" for name, count in found.items() if "memory" not in name) or "nothing free"
