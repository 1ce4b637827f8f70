"""Mutated messages against the sockets of a service that learns: the basis is what it would be without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from helpers.held import rows_of

from stream_infomax import LearnerStage
from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.sources.devices import DevicesSource
from stream_infomax.state import file as state_file
from stream_infomax.transport import messages
from stream_infomax.transport.control import Control
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.tap import Tap
from torture.decoders import LOG, WORDS, pushed
from torture.frame import Trial, torture
from torture.fuzz_messages import GROWTH, resident
from torture.mutations import Parts, mutated

# Mutated messages to each socket between two messages of the device.
BETWEEN, SOCKETS = 250, 5


def sent(number: int) -> Frame:
    """Return what the device sends that means well."""
    rows = Array(rows_of(number, 60), ("time", "channel"))
    return Frame("good", number, arrays={"source": rows}, time=1.0 + number, rate=60.0)


class Service:
    """A source of devices with labels, a learner behind it, its log and its tap, all of them at real addresses."""

    def __init__(self, trial: Trial) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.source = DevicesSource(bind=f"ipc://{trial.folder}/devices", row=[6], axes=["time", "channel"])
        self.source.open()
        self.labels = LateLabels(self.context, f"ipc://{trial.folder}/labels")
        self.log = OutputLog(["reader"], policy="drop-oldest", max_frames=64)
        self.outlet = Outlet(self.context, f"ipc://{trial.folder}/outlet", self.log, LOG)
        self.tap = Tap(self.context, f"ipc://{trial.folder}/tap")
        self.control = Control(self.context, f"ipc://{trial.folder}/control")
        self.stage = LearnerStage("learner", "source", block=16)
        self.n_frames = 0

    def serve(self) -> None:
        """Do what waits at the sockets."""
        while (frame := self.source.receive()) is not None:
            if not frame.arrays:  # a label that came late; some are right
                continue
            made = self.stage.process(Frame("good", self.n_frames, arrays=frame.arrays, rate=60.0))
            self.log.append(self.n_frames, wire.encode(made))
            self.n_frames += 1
        while self.labels.receive() is not None:
            pass
        self.outlet.answer()
        self.tap.attend()
        for asked in self.control.asked():
            self.control.answer(asked, messages.Accepted(asked.order.id, self.n_frames))

    def close(self) -> None:
        """Let everything go."""
        self.source.close()
        self.labels.close()
        self.outlet.close()
        self.tap.close()
        self.control.close()
        self.context.destroy(0)


def connected(context: zmq.Context[Any], kind: int, address: str) -> zmq.Socket[bytes]:
    """Return a socket of a stranger."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(address)
    return socket


def strangers(service: Service, context: zmq.Context[Any]) -> list[tuple[zmq.Socket[bytes], list[Parts]]]:
    """Return sockets at each address, and messages that would be right there."""
    requests = [[messages.encode(word)] for word in WORDS["request"]]
    subscriptions = [[b"\1frame"], [b"\1"], [b"\0frame"], [b"\1basis"], [b"\1status"]]
    return [
        (connected(context, zmq.PUSH, service.source.address), pushed()),
        (connected(context, zmq.PUSH, service.labels.address), pushed()[-3:]),
        (connected(context, zmq.DEALER, service.outlet.address), requests),
        (connected(context, zmq.XSUB, service.tap.address), subscriptions),
        (connected(context, zmq.DEALER, service.control.address), [[messages.encode(word)] for word in WORDS["order"]]),
    ]


def served(service: Service, done: Callable[[], bool]) -> None:
    """Serve until something is so."""
    for _ in range(100_000):
        if done():
            return
        service.serve()
    raise AssertionError(f"what the device sent never arrived: {service.n_frames}, {service.source.counts()}")


@torture(minutes=60, short=0.001)
def fuzz_of_sockets(trial: Trial) -> str:
    """Do 1,000,000 mutated messages to the sockets of a service change a bit of what it learns, or let it grow?"""
    generator = trial.random()
    rounds = trial.times(1_000_000 // (SOCKETS * BETWEEN), least=2)
    service = Service(trial)
    context: zmq.Context[Any] = zmq.Context()
    alone = LearnerStage("learner", "source", block=16)
    before = 0.0
    try:
        device = connected(context, zmq.PUSH, service.source.address)
        others = strangers(service, context)
        for number in range(rounds):
            for _ in range(BETWEEN):
                for socket, seeds in others:
                    socket.send_multipart(mutated(generator, seeds) or [b""])
                service.serve()
                for asking in (others[2][0], others[4][0]):
                    while asking.poll(0):
                        asking.recv_multipart()
            device.send_multipart(wire.encode_pushed(sent(number), number, "one"))
            served(service, lambda number=number: service.n_frames == number + 1)
            alone.process(sent(number))
            if number == rounds // 5:
                before = resident()
            trial.progress(number + 1, rounds)
        grown = resident() - before
        assert grown < GROWTH, f"grew by {grown:.0f} MiB"
        same(*(saved(trial, stage) for stage in (alone, service.stage)))
        refused = sum(n for what, n in service.source.counts().items() if "refused" in what)
        return (
            f"{SOCKETS * BETWEEN * rounds:,} messages, {rounds} frames of a device among them: no bit differs; "
            f"refused: {refused:,} of devices, {service.outlet.refused.total():,} requests, "
            f"{service.control.refused.total():,} commands"
        )
    finally:
        context.destroy(0)
        service.close()


def saved(trial: Trial, stage: LearnerStage) -> Any:
    """Return the state of a learner as a file has it."""
    state_file.save(trial.folder / "state", {"state": stage.state()["learner"]})
    return state_file.load(trial.folder / "state")["state"]


def same(one: Any, other: Any, path: str = "state") -> None:
    """Check that two states are the same to the last bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, np.ndarray):
        assert one.tobytes() == other.tobytes(), f"{path} differs"
    else:
        assert one == other or one != one, f"{path}: {one!r} and {other!r}"
