"""Whatever strangers call their streams, segments and labels: no command hands it to a terminal as it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from helpers.commands import call
from helpers.wire import status
from msgspec import convert
from msgspec.structs import replace

from stream_infomax.cli.conform import _lines
from stream_infomax.frames import wire
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.settings.printable import as_json, printable
from stream_infomax.sources.devices import DevicesSource
from stream_infomax.transport import messages
from stream_infomax.transport.conform.listen import Listener
from stream_infomax.watch.board import Board

HOSTILE = "\x1b]0;title\x07\x1b[2J\nforged\r\x9b31m\u202e[bold]\u200b"
ROWS = {HOSTILE: Array(np.zeros((4, 2), np.float32), ("time", "channel"))}
EVENT = Event(stage=HOSTILE, position=1, kind="change", text=HOSTILE)


def checked(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith("forged")


@pytest.fixture
def published(tmp_path: Path) -> Iterator[str]:
    """The address of a tap that says all of it, again and again."""
    address = f"ipc://{tmp_path}/t"
    frame = Frame(HOSTILE, 0, HOSTILE, ROWS, labels={HOSTILE: HOSTILE}, events=(EVENT,), encoder=HOSTILE)
    said = status(0, finished=True, name=HOSTILE, lost={HOSTILE: 1}, events=[EVENT])
    ended = threading.Event()

    def publish() -> None:
        with zmq.Context() as context, context.socket(zmq.PUB) as socket:
            socket.bind(address)
            while not ended.wait(0.02):
                sent = messages.encode(messages.Sent("0" * 16, 0, 0.0, 0.0))
                socket.send_multipart([b"frame", sent, *wire.encode(frame)])
                socket.send_multipart([b"status", messages.encode(said)])

    thread = threading.Thread(target=publish)
    thread.start()
    yield address
    ended.set()
    thread.join()


def test_tap(published: str, tmp_path: Path) -> None:
    told = call("tap", published, folder=tmp_path)
    assert told.code == 0, told.errors
    assert "forged" in told.output
    checked(told.output + told.errors)


def test_conform() -> None:
    listener = Listener()
    for number in range(3):
        sent = Frame(HOSTILE, segment=HOSTILE, arrays=ROWS, labels={HOSTILE: HOSTILE}, rate=4.0, time=number + 1.0)
        listener.take(wire.encode_pushed(sent, number % 2, f"{number}{HOSTILE}"[:64]), float(number))
    report = listener.report()
    for line in _lines(report):
        checked(line)
    text = as_json(report)
    assert text.isascii()
    checked(text)
    assert json.loads(text)["messages"] == 3


def test_the_log_of_a_source_of_devices(caplog: pytest.LogCaptureFixture) -> None:
    source = DevicesSource(bind="ipc://nowhere")
    for number, session in ((0, "a"), (7, "a"), (0, HOSTILE[:60])):
        source._frame_of(wire.encode_pushed(Frame(HOSTILE, arrays=ROWS, rate=4.0), number, session), 1.0)
    source._frame_of([b"noise"], 1.0)
    assert len(caplog.messages) >= 2
    for message in caplog.messages:
        checked(printable(message))


def test_the_live_view_and_the_plain_line() -> None:
    from rich.console import Console

    measured = [{"stage": HOSTILE, "level": HOSTILE, "kind": "objective", "value": 1.0, "position": 5}]
    said = status(3, name=HOSTILE, lost={HOSTILE: 1}, refused={HOSTILE: 2}, events=[EVENT])
    board = Board(HOSTILE, [HOSTILE])
    board.change(HOSTILE, "running", 0)
    board.update(HOSTILE, replace(said, measures=convert(measured, list[Measure])))
    console = Console(width=200, height=60, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(board)
    checked(captured.get())
    checked(board.line())
