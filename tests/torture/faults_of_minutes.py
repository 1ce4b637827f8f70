"""Faults that last: a service that is held, a connection that is cut, a way that is long, a disk that is slow."""

import time
from collections.abc import Callable
from pathlib import Path

from faults.scenarios import chain, cut, gone, held, nothing_lost, over_tcp
from helpers.networks import network, reason

from torture.frame import LeftOutError, Trial, need, torture


def again(trial: Trial, fault: Callable[[Path], object]) -> int:
    """Make a fault three times in the whole trial; return how often."""
    total = trial.times(3)
    for done in range(total):
        folder = trial.folder / str(done)
        folder.mkdir()
        fault(folder)
        trial.progress(done + 1, total)
    return total


@torture(minutes=10)
def held_for_a_minute(trial: Trial) -> str:
    """A service is held with SIGSTOP for a minute."""
    often = again(trial, lambda folder: held(folder, 60.0))
    return f"{often} times: those before it wait, nothing lost, the same bits"


@torture(minutes=10)
def gone_for_a_minute(trial: Trial) -> str:
    """A service is killed, and comes back after a minute."""
    often = again(trial, lambda folder: gone(folder, 60.0))
    return f"{often} times: those before it wait, nothing lost, the same bits"


@torture(minutes=10)
def cut_for_a_minute(trial: Trial) -> str:
    """No packet passes between two services for a minute, in a network namespace: both ends stay half-open."""
    need(not reason(), reason())
    with network() as made:
        often = again(trial, lambda folder: cut(folder, made, 60.0))
    return f"{often} times: they go on within 30 s of its return, nothing lost, the same bits"


@torture(minutes=10)
def a_long_way(trial: Trial) -> str:
    """The kernel holds every packet back for 200 ms each way."""
    need(not reason(), reason())
    frames = trial.times(3000)
    with network() as network_, chain(trial.folder, frames) as made:
        try:
            network_.delay(0.2)
        except OSError as error:
            raise LeftOutError(f"this kernel has no netem ({error}); the tests do it with a relay") from None
        over_tcp(made, network_)
        begin = time.monotonic()
        made.start()
        nothing_lost(made, frames)
    return f"{frames / (time.monotonic() - begin):.0f} frames/s, nothing lost, the same bits"


@torture(minutes=10)
def a_slow_disk(trial: Trial) -> str:
    """Every file takes a second until it is on the disk."""
    frames = trial.times(3000, least=100)
    begin = time.monotonic()
    with chain(trial.folder, frames, slow_disk=1.0) as made:
        made.start()
        nothing_lost(made, frames)
    return f"{frames / (time.monotonic() - begin):.0f} frames/s, nothing lost, the same bits"
