"""`conform` as a person who writes a device gives it: what it prints and its exit codes."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from helpers.commands import ENVIRONMENT, Ended, call, command, ended

HOSTILE = "\x1b]0;x\x07\x1b[2J\u202e\nforged line"


class Device:
    """Pushes anything to `conform`."""

    def __init__(self, socket: zmq.Socket[bytes], process: "subprocess.Popen[str]") -> None:
        self.socket = socket
        self.process = process

    def push(self, count: int, **changes: Any) -> None:
        rows = np.random.default_rng(count).laplace(size=(40, 1)).astype("<f4")
        array = {"name": "source", "dtype": "float32", "axes": ["time", "channel"], "shape": [40, 1]}
        header = {"version": 1, "stream": "ear", "session": "s", "rate": 2000.0, "time": count / 50, "arrays": [array]}
        self.socket.send_multipart([msgspec.msgpack.encode({**header, "count": count, **changes}), rows.tobytes()])

    def end(self) -> Ended:
        return ended(self.process)


@contextmanager
def listening(folder: Path, *options: object) -> Iterator[Device]:
    address = f"ipc://{folder}/devices"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        zmq.Context() as context,
        context.socket(zmq.PUSH) as socket,
        subprocess.Popen(command("conform", address, *options), text=True, env=ENVIRONMENT, **streams) as process,
    ):
        socket.linger = 0
        socket.connect(address)
        try:
            yield Device(socket, process)
        finally:
            process.kill()


def test_a_good_device_is_right(tmp_path: Path) -> None:
    with listening(tmp_path) as device:
        for count in range(30):
            device.push(count, end=count == 29)
        said = device.end()
    assert said.code == 0
    assert said.errors == f"waiting for a device at ipc://{tmp_path}/devices …\n"
    lines = said.output.splitlines()
    assert lines[0].startswith("30 messages in ")
    assert "ear: 30 messages, of them 30 frames of 1,200 rows" in lines
    assert "  right  count      0 … 29, none missing" in lines
    assert lines[-1] == "all is right"


def test_what_is_wrong_is_said_with_how_often_and_where(tmp_path: Path) -> None:
    with listening(tmp_path, "--frames", 12) as device:
        for count in range(10):
            device.push(count, **({"rate": "2 kHz"} if count in (3, 5) else {}))
        device.push(9)
        device.push(10, unit="V")
        said = device.end()
    assert said.code == 1
    assert "  wrong  rate       text, '2 kHz'; accepted is rows a second, a finite number >= 0 (2 times" in said.output
    assert "  look   count      9 after 9: sent twice, and dropped by a source (message 11)" in said.output
    assert "  wrong  'unit'     unknown key; accepted are version, stream, session, count" in said.output


def test_a_program_reads_the_same_as_json(tmp_path: Path) -> None:
    with listening(tmp_path, "--json", "--frames", 5) as device:
        for count in range(5):
            device.push(count, last=1)
        said = device.end()
    report = json.loads(said.output)
    assert (said.code, report["right"], report["messages"]) == (1, False, 5)
    (stream,) = report["streams"]
    assert (stream["stream"], stream["messages"], stream["frames"]) == ("ear", 5, 0)
    assert stream["notes"] == [
        {
            "field": "last",
            "verdict": "wrong",
            "text": "an integer, 1; accepted is true or false",
            "times": 5,
            "first": 1,
        }
    ]


def test_hostile_bytes_are_named_as_text(tmp_path: Path) -> None:
    parts = [b"", b"\xc1" * 20, b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xa1\xff", bytes((1 << 20) + 1)]
    with listening(tmp_path, "--frames", 2 * len(parts) + 2) as device:
        for part in parts:
            device.socket.send(part)
            device.socket.send_multipart([part] * 90)
        device.push(0, stream=HOSTILE, segment=HOSTILE)
        device.push(1, **{HOSTILE: HOSTILE})
        said = device.end()
    assert (said.code, said.errors.count("\n")) == (1, 1)
    assert all(line.isprintable() for line in said.output.splitlines())
    assert "Traceback" not in said.errors


def test_ctrl_c_ends_it_with_what_it_knows(tmp_path: Path) -> None:
    with listening(tmp_path) as device:
        assert device.process.stderr is not None
        device.process.stderr.readline()
        device.process.send_signal(signal.SIGINT)
        said = device.end()
    assert (said.code, said.output) == (
        1,
        "nothing came: does the device connect a PUSH socket to this address?\n",
    )


def test_an_address_that_a_source_has_is_refused(tmp_path: Path) -> None:
    with listening(tmp_path) as device:
        assert device.process.stderr is not None
        device.process.stderr.readline()
        refused = call("conform", f"ipc://{tmp_path}/devices", folder=tmp_path)
    assert refused.code == 2
    assert "address already in use" in refused.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere://x",), "cannot bind nowhere://x"),
        (("ipc:///nowhere/x",), "No such file or directory"),
        (("ipc://x", "--seconds", "0"), "--seconds 0.0: accepted is a number > 0"),
        (("ipc://x", "--frames=-1"), "--frames -1: accepted is a whole number >= 0"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    refused = call("conform", *arguments, folder=tmp_path)
    assert refused.code == 2
    assert message in refused.errors
    assert len(refused.errors.splitlines()) == 1
