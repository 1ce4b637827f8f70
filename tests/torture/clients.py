"""Clients that cost what they can: a source of devices on TCP goes on, within bounds, and serves whoever is honest."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import numpy as np
import psutil
import zmq
from helpers.devices import message
from helpers.raw import Raw, part, subscription
from helpers.raw import message as framed

from stream_infomax.frames.frame import Frame
from stream_infomax.transport import messages
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.labels import send_label
from stream_infomax.transport.push import Push
from stream_infomax.transport.tap import TapReader
from torture.frame import Trial, torture

# What a source may grow by, in MiB, whatever is done to it; docs/operations.md says so.
BOUND = 512
ROWS = np.zeros((4096, 4), np.float32)  # 64 KiB
RATE = 100  # messages a second
LONG = 60.0
VICTIM = """
import sys
from pathlib import Path
from stream_infomax.service.process import FromSource, Service, run
from stream_infomax.sources.devices import DevicesSource
folder, devices, outlet, tap, labels = sys.argv[1:]
service = Service(name="source", outlet=outlet, tap=tap, labels=labels, folder=Path(folder) / "s", readers=("r",))
raise SystemExit(run(service, FromSource(DevicesSource(bind=devices))))
"""


class Addresses(NamedTuple):
    """Where a source is had."""

    devices: str
    outlet: str
    tap: str
    labels: str


# The socket that a client says it has, to speak to these.
KINDS = Addresses("PUSH", "DEALER", "SUB", "PUSH")
Attack = Callable[[Addresses, Random], None]


def free() -> str:
    """Return an address that nobody has."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{own.getsockname()[1]}"


