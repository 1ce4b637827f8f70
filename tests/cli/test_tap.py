"""`tap` prints what passes: names as text, nothing that a terminal obeys, and it survives whatever is published."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from helpers.commands import ENVIRONMENT, call, command
from helpers.wire import status

from stream_infomax.frames import wire
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.transport import messages
from stream_infomax.transport.tap import FRAME, STATUS

HOSTILE = "\x1b]0;x\x07\x1b[2J\u202e\nforged line"


class Stranger:
    """Publishes anything at a tap's address."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket

    def send(self, *parts: bytes) -> None:
        self.socket.send_multipart(parts)

    def send_frame(self, frame: Frame) -> None:
        self.send(FRAME, messages.encode(messages.Sent("log", frame.offset, 0.0, 0.0)), *wire.encode(frame))

    def finish(self, newest: int) -> None:
        self.send(STATUS, messages.encode(status(newest, finished=True)))


@contextmanager
def observed(folder: Path) -> Iterator[tuple[Stranger, "subprocess.Popen[str]"]]:
    """Yield a stranger to whom `tap` listens, and that command."""
    address = f"ipc://{folder}/tap"
    with zmq.Context() as context, closing(context.socket(zmq.XPUB)) as socket:
        socket.linger = 0
        socket.bind(address)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command("tap", address), text=True, env=ENVIRONMENT, **streams) as observer:
            try:
                for _ in range(2):  # it subscribes to frames and to statuses
                    assert socket.poll(30_000)
                    socket.recv()
                yield Stranger(socket), observer
            finally:
                observer.kill()


def test_names_from_outside_are_printed_as_text(tmp_path: Path) -> None:
    arrays = {HOSTILE: Array(np.zeros((3, 2), np.float32), ("time", "x"))}
    frame = Frame(HOSTILE, 7, HOSTILE, arrays, labels={HOSTILE: HOSTILE, "long": "x" * 900}, time=1e300)
    with observed(tmp_path) as (stranger, observer):
        stranger.send_frame(frame)
        stranger.finish(7)
        output, errors = observer.communicate(timeout=30)
    assert (observer.returncode, errors) == (0, "")
    (line,) = output.splitlines()
    assert line.isprintable()
    assert line.count(r"\x1b]0;x\x07\x1b[2J\u202e\nforged line") == 5
    assert len(line) < 600


def test_an_event_stands_behind_its_frame(tmp_path: Path) -> None:
    event = Event(stage="learner", position=12_000, kind="change", text=f"the variance doubled {HOSTILE}")
    with observed(tmp_path) as (stranger, observer):
        stranger.send_frame(Frame("a", 7, events=(event,)))
        stranger.finish(7)
        output, errors = observer.communicate(timeout=30)
    assert (observer.returncode, errors) == (0, "")
    frame, line = output.splitlines()
    assert frame.startswith("7  a")
    assert line.startswith(r"    learner, row 12,000, change: the variance doubled \x1b]0;x\x07")
    assert line.isprintable()


@pytest.mark.parametrize("topic", [FRAME, STATUS])
def test_malformed_messages_are_counted_and_passed_over(topic: bytes, tmp_path: Path) -> None:
    nested = msgspec.msgpack.encode({"kind": "frame", "deep": None})[:-1] + b"\x91" * 100_000 + b"\xc0"
    head = messages.encode(messages.Sent("log", 1, 0.0, 0.0))
    hostile = [
        (),
        (b"",),
        (b"\xff" * 100,),
        (b"\x80",),
        (b"\xa4\xff\xff\xff\xff",),
        (nested,),
        (nested, nested),
        (head,),
        (head, nested),
        (head, b"\x81\xa1a\xa1\xff"),
        (head, b"", b""),
        (head, *[b"x"] * 200),
    ]
    with observed(tmp_path) as (stranger, observer):
        for parts in hostile:
            stranger.send(topic, *parts)
        stranger.send_frame(Frame("ear", 3, time=1.5))
        stranger.finish(3)
        output, errors = observer.communicate(timeout=30)
    assert (observer.returncode, errors) == (0, "")
    assert output.splitlines() == [
        "3  ear  1.500 s",
        f"{len(hostile)} messages passed over: they are neither a frame nor a status",
    ]


def test_an_address_in_an_error_is_text_too(tmp_path: Path) -> None:
    refused = call("tap", f"nowhere://{HOSTILE}", folder=tmp_path)
    assert refused.code == 2
    assert refused.errors.strip().isprintable()
