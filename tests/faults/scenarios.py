"""Faults of a chain of services, for as long as one likes: seconds in the tests, minutes in the tortures."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.chains import LIVE, Chain, in_a_row
from helpers.networks import Network

from stream_infomax.frames.frame import Frame
from stream_infomax.transport.messages import Status
from stream_infomax.transport.tap import FRAME, STATUS, TapReader
from stream_infomax.watch.service_row import ServiceRow

PORT = 5555
HEARD = "heard"  # what a service says of one that is silent


@contextmanager
def chain(folder: Path, n_frames: int, **common: object) -> Iterator[Chain]:
    """Give a chain whose source takes a millisecond for each frame; its processes do not outlive the block."""
    made = Chain(folder, n_frames, **common)
    made.settings["source"].update(LIVE)
    try:
        yield made
    finally:
        made.kill_all()


def nothing_lost(made: Chain, n_frames: int) -> str:
    """Wait for the end: the state is that of an undisturbed run, to the last bit; return what was said."""
    ends = made.ends()
    said = "".join(errors for _, errors in ends)
    assert [code for code, _ in ends] == [0] * len(ends), said
    assert not [line for line in said.splitlines() if HEARD not in line]
    saved = made.saved("b")
    assert (saved.finished, saved.processed, saved.lost) == (True, n_frames - 1, {})
    assert not [balance.off for balance in saved.ledger if balance.off]
    assert saved.stages["b"]["total"].tobytes() == in_a_row(n_frames, "a", "b")[1]["total"].tobytes()
    return said


def until(made: Chain, name: str, offset: int) -> None:
    """Wait until a service has published a frame so late."""
    with TapReader(made.tap(name), topics=(FRAME,)) as observer:
        next(frame for frame in observer if isinstance(frame, Frame) and frame.offset >= offset)


def until_shown(made: Chain, name: str, state: str) -> None:
    """Wait until the live view would show this state of a service."""
    row = ServiceRow()
    row.change("running", 0)
    with TapReader(made.tap(name), topics=(STATUS,)) as observer:
        while row.state != state:
            status = observer.receive()
            assert isinstance(status, Status)
            row.update(status)


def statuses(made: Chain, name: str) -> list[Status]:
    """Return every status of a service until its stream ends."""
    found = []
    with TapReader(made.tap(name), topics=(FRAME, STATUS)) as observer:
        while not found or not found[-1].finished:
            said = observer.receive()
            if isinstance(said, Status):
                found.append(said)
    return found


def held(folder: Path, seconds: float, **common: object) -> str:
    """Hold a service for so long; return what is shown and said."""
    with chain(folder, 700, **common) as made:
        made.start()
        until(made, "a", 50)
        os.kill(made.processes["a"].pid, signal.SIGSTOP)
        until_shown(made, "source", "waiting")
        time.sleep(seconds)
        os.kill(made.processes["a"].pid, signal.SIGCONT)
        return f"waiting\n{nothing_lost(made, 700)}"


def over_tcp(made: Chain, network: Network) -> None:
    """Put source and stage into a network; they meet at a port of it."""
    made.settings["source"]["outlet"] = made.settings["a"]["inlet"] = f"tcp://127.0.0.1:{PORT}"
    made.prefix = {"source": network.prefix, "a": network.prefix}


def cut(folder: Path, network: Network, seconds: float, **common: object) -> str:
    """Cut the network between source and stage for so long; return what is shown and said."""
    with chain(folder, 700, **common) as made:
        over_tcp(made, network)
        made.start()
        until(made, "a", 50)
        network.cut()
        until_shown(made, "source", "waiting")
        time.sleep(seconds)
        network.mend()
        begin = time.monotonic()
        until(made, "b", 200)
        assert time.monotonic() - begin < 30, "it took longer than stated to go on"
        return f"waiting\n{nothing_lost(made, 700)}"


def gone(folder: Path, seconds: float, **common: object) -> str:
    """Kill a service that nobody starts again for so long; return what is shown and said."""
    with chain(folder, 700, **common) as made:
        made.start()
        until(made, "a", 50)
        made.processes["a"].kill()
        made.end("a")
        until_shown(made, "source", "waiting")
        time.sleep(seconds)
        made.start("a")
        return f"waiting\n{nothing_lost(made, 700)}"


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Put a disk of its own, in memory, at a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
