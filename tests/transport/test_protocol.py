"""docs/protocol.md says what the code does: its bytes, and its examples against real sockets."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.devices import frames
from helpers.wire import status

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.settings.record import make
from stream_infomax.sources.device_stream import MOST_LOST, MOST_REPEATED_UNNAMED
from stream_infomax.sources.devices import DevicesSettings, DevicesSource
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.transport import bases, messages
from stream_infomax.transport.control import Control
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.tap import Tap

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
VECTORS = dict(re.findall(r"```vector (\S+)\n(.*?)```", TEXT, re.DOTALL))
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
LOG = "0011223344556677"

FRAMES = {
    "device": Frame(
        stream="microphone", arrays={"source": Array(np.array([[0], [1], [-1]], np.int16), ("time", "channel"))}
    ),
    "full": Frame(
        stream="camera",
        offset=300,
        segment="kodim01.png@0,12",
        arrays={
            "source": Array(np.array([[[0, 0.5], [1, -2]]], np.float32), ("item", "y", "x")),
            "ica": Array(np.array([[1.5, np.nan]], np.float32), ("item", "component")),
        },
        last=True,
        end=True,
        time=12.5,
        rate=0.25,
        labels={"texture": "brick"},
        encoder="ica/7",
        update=4096,
    ),
    "basis": Frame(
        stream="microphone",
        offset=7,
        encoder="learner-1",
        update=3,
        basis="0123456789ab",
        events=(Event(stage="learner", position=640, kind="change", text="the variance doubled"),),
    ),
    "label": Frame(stream="microphone", offset=301, segment="a.wav", labels={"digit": "7"}),
}
BASES = {
    "basis-message": Basis(
        stage="learner",
        encoder="learner-1",
        version="0123456789ab",
        offset=8,
        output="halves",
        amplitude=1.0,
        mean=np.array([1.0, 2.0]),
        components=np.array([[0.5, -1]], np.float32),
        mixing=np.array([[2], [0.25]], np.float32),
        beta=np.array([1.5], np.float32),
        bias=np.array([-0.5], np.float32),
        seed=0,
    )
}
REQUESTS = {"fetch": messages.Fetch("learner", LOG, 7, 64, 6), "commit": messages.Commit("learner", LOG, 6)}
ANSWERS = {
    "sent": messages.Sent(LOG, 7, 1700000000.25, 1700000000.125),
    "gone": messages.Gone(LOG, 7, 9),
    "full-log": messages.Full(LOG),
    "alive": messages.Alive(LOG, 9, True, 6),
    "error": messages.Refused("reader", "unknown reader 'x'; configured are ['learner']"),
}

ORDERS = {"command": messages.Order("0011223344556677", "undo", "learner", "3f8a")}
REPLIES = {
    "accepted": messages.Accepted("0011223344556677", 300),
    "refused": messages.Refused("elsewhere", "no basis '3f8a' is kept here"),
}


def parts(name):
    """Return the bytes that stand in the document."""
    pieces = re.split(r"^\d+: ", VECTORS[name], flags=re.MULTILINE)[1:]
    return [bytes.fromhex(piece) for piece in pieces]


def test_every_vector_is_checked():
    assert set(VECTORS) == {*FRAMES, *BASES, *REQUESTS, *ANSWERS, *ORDERS, *REPLIES}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name):
    assert wire.encode(FRAMES[name]) == parts(name)
    assert wire.encode(wire.decode(parts(name))) == parts(name)


@pytest.mark.parametrize("name", BASES)
def test_bases(name):
    assert bases.encode(BASES[name]) == parts(name)
    assert bases.encode(bases.decode(parts(name))) == parts(name)


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    assert [messages.encode(REQUESTS[name])] == parts(name)
    assert messages.decode_request(parts(name)[0]) == REQUESTS[name]


@pytest.mark.parametrize("name", [*ORDERS, *REPLIES])
def test_commands(name):
    decode = messages.decode_order if name in ORDERS else messages.decode_reply
    assert [messages.encode({**ORDERS, **REPLIES}[name])] == parts(name)
    assert decode(parts(name)[0]) == {**ORDERS, **REPLIES}[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name):
    assert [messages.encode(ANSWERS[name])] == parts(name)
    assert messages.decode_answer(parts(name)[0]) == ANSWERS[name]


def test_the_keys_of_a_status_and_of_a_measure_are_those_of_the_document():
    table = TEXT.split("* `status`:")[1].split("What an observer missed")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.MULTILINE)
    assert {key for keys, _ in rows for key in re.findall(r"`(\w+)`", keys)} == set(messages.Status.__struct_fields__)
    measure = next(text for keys, text in rows if keys == "`measures`")
    assert re.findall(r"`(\w+)`", measure) == list(Measure.__struct_fields__)


def test_the_device_of_the_document_is_heard(context, ipc):
    source = DevicesSource(bind=ipc, axes=("time", "channel"), row=(1,), rate=16000.0)
    source.open()
    exec(compile(PROGRAMS[0].replace("ipc:///tmp/photographs/source.devices", ipc), "protocol.md", "exec"), {})
    found = frames(source, 101)
    assert [(one.stream, one.end) for one in found] == [("ear", False)] * 100 + [("ear", True)]
    assert source.counts() == {"streams": 1, "streams open": 0}
    source.close()


def test_the_settings_and_bounds_of_the_document_are_those_of_the_source():
    section = TEXT.split("## A device")[1].split("## Tap")[0]
    given = DevicesSettings()
    for text in ("`session_seconds`", "`segment_seconds`", "`idle_seconds`", "`queue`", "`largest`", "`streams`"):
        assert text in section
    assert f"silent for {given.session_seconds:g} seconds" in section
    assert f"every {given.segment_seconds:g} seconds" in section
    assert f"for {given.idle_seconds:g} seconds" in section
    assert f"Up to {given.queue} messages" in section
    assert str(given.largest) in section
    assert f"(`streams`, {given.streams})" in section
    assert MOST_LOST == 2**32
    assert MOST_REPEATED_UNNAMED == 1024
    make(DevicesSettings, {"axes": ("time", "channel"), "row": (1,), "rate": 16000.0})


def test_the_reader_of_the_document_reads(context, tmp_path):
    log = OutputLog(("observer",), max_frames=20)
    outlet = Outlet(context, f"ipc://{tmp_path}/o", log, LOG)
    names = {}
    exec(compile(PROGRAMS[3], "protocol.md", "exec"), names)
    counted = []
    reader = threading.Thread(target=lambda: counted.append(names["count_rows"](outlet.address, "observer")))
    reader.start()
    offset = 0
    while reader.is_alive():
        while not log.full and offset < 100:
            rows = np.zeros((3, 2), np.float32)
            log.append(offset, wire.encode(Frame("a", offset, arrays={"x": Array(rows, ("time", "y"))})))
            offset += 1
        if offset == 100 and not log.finished:
            log.finish(99)
        outlet.socket.poll(20)
        outlet.answer()
        outlet.acknowledge(("observer",))
    assert counted == [300]
    assert log.drained


def test_the_observer_of_the_document_observes(context, tmp_path, capsys):
    tap = Tap(context, f"ipc://{tmp_path}/t")
    program = PROGRAMS[1].replace("ipc:///tmp/photographs/learner.tap", tap.address)
    observer = threading.Thread(target=exec, args=(compile(program, "protocol.md", "exec"), {}), daemon=True)
    observer.start()
    while b"frame" not in tap._topics:
        tap.socket.poll(1000)
        tap.attend()
    frame = Frame("a", 4, arrays={"learner": Array(np.zeros((3, 2), np.float32), ("time", "component"))})
    tap.frame(Output(frame, LOG))
    tap.status(status(6, finished=True))
    observer.join()
    assert capsys.readouterr().out == "4 (3, 2) 0\n"


def test_the_observer_of_the_document_keeps_to_its_first_basis(context, tmp_path, capsys):
    tap = Tap(context, f"ipc://{tmp_path}/t")
    program = PROGRAMS[2].replace("ipc:///tmp/photographs/learner.tap", tap.address)
    observer = threading.Thread(target=exec, args=(compile(program, "protocol.md", "exec"), {}), daemon=True)
    observer.start()
    while len(tap._topics) < 3:
        tap.socket.poll(1000)
        tap.attend()
    stage = LearnerStage("learner", "x", block=16)
    rows = np.random.default_rng(0).laplace(size=(60, 50, 2)).astype(np.float32)
    expected = []
    for offset, part in enumerate(rows):
        pinned = stage.basis() if not expected else pinned  # noqa: F821
        if stage.basis() is not None:
            expected.append(Encoder.of(pinned).transform(part)[0])
        frame = Frame("a", offset, arrays={"x": Array(part, ("time", "channel"))})
        tap.frame(Output(stage.process(frame), LOG))
        if stage.basis() is not None:
            tap.basis(stage.basis())
    tap.status(status(len(rows) - 1, finished=True))
    observer.join()
    printed = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose([np.fromstring(line.strip("[]"), sep=" ") for line in printed], expected, atol=1e-4)


def test_the_client_of_the_document_gives_a_command(tmp_path, context):
    control = Control(context, f"ipc://{tmp_path}/control")
    names = {}
    exec(compile(PROGRAMS[4], "protocol.md", "exec"), names)
    heard = []

    def serve():
        while not heard and control.socket.poll(20_000):
            for asked in control.asked():
                heard.append(asked.order)
                control.answer(asked, messages.Accepted(asked.order.id, 12))

    server = threading.Thread(target=serve)
    server.start()
    answer = names["command"](control.address, "mark", value="door")
    server.join()
    control.close()
    control.release()
    assert (heard[0].action, heard[0].value) == ("mark", "door")
    assert answer == {"kind": "accepted", "id": heard[0].id, "offset": 12}