class Victim:
    """A source, an honest device, and an honest reader that counts frames and measures how late they come."""

    def __init__(self, trial: Trial) -> None:
        self.at = Addresses(free(), free(), free(), free())
        command = [sys.executable, "-c", VICTIM, str(trial.folder), *self.at]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"READY")
        self.watched = psutil.Process(self.process.pid)
        self.sent = self.read = 0
        self.memory = self.peak = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._push, self._read, self._measure)]
        for thread in self._threads:
            thread.start()

    def until(self, enough: Callable[[], bool], what: str) -> None:
        """Wait for something, but not for ever."""
        end = time.monotonic() + LONG
        while not enough():
            assert self.process.poll() is None, f"the source ended with {self.process.returncode}"
            assert time.monotonic() < end, what
            time.sleep(0.01)

    def _push(self) -> None:
        due = time.monotonic()
        with Push(self.at.devices, "honest", rate=1000.0, timeout=LONG) as push:
            while not self._over.is_set():
                push(ROWS)
                self.sent += 1
                due = max(due + 1 / RATE, time.monotonic())
                self._over.wait(due - time.monotonic())

    def _read(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        inlet = Inlet(context, self.at.outlet, "r")
        poller = zmq.Poller()
        for own in inlet.sockets:
            poller.register(own, zmq.POLLIN)
        while not self._over.is_set():
            poller.poll(20)
            while (arrival := inlet.receive()) is not None:
                self.read += 1
                if self.read % 50 == 0:
                    inlet.commit(arrival.frame.offset)
            inlet.attend()
        inlet.close()
        context.destroy(0)

    def _measure(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.memory = self.watched.memory_info().rss
            self.peak = max(self.peak, self.memory)

    def observed(self) -> Counter[str]:
        """Read the tap until a frame and then a status came; return what the source refused."""
        with TapReader(self.at.tap) as tap:
            frame = None
            self.until(lambda: tap.socket.poll(0) != 0, "the tap says nothing")
            while True:
                received = tap.receive()
                frame = frame or (received if isinstance(received, Frame) else None)
                if frame is not None and received is not None and received is tap.status:
                    return Counter(tap.status.refused)

    def close(self) -> None:
        """End everything."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def victim(trial: Trial) -> Iterator[Victim]:
    """Give a source that serves its device and its reader."""
    made = Victim(trial)
    try:
        made.until(lambda: made.read > RATE, "nothing is read")
        yield made
    finally:
        made.close()


def attacked(trial: Trial, attack: Attack, *expected: str) -> str:
    """Attack a source for 20 s; see what it costs, that it goes on and is there for others afterwards, and counts."""
    total = trial.times(20)
    with victim(trial) as source:
        before, read = source.memory, source.read
        source.peak = before
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < total:
            with contextlib.suppress(ConnectionError, TimeoutError):
                attack(source.at, trial.random(elapsed))
            assert source.process.poll() is None, f"the source ended with {source.process.returncode}"
            trial.progress(min(total, round(elapsed)), total)
        rate = (source.read - read) / (time.monotonic() - begin)
        grown = (source.peak - before) / 2**20
        refused = source.observed()
        send_label(source.at.labels, "honest", {"class": "x"}, offset=source.read)
        goal = source.sent
        source.until(lambda: source.read >= goal, f"{goal - source.read} frames never come")
    counts = ", ".join(f"{why} {count}" for why, count in sorted(refused.items()))
    showed = f"+{grown:.0f} MiB, {rate:.0f} of {RATE} frames/s; refused: {counts}"
    assert grown < BOUND, showed
    assert rate > RATE / 2, showed
    assert not [why for why in expected if not refused[why]], showed
    return showed


def flood(address: str, kind: str, data: bytes, most: int = 1 << 28) -> None:
    """Send the same bytes again and again until the other side closes the connection."""
    with Raw(address, kind, timeout=1.0) as raw:
        for _ in range(most // len(data)):
            if not raw.send(data):
                return


@torture(minutes=3)
def messages_of_empty_parts_without_end(trial: Trial) -> str:
    """A message that never ends, of parts of no byte, to each socket of a source."""

    def attack(at: Addresses, random: Random) -> None:
        socket = random.randrange(4)
        flood(at[socket], KINDS[socket], part(b"", more=True) * 4096)

    return attacked(trial, attack, "endless", "tap: endless", "devices: endless", "labels: endless")


@torture(minutes=3)
def messages_of_large_parts_without_end(trial: Trial) -> str:
    """A message that never ends, of parts as long as they may be, to each socket of a source."""

    def attack(at: Addresses, random: Random) -> None:
        socket, size = random.choice([(0, 1 << 20), (1, 4096), (2, 1000), (3, 1 << 16)])
        flood(at[socket], KINDS[socket], part(bytes(size), more=True))

    return attacked(trial, attack, "endless", "tap: endless", "devices: endless", "labels: endless")


@torture(minutes=3)
def subscriptions_without_end(trial: Trial) -> str:
    """One observer after the other subscribes to a million topics, and to some of 64 MiB."""

    random = trial.random()
    topics = [random.randbytes(12) for _ in range(1 << 16)]
    many = b"".join(map(subscription, topics))
    long = part(b"\x01" + bytes(1 << 26))

    def attack(at: Addresses, random: Random) -> None:
        flood(at.tap, "SUB", long if random.random() < 0.2 else many)

    return attacked(trial, attack, "tap: endless")


@torture(minutes=3)
def subscriptions_that_change_all_the_time(trial: Trial) -> str:
    """Observers subscribe and unsubscribe as fast as they can, eight at once."""

    def attack(at: Addresses, random: Random) -> None:
        both = subscription(b"frame") + subscription(b"frame", yes=False)
        threads = [threading.Thread(target=flood, args=(at.tap, "SUB", both * 64)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return attacked(trial, attack, "tap: endless")


@torture(minutes=3)
def observers_that_never_read(trial: Trial) -> str:
    """Sixteen observers subscribe to everything and read nothing."""

    def attack(at: Addresses, random: Random) -> None:
        with contextlib.ExitStack() as stack:
            raws = [stack.enter_context(Raw(at.tap, "SUB")) for _ in range(16)]
            for raw in raws:
                raw.send(subscription(b""))
            time.sleep(10)

    return attacked(trial, attack, "tap: behind")


@torture(minutes=3)
def readers_that_never_read(trial: Trial) -> str:
    """Strangers ask an outlet for frames, under the reader's name and others, and read no answer."""

    def attack(at: Addresses, random: Random) -> None:
        name = random.choice(["r", "x" * 200])
        fetch = messages.encode(messages.Fetch(name, "", 0, 1024))
        flood(at.outlet, "DEALER", framed(fetch) * 64)

    return attacked(trial, attack, "nonsense")


@torture(minutes=3)
def thousands_of_connections(trial: Trial) -> str:
    """1,200 connections to each socket, of which half say nothing at all, and more whenever one is closed."""

    def attack(at: Addresses, random: Random) -> None:
        with contextlib.ExitStack() as stack:
            for number in range(1200):
                for address, kind in zip(at, KINDS, strict=True):
                    with contextlib.suppress(OSError):
                        stack.enter_context(Raw(address, kind if number % 2 else ""))
            time.sleep(6)

    return attacked(trial, attack, "connections", "tap: connections", "labels: connections", "devices: handshake")


@torture(minutes=3)
def messages_of_nonsense(trial: Trial) -> str:
    """Messages that are none, as fast as they can be sent, to devices, outlet and labels."""

    def attack(at: Addresses, random: Random) -> None:
        socket = random.choice([0, 1, 3])
        nonsense = [
            framed(random.randbytes(50)),
            framed(*[b""] * 2000),
            framed(*message("nobody", data=np.zeros((8, 9), np.int16))),
            framed(messages.encode(messages.Commit("r", "", 1 << 40))),
        ]
        flood(at[socket], KINDS[socket], random.choice(nonsense) * 64, most=1 << 24)

    return attacked(trial, attack, "nonsense")
