"""Devices and observers in other languages, as examples/ has them: built, started, and held to docs/protocol.md."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq
from helpers.clients import EXAMPLES, LONG, SANITIZERS, VALGRIND, Source, check_device, compiled, ends, has, running
from helpers.commands import command
from helpers.wire import status

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.transport import messages
from stream_infomax.transport.tap import FRAME, STATUS, Tap

Program = Callable[[str], Sequence[object]]
LANGUAGES = [
    pytest.param("gcc", marks=has("gcc")),
    pytest.param("clang", marks=has("clang")),
    pytest.param("javascript", marks=has("node", "npm")),
    "python",
]


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in JavaScript, with their packages installed; skips where npm cannot have them."""
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copytree(EXAMPLES / "javascript", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    # zeromq comes with its binaries; without scripts nothing is compiled.
    install = [
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--fetch-retries=0",
    ]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and any(
        word in done.stderr for word in ("ENOTFOUND", "EAI_AGAIN", "ECONN", "ETIMEDOUT", "network")
    ):
        pytest.skip(f"npm has no network: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(params=LANGUAGES)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """What starts an example in one of the languages, by its name."""
    if request.param == "python":
        return lambda name: (sys.executable, "-P", "-W", "error", EXAMPLES / "python" / f"{name}.py")
    if request.param == "javascript":
        folder = request.getfixturevalue("javascript")
        return lambda name: ("node", folder / f"{name}.mjs")
    return lambda name: (compiled(EXAMPLES / "c" / f"{name}.c", tmp_path, request.param),)


@contextmanager
def watched(*command: object, address: str) -> Iterator[tuple[Tap, "subprocess.Popen[str]"]]:
    """Start an observer of a tap and yield both, once it listens to frames and to statuses."""
    with zmq.Context() as context, closing(Tap(context, address)) as tap, running(*command, address) as observer:
        while len(tap._topics) < 2 and observer.poll() is None:
            tap.socket.poll(1000)
            tap.attend()
        yield tap, observer
    tap.release()


def frame(offset: int, stream: str = "ear") -> Frame:
    arrays = {
        "source": Array(np.full((2, 3), 0.5, np.float32), ("time", "channel")),
        "learner": Array(np.arange(4, dtype=np.int64)[None], ("time", "component")),
    }
    return Frame(stream, offset, "a.wav", arrays=arrays, time=1.5, rate=8.0, labels={"word": "seven"})


def words(line: str) -> str:
    """Return a line of an observer as those of all languages have it."""
    return " ".join(line.replace('"', "").replace("'", "").split())


# --- devices ---------------------------------------------------------------------------------------------------------


def test_a_device_pushes_counted_frames_and_ends_its_stream(program: Program, context, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/devices"
    source = Source(context, address)
    arguments = ("-f", 12, address, "ear") if len(program("device")) == 1 else (address, "ear", 12)
    with running(*program("device"), *arguments) as device:
        check_device(source.until(lambda frame: frame.end), "ear")
        assert ends(device) == "12 frames, 3840 rows, 0 frames dropped\n"


def test_a_device_that_is_interrupted_ends_its_stream(program: Program, context, tmp_path: Path) -> None:
    source = Source(context, f"ipc://{tmp_path}/devices")
    with running(*program("device"), f"ipc://{tmp_path}/devices", "ear") as device:
        received = [source.receive() for _ in range(3)]
        device.send_signal(signal.SIGINT)
        received += source.until(lambda frame: frame.end)
        assert ends(device).startswith(f"{len(received)} frames, ")
    check_device(received, "ear")


@has("gcc")
def test_what_a_device_drops_is_counted_and_shows_in_its_counter(context, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/devices"
    device = compiled(EXAMPLES / "c" / "device.c", tmp_path)
    rows = np.arange(3000, dtype="<f4")
    arguments = (device, "-i", "-", "-n", 10, "-q", 7, address, "ear")
    with running(*arguments, stdin=subprocess.PIPE) as process:  # nobody is there yet
        process.stdin.buffer.write(rows.tobytes())
        process.stdin.close()
        source = Source(context, address)
        process.stdin = None
        received = []
        while process.poll() is None or source.socket.poll(0):
            if source.socket.poll(20):
                received.append(source.receive())
        output, errors = process.communicate(timeout=LONG)
    assert errors == ""
    dropped = int(output.split(", ")[2].split()[0])
    assert output.startswith("301 frames, 3000 rows, ")
    assert len(received) == 301 - dropped
    for header, frame in received:
        data = frame.arrays["source"].data[:, 0]
        np.testing.assert_array_equal(data, rows[10 * header["count"] :][: len(data)])


@has("gcc", "valgrind")
def test_a_device_in_c_sends_a_file_whole_and_leaks_nothing(context, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/devices"
    rows = np.random.default_rng(0).standard_normal((5003, 3)).astype("<f4")
    (tmp_path / "rows").write_bytes(rows.tobytes() + b"\x01\x02")
    device = compiled(EXAMPLES / "c" / "device.c", tmp_path)
    source = Source(context, address)
    with running(
        *VALGRIND, device, "-w", "-c", 3, "-n", 100, "-q", 2, "-i", tmp_path / "rows", address, "ear"
    ) as process:
        received = source.until(lambda frame: frame.end)
        output, errors = process.communicate(timeout=LONG)
    assert (process.returncode, output) == (0, "51 frames, 5003 rows, 0 frames dropped\n"), errors
    assert errors == "device: the last 2 bytes are no whole row, and are left out\n"
    np.testing.assert_array_equal(np.concatenate([frame.arrays["source"].data for _, frame in received]), rows)


@has("gcc")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage: device"),
        (("-r", "fast", "ipc:///x", "ear"), "-r fast: accepted is a number from 0.001 to 1e+09"),
        (("-c", "0", "ipc:///x", "ear"), "-c 0: accepted is a number from 1 to 64"),
        (("ipc:///x", ""), "STREAM: accepted is a name of 1 to 1024 bytes"),
        (("nowhere", "ear"), "nowhere: Invalid argument"),
        (("-i", "/nowhere", "ipc:///x", "ear"), "/nowhere: No such file or directory"),
    ],
)
def test_a_device_in_c_says_what_it_accepts(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    device = compiled(EXAMPLES / "c" / "device.c", tmp_path)
    done = subprocess.run([device, *arguments], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr


# --- observers of a tap ----------------------------------------------------------------------------------------------


def test_an_observer_prints_frames_and_counts_those_it_missed(program: Program, tmp_path: Path) -> None:
    with watched(*program("tap_reader"), address=f"ipc://{tmp_path}/tap") as (tap, observer):
        for offset in (3, 4, 7):
            tap.frame(Output(frame(offset)))
        tap.status(status(9, finished=True))
        lines = [words(line) for line in ends(observer).splitlines()]
    assert len(lines) == 4
    for line, offset, missed in zip(lines, (3, 4, 7), (0, 0, 2), strict=False):
        assert line.startswith(f"{offset} ear source 2x3 float32")
        assert "learner 1x4 int64" in line
        assert line.endswith(f"missed {missed}")
    assert lines[-1] == "ended at 7, missed 4, refused 0"


def test_an_observer_measures_latency_by_the_transport_part(program: Program, tmp_path: Path) -> None:
    with watched(*program("tap_reader"), address=f"ipc://{tmp_path}/tap") as (tap, observer):
        tap.frame(Output(frame(0), origin=time.time() - 5))
        tap.status(status(0, finished=True))
        line = ends(observer).splitlines()[0]
    latency = float(line.split("latency ")[1].split()[0])
    assert 5000 <= latency < 5000 + 1000 * LONG


def test_an_observer_passes_over_and_counts_what_is_no_frame(program: Program, tmp_path: Path) -> None:
    head = messages.encode(messages.Sent("log", 1, 0.0, 0.0))
    header, *payloads = wire.encode(frame(1))
    hostile = [
        (FRAME,),
        (FRAME, b""),
        (FRAME, head),
        (FRAME, head, header),
        (FRAME, head, header, *payloads[:1]),
        (FRAME, head, header, *payloads, b""),
        (FRAME, head, header, payloads[0], payloads[1][:-1]),
        (FRAME, head, header[:-5], *payloads),
        (FRAME, head, header.replace(b"version\x01", b"version\x02"), *payloads),
        (FRAME, head, header.replace(b"float32", b"float99"), *payloads),
        (FRAME, head, b"\xc1" * 30, *payloads),
        (FRAME, head, b"\x91" * 100_000, *payloads),
        (FRAME, head, b"\xdf\xff\xff\xff\xff", *payloads),
        (FRAME, *[b"x"] * 200),
        (STATUS, b"\xff\xff"),
        (STATUS, b"\x81\xa8finished"),
    ]
    with watched(*program("tap_reader"), address=f"ipc://{tmp_path}/tap") as (tap, observer):
        for parts in hostile:
            tap.socket.send_multipart(parts)
        tap.frame(Output(frame(1)))
        tap.status(status(1, finished=True))
        first, last = ends(observer).splitlines()
    assert words(first).startswith("1 ear source 2x3 float32")
    assert last == f"ended at 1, missed 0, refused {len(hostile)}"


@has("gcc")
def test_the_observer_in_c_survives_any_bytes(tmp_path: Path) -> None:
    draw = random.Random(0)
    reader = compiled(EXAMPLES / "c" / "tap_reader.c", tmp_path, "gcc", *SANITIZERS)
    parts = [messages.encode(messages.Sent("log", 1, 1.5, 2.5)), *wire.encode(frame(1))]
    with watched(reader, address=f"ipc://{tmp_path}/tap") as (tap, observer):
        for _ in range(1500):
            changed = [bytearray(part) for part in parts]
            for _ in range(draw.randint(1, 4)):
                part = changed[draw.randrange(2)]
                if part and draw.random() < 0.8:
                    part[draw.randrange(len(part))] = draw.randrange(256)
                else:
                    del part[draw.randrange(len(part) + 1) :]
            tap.socket.send_multipart([FRAME, *changed])
            tap.socket.send_multipart([STATUS, changed[0]])
        tap.status(status(2, finished=True))
        output = ends(observer)
    refused = int(output.rsplit("refused ", 1)[1])
    assert 500 < refused < 1500


@has("gcc", "valgrind")
def test_the_observer_in_c_leaks_nothing(tmp_path: Path) -> None:
    reader = compiled(EXAMPLES / "c" / "tap_reader.c", tmp_path)
    with watched(*VALGRIND, reader, address=f"ipc://{tmp_path}/tap") as (tap, observer):
        for offset in range(20):
            tap.frame(Output(frame(offset)))
            tap.socket.send_multipart([FRAME, *[b"x" * 50] * (offset * 8)])
        tap.status(status(19, finished=True))
        assert ends(observer).splitlines()[-1].startswith("ended at 19, missed 0, refused 2")


@has("gcc")
def test_the_program_that_measures_latency_measures(tmp_path: Path) -> None:
    program = compiled(EXAMPLES.parent / "benchmarks" / "device_latency.c", tmp_path, "gcc", "-pthread")
    with running(program, f"ipc://{tmp_path}/devices", "-", 20) as process:
        lines = [[float(word) for word in line.split()] for line in ends(process).splitlines()]
    assert [line[0] for line in lines] == list(range(20))
    assert all(0 < line[4] < 1e6 * LONG for line in lines)


# --- both, and a run between them -------------------------------------------------------------------------------------

RUN = """
[run]
folder = "{folder}"

[source]
kind = "devices"
ends = true

[[stage]]
name = "windows"
kind = "windows"
length = 16
hop = 16
service = "learner"

[[stage]]
name = "learner"
kind = "learner"
"""


def test_a_device_a_run_and_an_observer(program: Program, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN.format(folder=tmp_path / "run"))
    with (
        running(*program("tap_reader"), f"ipc://{tmp_path}/run/learner.tap") as observer,
        running(*command("run", "run.toml", "--plain"), cwd=tmp_path) as run,
        running(*program("device"), f"ipc://{tmp_path}/run/source.devices", "ear") as device,
    ):
        lines = [words(observer.stdout.readline()) for _ in range(30)]
        device.send_signal(signal.SIGINT)
        n_frames, _, dropped = (int(words.split()[0]) for words in ends(device).split(", "))
        assert run.communicate(timeout=LONG)[1] == ""
        assert run.returncode == (3 if dropped else 0)
        last = ends(observer).splitlines()[-1]
    offsets = [int(line.split()[0]) for line in lines]
    assert offsets == list(range(offsets[0], offsets[0] + 30))
    assert all(" ear learner 20x" in line and "latency" in line and line.endswith("missed 0") for line in lines)
    assert last == f"ended at {n_frames - dropped - 1}, missed 0, refused 0"
    # While the run started, the device had to drop what it could not keep: its counter told the source.
    summary = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]
    assert (summary["frames"], sum(summary["lost"].values())) == (n_frames - dropped, dropped)
