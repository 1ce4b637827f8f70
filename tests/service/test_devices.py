"""Devices that do wrong, and a source as it runs: it goes on and counts each by its reason; others do not notice."""

import contextlib
import resource
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest
import zmq
from helpers.devices import Device, message, rows
from helpers.served import ServedSource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FORM = 'axes = ["time", "channel"]\nrow = [2]\nrate = 100.0\n'


@pytest.fixture
def served(context, tmp_path):
    made = []

    def start(settings=FORM, **more):
        made.append(ServedSource(context, tmp_path, "devices", settings, **more))
        return made[-1]

    yield start
    for one in made:
        one.kill()


def address(source):
    return f"ipc://{source.folder}/source.devices"


def left_out(checkpoint):
    counts = checkpoint.counts["source"]
    return {key.removeprefix("left out: messages "): n for key, n in counts.items() if key.startswith("left out: ")}


def check_bits(source, device):
    """Check that all that a device has sent has arrived in order, to the last bit."""
    found = [frame.arrays["source"].data for frame in source.of(device.stream) if frame.arrays["source"].data.size]
    assert [data.tobytes() for data in found] == [data.tobytes() for data in device.sent]


def test_one_that_lies_skips_repeats_and_jumps_disturbs_nobody(context, served):
    source = served()
    liar, honest = (Device(context, address(source), name, session=name) for name in ("liar", "honest"))
    twin = Device(context, address(source), "honest", session="twin")
    rng = np.random.default_rng(0)
    told = []
    for number in range(60):
        honest.send(rng.standard_normal((4, 2)).astype(np.float32), time=1e9 + number * 0.04)
        source.until(lambda frames: len(source.of("honest")) > number)  # noqa: B023
        twin.send(time=1e9 + number * 0.04)
        at = 2e9 + number * 0.04
        match number % 6:
            case 0:
                told.append(rows(start=number))
                liar.send(told[-1], time=at)
            case 1:
                liar.send(rows(channels=3), time=at)
            case 2:
                liar.send(rows(), time=at, rate=50.0)
            case 3:
                liar.send(rows(), time=at, shape=(4, 200))
            case 4:
                told.append(rows(start=-number))
                liar.count += 2
                liar.send(told[-1], time=at)
            case 5:
                liar.send(rows(), time=at, count=liar.count - 1)
                told.append(rows(start=7 * number))
                liar.send(told[-1], time=at + 3600, count=liar.count)
    liar.tell(end=True)
    source.until(lambda frames: any(frame.end for frame in frames))
    check_bits(source, honest)
    found = [frame for frame in source.of("liar") if not frame.end]
    assert [frame.arrays["source"].data.tobytes() for frame in found] == [data.tobytes() for data in told]
    checkpoint, said = source.stop()
    assert left_out(checkpoint) == {
        "refused (shape)": 10,
        "refused (rate)": 10,
        "refused (length)": 10,
        "refused (session)": 60,
    }
    assert checkpoint.counts["source"]["repeats"] == 10
    assert checkpoint.lost == {"never arrived": 10 * (1 + 2)}  # what cannot be read was not counted by anybody
    assert len({frame.segment for frame in source.of("honest")}) == 1
    assert len(said.splitlines()) < 12, "told once"


def test_two_processes_under_one_name(context, served):
    source = served(FORM + "session_seconds = 0.5\n")
    program = """
import sys, time
from stream_infomax import Push
with Push(sys.argv[1], "ear", rate=100.0, timeout=60) as push:
    for _ in range(100):
        push([[float(sys.argv[2])] * 2] * 4)
        time.sleep(0.01)
"""
    first, second = (
        subprocess.Popen([sys.executable, "-c", program, address(source), value], stderr=subprocess.PIPE)
        for value in "12"
    )
    source.until(lambda frames: frames and frames[-1].end)
    for process in (first, second):
        process.communicate(timeout=60)
    values = {float(value) for frame in source.frames for value in frame.arrays["source"].data.ravel()}
    assert values in ({1.0}, {2.0}), "only one is heard as long as it lives"
    checkpoint, _ = source.stop()
    assert left_out(checkpoint).get("refused (session)", 0) >= 1


GREETING = b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + b"\0" * 31
READY = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"
HANDSHAKE = GREETING + b"\x04" + bytes([len(READY)]) + READY


def frame_of(part, more):
    """Return a part as ZMTP has it on the wire."""
    return bytes([2 | more]) + struct.pack(">Q", len(part)) + part


