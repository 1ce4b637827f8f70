"""A source and a stage for tests, and a script that runs them as services: ``toys.py ROLE key=value …``."""

from __future__ import annotations

import itertools
import json
import math
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import zmq

from stream_infomax.frames.contracts import Counts, Pipeline, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.journal.settings import JournalSettings
from stream_infomax.service import loop
from stream_infomax.service.process import FromLog, FromSource, Service, run
from stream_infomax.settings.record import make
from stream_infomax.sinks.store import FrameStore
from stream_infomax.transport import inlet


class Keeping(zmq.Context):
    """A context whose sockets live as long as it does."""

    kept: ClassVar[list[zmq.Socket[bytes]]] = []

    def socket(self, *arguments: Any, **settings: Any) -> zmq.Socket[bytes]:
        socket = super().socket(*arguments, **settings)
        self.kept.append(socket)
        return socket


ROWS = 4
WIDTH = 8


class Counting:
    """A seekable source: frame n holds random rows that depend on the seed and n alone."""

    name = "source"

    def __init__(self, n_frames: int = 100, seed: int = 0, rate: float = 1000.0) -> None:
        self.n_frames = n_frames
        self.seed = seed
        self.rate = rate

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for offset in range(start, self.n_frames):
            rows = np.random.default_rng((self.seed, offset)).standard_normal((ROWS, WIDTH)).astype(np.float32)
            yield Frame(
                stream="toy",
                offset=offset,
                arrays={"source": Array(rows, ("item", "component"))},
                end=offset == self.n_frames - 1,
                time=offset * ROWS / self.rate,
                rate=self.rate,
            )

    def __len__(self) -> int:
        return self.n_frames

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Nothing can have changed."""

    def counts(self) -> Counts:
        return {"seed": self.seed}


class Device:
    """A live source: frame n comes when somebody pushes the number n, the last one with `end` behind it."""

    name = "source"

    def __init__(self, address: str) -> None:
        self.finished = False
        self.lost: Counter[str] = Counter()
        self.address = address
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self.sockets = (self._socket,)
        self._n_received = 0

    def open(self) -> None:
        self._socket.bind(self.address)

    def receive(self) -> Frame | None:
        try:
            number, _, end = self._socket.recv_string(zmq.NOBLOCK).partition(" ")
        except zmq.Again:
            return None
        self._n_received += 1
        self.finished = bool(end)
        (frame,) = Counting(int(number) + 1).frames(int(number))
        return msgspec.structs.replace(frame, offset=-1, end=self.finished, labels={"number": number})

    def due(self) -> float:
        return math.inf

    def close(self) -> None:
        self._context.destroy(linger=0)

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """What came before is gone."""

    def counts(self) -> Counts:
        return {"received": self._n_received}


class Summing:
    """A stage whose every output depends on every input before it, to the last bit."""

    def __init__(self, name: str = "sum", input: str = "source", poison: int = -1, hold: int = -1) -> None:
        self.name = name
        self.input = input
        # The offset at which it raises, and the one from which on it says so, once, and waits for a line on stdin.
        self.poison = poison
        self.hold = hold
        self.total = np.zeros(WIDTH)
        self.rng = np.random.default_rng(7)

    def process(self, frame: Frame) -> Frame:
        if not frame.arrays:
            return frame
        if frame.offset == self.poison:
            raise ValueError("this one is poison")
        if 0 <= self.hold <= frame.offset:
            self.hold = -1
            print("HOLD", flush=True)
            sys.stdin.readline()
        rows = frame.arrays[self.input].rows()
        outputs = np.empty_like(rows)
        for index, row in enumerate(rows):
            self.total = 0.99 * self.total + row * self.rng.uniform()
            outputs[index] = self.total
        return frame.extend({self.name: Array(outputs, ("item", "component"))})

    def state(self) -> State:
        return {"total": self.total, "rng": self.rng.bit_generator.state}

    def restore(self, state: State) -> None:
        self.total = state["total"].copy()
        self.rng.bit_generator.state = state["rng"]

    def measures(self) -> list[Measure]:
        return []

    def counts(self) -> Counts:
        return {"norm": np.linalg.norm(self.total)}  # a numpy number, as stages tend to give


def slow_disk(seconds: float) -> None:
    """Take so long for each file that is to be on disk."""
    sync = os.fsync

    def slowly(descriptor: int) -> None:
        time.sleep(seconds)
        sync(descriptor)

    os.fsync = slowly


def strange_clock() -> None:
    """Set the clock of this process back and forth by an hour, again and again."""
    true, calls = time.time, itertools.count()
    time.time = lambda: true() + (-3600.0, 0.0, 3600.0)[next(calls) // 50 % 3]


def main(role: str, settings: dict[str, Any]) -> int:
    folder = Path(settings.pop("folder"))
    name = settings.pop("name", role)
    pace = settings.pop("pace", "fast")
    address = settings.pop("inlet", f"ipc://{folder}/source.outlet")
    device = settings.pop("device", "")
    largest = settings.pop("largest_file", resource.RLIM_INFINITY)  # stands for a disk that is full
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    if seconds := settings.pop("slow_disk", 0.0):
        slow_disk(seconds)
    if settings.pop("strange_clock", False):
        strange_clock()
    loop.FAREWELL = settings.pop("farewell", loop.FAREWELL)
    inlet.UNANSWERED = settings.pop("unanswered", inlet.UNANSWERED)
    keys = ("n_frames", "seed", "rate", "poison", "hold", "input")
    toy = {key: settings.pop(key) for key in keys if key in settings}
    service = Service(
        name=name,
        labels=settings.pop("labels", ""),
        outlet=settings.pop("outlet", f"ipc://{folder}/{name}.outlet"),
        tap=settings.pop("tap", f"ipc://{folder}/{name}.tap"),
        folder=folder / name,
        readers=tuple(settings.pop("readers", ())),
        journal=make(JournalSettings, settings.pop("journal", {})),
        **settings,
    )
    if role == "source":
        return run(service, FromSource(Device(device) if device else Counting(**toy), pace))
    if role == "recorder":
        return run(replace(service, outlet=""), FromLog(address), sinks=[FrameStore(service.folder)])
    return run(service, FromLog(address), Pipeline([Summing(name, **toy)], name))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], json.loads(sys.argv[2])))
