"""Programs in other languages: built and started as their users would, with sockets of the tests at the other end."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = 60.0
WARNINGS = ("-std=c99", "-pedantic", "-O2", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
VALGRIND = ("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite")


def has(*programs: str) -> pytest.MarkDecorator:
    """Mark a test that needs programs which are no Python packages."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def compiled(source: Path, folder: Path, compiler: str = "gcc", *flags: str) -> Path:
    """Compile a program in C with all warnings as errors; skip where the library is missing."""
    binary = folder / f"{source.stem}-{compiler}"
    arguments = [compiler, *WARNINGS, *flags, str(source), "-o", str(binary), "-lzmq", "-lm"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=LONG, check=False)
    if "zmq.h" in done.stderr and "No such file" in done.stderr:
        pytest.skip("not installed: zmq.h (libzmq3-dev)")
    assert done.returncode == 0, done.stderr
    return binary


@contextmanager
def running(*arguments: object, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start a program; it does not outlive the block."""
    with subprocess.Popen(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ends(process: "subprocess.Popen[str]") -> str:
    """Wait for the good end of a program and return what it printed."""
    output, errors = process.communicate(timeout=LONG)
    assert (process.returncode, errors) == (0, ""), output
    return output


class Source:
    """What stands where a device pushes to, in a test."""

    def __init__(self, context: "zmq.Context[Any]", address: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.PULL)
        self.socket.bind(address)

    def receive(self) -> tuple[dict[str, Any], Frame]:
        """Return the next header as it is, and the frame without what only pushed frames have."""
        assert self.socket.poll(1000 * LONG), "no frame came"
        first, *payloads = self.socket.recv_multipart()
        header = msgspec.msgpack.decode(first)
        known = {key: value for key, value in header.items() if key not in ("count", "session")}
        return header, wire.decode([msgspec.msgpack.encode(known), *payloads])

    def until(self, done: Callable[[Frame], bool]) -> list[tuple[dict[str, Any], Frame]]:
        """Return the frames up to the first for which `done` holds."""
        received = [self.receive()]
        while not done(received[-1][1]):
            received.append(self.receive())
        return received


def check_device(received: Sequence[tuple[dict[str, Any], Frame]], stream: str, rate: float = 16000.0) -> None:
    """Check what the devices among the examples promise: each frame counted, timed, and a sine in its rows."""
    assert [header["count"] for header, _ in received] == list(range(len(received)))
    assert len({header["session"] for header, _ in received}) == 1
    assert {frame.stream for _, frame in received} == {stream}
    assert [frame.end for _, frame in received] == [False] * (len(received) - 1) + [True]
    begun = received[0][1].time
    rows = 0
    for _, frame in received:
        data = frame.arrays["source"].data
        assert (frame.rate, frame.arrays["source"].axes, data.dtype) == (rate, ("time", "channel"), np.float32)
        assert frame.time == pytest.approx(begun + rows / rate, abs=1e-6)
        phase = 2 * np.pi * (rows + np.arange(len(data))[:, None] - np.arange(data.shape[1])) / 100
        assert np.abs(data - 0.5 * np.sin(phase)).max() <= 0.0501
        rows += len(data)