def whole(stream):
    """Return a message as it is on the wire."""
    first, payload = message(stream, rows(), rate=100.0)
    return frame_of(first, 1) + frame_of(payload, 0)


# What is sent before the source's answer to the greeting, and what after it.
BREAKS = {
    "nothing": (b"", b""),
    "half a greeting": (GREETING[:20], b""),
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
    "half a handshake": (HANDSHAKE[:70], b""),
    "half a length": (HANDSHAKE, b"\x03\0\0\0"),
    "half a header": (HANDSHAKE, frame_of(message("broken", rows())[0], 1)[:40]),
    "header without payload": (HANDSHAKE, frame_of(message("broken", rows())[0], 1)),
    "half a payload": (HANDSHAKE, whole("broken")[:-5]),
    "a part that is too long": (HANDSHAKE, b"\x02" + struct.pack(">Q", 1 << 40)),
    "one message, then half of one": (HANDSHAKE, whole("whole") + b"\x03\0"),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_connection_that_breaks_off_leaves_nothing_behind(context, served, how):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = served(FORM + f'bind = "tcp://127.0.0.1:{port}"\n')
    honest = Device(context, f"tcp://127.0.0.1:{port}", "honest")
    honest.send()
    source.until(lambda frames: frames)
    first, then = BREAKS[how]
    for reset in (False, True):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as broken:
            broken.sendall(first)
            if then:
                answer = b""
                while b"READY" not in answer:
                    answer += broken.recv(4096)
                broken.sendall(then)
            if "whole" in then.decode("latin-1"):
                n = 1 + reset
                source.until(lambda frames: len(source.of("whole")) == n)  # noqa: B023
            if reset:  # without a goodbye
                broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(20):
        honest.send()
    source.until(lambda frames: len(source.of("honest")) == 21)
    check_bits(source, honest)
    assert {frame.stream for frame in source.frames} <= {"honest", "whole"}
    checkpoint, _ = source.stop()
    assert not left_out(checkpoint)
    assert not checkpoint.lost


def test_a_device_that_is_killed_in_the_midst_of_a_message(context, served):
    source = served('session_seconds = 0.2\nidle_seconds = 1.0\nlargest = "64 MiB"\n')
    program = """
import sys, numpy as np
from stream_infomax import Push
push = Push(sys.argv[1], "big", rate=1e6)
rows = np.arange(2_000_000, dtype=np.float32)[:, None]
while True:
    push(rows)
"""
    honest = Device(context, address(source), "honest", rate=1e6)
    expected = np.arange(2_000_000, dtype=np.float32).tobytes()
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", program, address(source)]) as process:
            n = len(source.of("big"))
            source.until(lambda frames: len(source.of("big")) > n)  # noqa: B023
            source.inlet.commit(source.inlet.next - 1)
            process.send_signal(signal.SIGKILL)
    source.until(lambda frames: any(frame.end for frame in source.of("big")))
    for frame in source.of("big"):
        assert frame.end or frame.arrays["source"].data.tobytes() == expected
    honest.send(rows(channels=1))
    source.until(lambda frames: source.of("honest"))
    check_bits(source, honest)
    assert source.process.poll() is None


def test_when_the_log_is_full_the_device_waits_or_drops_and_nothing_else_is_lost(context, served):
    source = served(FORM + "queue = 2\nlog = { frames = 5 }\n")
    device = Device(context, address(source), "ear", sndhwm=2)
    rng = np.random.default_rng(0)
    kept, dropped = [], 0
    while dropped < 3 and device.count < 10_000:  # nobody commits: its log is full after five frames
        data = rng.standard_normal((50_000, 2)).astype(np.float32)
        if device.socket.poll(300, zmq.POLLOUT):  # a connection that is busy for a moment has room again
            parts = message("ear", data, rate=100.0, session="s", count=device.count)
            device.socket.send_multipart(parts, zmq.NOBLOCK)
            kept.append(data)
            dropped = 0
        else:
            dropped += 1
        device.count += 1
    assert dropped == 3
    assert len(kept) >= 5

    def all_came(frames):
        if frames:
            source.inlet.commit(source.inlet.next - 1)
        return len(frames) == len(kept)

    source.until(all_came)
    assert [frame.arrays["source"].data.tobytes() for frame in source.frames] == [data.tobytes() for data in kept]
    device.send()  # what was dropped before it is known now
    source.until(lambda frames: len(frames) == len(kept) + 1)
    checkpoint, _ = source.stop()
    assert sum(checkpoint.lost.values()) == device.count - len(kept) - 1
    assert not left_out(checkpoint)


def test_a_source_that_is_killed_knows_each_device_again(context, served):
    source = served(every=10)
    device = Device(context, address(source), "ear")
    for number in range(25):
        if number == 20:
            source.until(lambda frames: len(frames) == 20)
            while not list(source.folder.glob("source/checkpoint-*-at-20.safetensors")):  # a thread writes it
                select.select([], [], [], 0.01)
        device.send(time=1e9 + number * 0.04)
    source.until(lambda frames: len(frames) == 25)
    source.process.kill()
    source.process.communicate()
    device.send(count=7)  # again
    for number in range(25, 40):
        device.send(time=1e9 + number * 0.04, count=number)
    source.start()
    source.until(lambda frames: len(frames) == 40)
    check = [frame.arrays["source"].data.tobytes() for frame in source.frames]
    assert check == [data.tobytes() for number, data in enumerate(device.sent) if number != 25]
    assert len({frame.offset for frame in source.frames}) == 40
    checkpoint, _ = source.stop()
    assert checkpoint.counts["source"]["repeats"] == 1
    assert checkpoint.lost.get("never arrived", 0) == 0
    assert checkpoint.lost.get("perhaps lost in a restart", 0) <= 5, "since the last checkpoint"


def test_a_thousand_connections_are_no_end(context, served):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4000:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))  # as most systems begin
    try:
        source = served(every=1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(1500):
                silent = stack.enter_context(socket.socket(socket.AF_UNIX))
                silent.connect(address(source).removeprefix("ipc://"))
                silent.sendall(HANDSHAKE)
            honest = Device(context, address(source), "honest")
            for _ in range(3):
                honest.send()
            source.until(lambda frames: len(frames) == 3)
        check_bits(source, honest)
        source.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A source for many examples, a device that is honest and one that sends anything."""
    context = zmq.Context()
    source = ServedSource(context, tmp_path_factory.mktemp("shared"), "devices", FORM + "streams = 100000\n", every=500)
    honest = Device(context, address(source), "honest")
    noisy = context.socket(zmq.PUSH)
    noisy.connect(address(source))
    yield source, honest, noisy
    source.kill()
    context.destroy(linger=0)


@st.composite
def damaged(draw):
    """Return a message with bytes changed, cut, put in, or parts of it left out or twice."""
    parts = message(
        draw(st.sampled_from(["noisy", "ear"])),
        rows(),
        rate=100.0,
        count=draw(st.integers(0, 9)),
        session=draw(st.sampled_from(["", "a"])),
        labels={"a": "b"},
    )
    for _ in range(draw(st.integers(1, 4))):
        which = draw(st.integers(0, len(parts) - 1))
        part = bytearray(parts[which])
        at = draw(st.integers(0, len(part)))
        match draw(st.sampled_from(["change", "cut", "put", "twice", "away"])):
            case "change" if at < len(part):
                part[at] = draw(st.integers(0, 255))
            case "cut":
                del part[at:]
            case "put":
                part[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "twice":
                parts.insert(which, bytes(part))
            case "away" if len(parts) > 1:
                del parts[which]
                continue
        parts[min(which, len(parts) - 1)] = bytes(part)
    return parts


@given(st.lists(damaged(), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_messages_do_not_stop_it_and_others_arrive_to_the_last_bit(shared, messages):
    source, honest, noisy = shared
    n = len(source.of("honest"))
    for parts in messages:
        noisy.send_multipart(parts)
    data = np.frombuffer(secrets.token_bytes(32), np.float32).reshape(4, 2)  # any bits, NaN among them
    honest.send(data)
    source.until(lambda frames: len(source.of("honest")) > n)
    assert source.of("honest")[-1].arrays["source"].data.tobytes() == data.tobytes()
    source.inlet.commit(source.inlet.next - 1)


def test_what_was_damaged_was_counted(shared):
    source, honest, noisy = shared
    noisy.send_multipart([b"\xc1", b""])  # at least one
    noisy.send_multipart(message("last", rows(), rate=100.0))
    source.until(lambda frames: source.of("last"))
    checkpoint, _ = source.stop()
    check_bits(source, honest)
    assert left_out(checkpoint)["refused (header)"] >= 1
    assert {key[len("refused (") : -1] for key in left_out(checkpoint)} <= {
        *(
            "header",
            "version",
            "dtype",
            "axes",
            "length",
            "parts",
            "shape",
            "rate",
            "arrays",
            "session",
            "empty",
            "label",
        )
    } | {""}
