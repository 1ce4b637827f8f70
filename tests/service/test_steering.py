"""Commands to a service: what is accepted holds from its frame on, in every life, to the last bit."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq
from helpers.steered import Steerable, ask
from helpers.stepping import step
from helpers.toys import Counting, Device
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame
from stream_infomax.service.checkpoints import read
from stream_infomax.service.commands import FILE, Commands, Given
from stream_infomax.sinks.store import FrameStore
from stream_infomax.transport import messages
from stream_infomax.transport.messages import Accepted

STEPS = st.one_of(
    st.integers(1, 15),  # frames
    st.sampled_from(["pause", "resume", "hold", "mark", "save"]),
    st.sampled_from(["die", "damage", "tear"]),
)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(STEPS, max_size=20))
def test_a_run_that_was_disturbed_comes_to_the_bits_of_one_that_was_not(steps):
    """Deaths at any place, newest checkpoints that are damaged, a line that was torn: the same bits all the same."""
    with tempfile.TemporaryDirectory() as place:
        one = Steerable(Path(place) / "one")
        one.service.folder.mkdir(parents=True)
        lives, told = [[]], 0
        for made in steps:
            if made in ("die", "damage", "tear"):
                lives.append([made])
            else:
                lives[-1].append(made)
        newest = -1
        for life in lives:
            for made in life[:1]:
                disturb(one, made)
            with one.life() as (loop, client):
                for made in life:
                    if isinstance(made, int):
                        step(loop, made)
                    elif made not in ("die", "damage", "tear"):
                        told += 1
                        answer = ask(loop, client, made, f"text {told}" if made == "mark" else "", name=str(told))
                        if isinstance(answer, Accepted) and made != "save":
                            assert answer.offset > newest, "a frame that was handed on is as it was"
                    newest = max(newest, loop.newest)
        with one.life() as (loop, _):
            assert loop.run()
        assert one.made() == one.undisturbed(Path(place) / "other").made()


def disturb(one, how):
    """Damage what a life has left; the newest checkpoint only where there is another one."""
    if how == "damage" and len(list(one.service.folder.glob("checkpoint-*.safetensors"))) > 1:
        content = bytearray(one.newest().read_bytes())
        content[len(content) // 2] ^= 0xFF
        one.newest().write_bytes(content)
    elif how == "tear" and (one.service.folder / FILE).exists():
        with (one.service.folder / FILE).open("ab") as file:
            file.write(b'{"id":"never confirmed","action":"hold","off')


def test_a_command_holds_from_its_frame_on_and_is_in_no_checkpoint_before(tmp_path):
    one = Steerable(tmp_path)
    with one.life() as (loop, client):
        step(loop, 10)
        assert ask(loop, client, "pause") == Accepted("1", 10)
        assert ask(loop, client, "save", name="2") == Accepted("2", 10)
        assert read(one.newest()).commands == 0
        assert not read(one.newest()).stages["sum"]["paused"]
        step(loop, 1)
        assert ask(loop, client, "save", name="3") == Accepted("3", 11)
        assert read(one.newest()).commands == 1
        assert read(one.newest()).stages["sum"]["paused"]


def test_the_same_id_is_the_same_command(tmp_path):
    """Also in the next life: whoever heard no answer asks again."""
    one = Steerable(tmp_path)
    with one.life() as (loop, client):
        step(loop, 3)
        assert ask(loop, client, "hold", name="a") == Accepted("a", 3)
        step(loop, 5)
        assert ask(loop, client, "hold", name="a") == Accepted("a", 3)
        assert ask(loop, client, "mark", "door opened", name="m") == Accepted("m", 8)
        other = "id 'a' is that of another command: hold", "id 'm' is that of another command: mark door opened"
        for name, what in (("a", ("pause",)), ("a", ("save",)), ("a", ("hold", "", "sum")), ("m", ("mark", "door"))):
            refused = ask(loop, client, *what, name=name)
            assert (refused.reason, refused.text) == ("command", other[name == "m"])
    with one.life() as (loop, client):
        assert ask(loop, client, "hold", name="a") == Accepted("a", 3)
        assert len(loop.steering.commands.given) == 2


def test_what_would_change_nothing_is_refused_at_once(tmp_path):
    """What was accepted counts, also before its frame has come."""
    with Steerable(tmp_path).life() as (loop, client):
        assert ask(loop, client, "resume", name="1").text == "neither paused nor on hold"
        assert ask(loop, client, "pause", name="2") == Accepted("2", 0)
        for frames in (0, 3):
            step(loop, frames)
            assert ask(loop, client, "pause", name=f"again {frames}").text == "paused already"
        assert ask(loop, client, "resume", name="3") == Accepted("3", 3)
        assert ask(loop, client, "resume", name="4").text == "neither paused nor on hold"
        assert ask(loop, client, "hold", name="5") == Accepted("5", 3)
        assert ask(loop, client, "resume", name="6") == Accepted("6", 3)
        assert ask(loop, client, "pause", name="2") == Accepted("2", 0), "asked again, as nobody heard the answer"


def test_a_file_of_commands_that_is_damaged_is_named(tmp_path):
    """Without them the run would come to other bits; only a last line may be torn."""
    one = Steerable(tmp_path)
    one.service.folder.mkdir()
    lines = [b'{"id":"1","action":"hold","offset":4}', b'{"id":"2","action":"hold","offset":3}', b'{"id":"2","ac']
    damages = {(0, 2): "", (0, 1): "line 2 is no command: offset 3 behind 4", (2, 0): "line 1 is no command"}
    for order, problem in damages.items():
        (one.service.folder / FILE).write_bytes(b"\n".join(lines[number] for number in order) + b"\n" * bool(problem))
        if problem:
            with pytest.raises(ValueError, match=problem), one.life():
                pass
        else:
            with one.life() as (loop, _):
                assert [command.id for command in loop.steering.commands.given] == ["1"]


def test_marks_have_the_room_that_a_frame_has(tmp_path):
    commands = Commands(tmp_path, source="mic")
    for number in range(70):
        commands.append(Given(id=str(number), action="mark", value=f"{number} " + 250 * "x", offset=3))
    plain, full = Frame("a", 3), Frame("a", 3, labels={str(number): "" for number in range(64)})
    marked = commands.marked(plain)
    assert len(marked.labels["mark"]) == 1024
    assert marked.labels["mark"].startswith("0 xxx")
    assert marked.labels["mark"].endswith("x…")
    assert len(marked.events) == 64
    assert dict(commands.marked(full).labels) == dict(full.labels)
    assert wire.decode(wire.encode(marked)).labels == marked.labels
    assert wire.decode(wire.encode(commands.marked(full))).events == marked.events


def test_what_was_handed_on_before_a_death_stays_as_it_was(tmp_path):
    """Frames behind the checkpoint are processed again: a command is for those that nobody had yet."""
    one = Steerable(tmp_path, checkpoint_every=1000)
    with one.life() as (loop, client):
        step(loop, 20)
    with one.life() as (loop, client):
        assert loop.feed.next == 0
        assert ask(loop, client, "hold") == Accepted("1", 20)


def test_marks_are_labels_and_events(tmp_path):
    one = Steerable(tmp_path)
    with one.life() as (loop, client):
        step(loop, 2)
        ask(loop, client, "mark", "<b>seizure</b>", name="1")
        ask(loop, client, "mark", "eyes open", name="2")
        step(loop, 2)
        (event, other) = loop.status().events
        assert (event.stage, event.position, event.kind, event.text) == ("source", 2, "mark", "<b>seizure</b>")
        assert other.text == "eyes open"
        assert loop.run()
    kept = list(FrameStore(tmp_path / "kept").frames())
    assert [dict(frame.labels) for frame in kept[1:4]] == [{}, {"mark": "<b>seizure</b>; eyes open"}, {}]
    assert [event.text for event in kept[2].events] == ["<b>seizure</b>", "eyes open"]
    with one.life() as (loop, _):
        assert [event.text for event in loop.status().events] == ["<b>seizure</b>", "eyes open"]


REFUSED = {
    "an action": (("dance", "", ""), "command", "action 'dance'; accepted are pause, resume, hold, undo, mark, save"),
    "a value": (("pause", "now", ""), "command", "pause takes no value; given was 'now'"),
    "a value of save": (("save", "now", ""), "command", "save takes no value; given was 'now'"),
    "a stage to save": (("save", "", "other"), "elsewhere", "stage 'other' is not here"),
    "no text": (("mark", " ", ""), "command", "a mark needs a text"),
    "a stage": (("pause", "", "other"), "elsewhere", "no stage 'other' here takes pause"),
    "a version that is none": (
        ("undo", "late", ""),
        "command",
        "undo 'late'; accepted is a version as on frames",
    ),
    "a short version": (("undo", "012", ""), "command", "undo '012'; accepted is a version as on frames, 4 digits"),
    "a version that is not here": (("undo", "0123", ""), "elsewhere", "no basis '0123' is kept here"),
    "a mark of a stage": (("mark", "x", "sum"), "elsewhere", "frames are marked at the source"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    (action, value, stage), reason, text = REFUSED[name]
    with Steerable(tmp_path).life() as (loop, client):
        refused = ask(loop, client, action, value, stage)
        assert (refused.reason, refused.text[: len(text)]) == (reason, text)
        assert loop.status().refused == {}
        assert not (tmp_path / "toy" / FILE).exists()


def test_undo_is_about_one_basis_and_keeps_it(tmp_path):
    one = Steerable(tmp_path)
    with one.life() as (loop, client):
        for version, offset in (("abcd00000001", 0), ("abcd00000002", 5), ("abcd00000002", 9)):
            (one.service.folder / f"basis-sum-{offset}-{version}.safetensors").write_bytes(version.encode())
        refused = ask(loop, client, "undo", "abcd")
        assert refused.text == "undo 'abcd' may be abcd00000001 of sum, abcd00000002 of sum"
        assert ask(loop, client, "undo", "abcd00000002") == Accepted("1", 0)
        for path in one.service.folder.glob("basis-*"):
            path.unlink()
        (given,) = loop.steering.commands.given
        assert (given.stage, given.value) == ("sum", "abcd00000002")
        assert (one.service.folder / "command-0.safetensors").read_bytes() == b"abcd00000002"
        assert ask(loop, client, "undo", "abcd00000002") == Accepted("1", 0)
        step(loop, 1)  # it is no basis, which the stage is told


def test_a_source_that_is_set_back_marks_the_same_frames(tmp_path):
    """A reader asks for frames again: so they come, with their marks."""
    one = Steerable(tmp_path, stages=list)
    with one.life() as (loop, client):
        seen = []
        loop.observers = [SimpleNamespace(sockets=(), input=seen.append, frame=lambda _: None)]
        step(loop, 5)
        assert ask(loop, client, "mark", "five") == Accepted("1", 5)
        step(loop, 5)
        loop.sinks = []  # a recorder is never set back
        loop.rewind(3)
        assert ask(loop, client, "mark", "ten", name="2") == Accepted("2", 10)
        step(loop, 9)
    marks = [(output.frame.offset, output.frame.labels["mark"]) for output in seen if output.frame.labels]
    assert marks == [(5, "five"), (5, "five"), (10, "ten")]


def test_a_stream_that_has_ended_takes_no_command_and_still_saves(tmp_path):
    with Steerable(tmp_path, lambda: Counting(3)).life() as (loop, client):
        assert loop.run()
        assert ask(loop, client, "pause").text == "the stream has ended: no frame comes any more"
        assert ask(loop, client, "save") == Accepted("1", 3)


def test_a_disk_that_is_full_refuses_a_command_and_leaves_nothing_of_it(tmp_path, monkeypatch):
    one = Steerable(tmp_path)
    with one.life() as (loop, client):
        step(loop, 4)
        ask(loop, client, "hold", name="1")

        def full(_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            refused = ask(loop, client, "pause", name="2")
        assert (refused.reason, refused.text) == ("command", "not written: [Errno 28] No space left on device")
        assert ask(loop, client, "pause", name="2") == Accepted("2", 4)
    with one.life() as (loop, client):
        assert [command.action for command in loop.steering.commands.given] == ["hold", "pause"]


NONSENSE = [
    [b""],
    [b"\x80"],
    [b"\xc1" * 100],
    [b"\x91" * 4000],
    [messages.encode(messages.Order("1", "pause"))] * 2,
    [b"\0" * 5000],
    [messages.encode({"kind": "command", "id": "", "action": "pause"})],
    [messages.encode({"kind": "command", "id": "1", "action": "pause", "value": "x" * 257})],
    [messages.encode({"kind": "command", "id": "1", "action": "pause", "offset": 3})],
    [messages.encode({"kind": "command", "id": 1, "action": "pause"})],
    [messages.encode({"kind": "fetch", "reader": "a", "log": "", "from": 0, "credit": 1})],
]


def test_nonsense_is_refused_and_hurts_nothing(tmp_path):
    with Steerable(tmp_path).life() as (loop, client):
        for parts in NONSENSE:
            client.send_multipart(parts)
            assert loop.steering.control.socket.poll(1000)
            loop.listen()
            assert client.poll(1000)
            assert messages.decode_reply(client.recv()).reason == "request"
        assert loop.status().refused == {"control: request": len(NONSENSE)}
        assert ask(loop, client, "pause") == Accepted("1", 0)


def test_whoever_asks_and_goes_hurts_nothing(tmp_path):
    with Steerable(tmp_path).life() as (loop, client):
        with zmq.Context() as context, context.socket(zmq.DEALER) as other:
            other.connect(loop.steering.control.address)
            other.send(messages.encode(messages.Order("gone", "pause")))
            assert loop.steering.control.socket.poll(1000)
        loop.listen()
        assert ask(loop, client, "resume", name="2") == Accepted("2", 0)
        assert [one.id for one in loop.steering.commands.given] == ["gone", "2"]


def test_a_stream_that_is_idle_takes_commands(tmp_path):
    """A device that sends nothing: the loop sleeps, and answers all the same; the next frame is marked."""
    one = Steerable(tmp_path, lambda: Device(f"ipc://{tmp_path}/device"))
    with one.life() as (loop, client), zmq.Context() as context, context.socket(zmq.PUSH) as device:
        device.connect(f"ipc://{tmp_path}/device")
        client.send(messages.encode(messages.Order("1", "mark", "", "now")))
        while not client.poll(0):
            loop.turn()
        assert messages.decode_reply(client.recv()) == Accepted("1", 0)
        assert loop.newest == -1
        device.send_string("0 end")
        assert loop.run()
    assert [dict(frame.labels) for frame in FrameStore(tmp_path / "kept").frames()] == [{"number": "0", "mark": "now"}]


def test_a_live_stream_goes_on_behind_a_death_and_keeps_what_it_was_told(tmp_path):
    """Frames since the checkpoint are gone, with their marks; what the stages were told is done before the next one."""
    one = Steerable(tmp_path, lambda: Device(f"ipc://{tmp_path}/device"), checkpoint_every=1000)
    with zmq.Context() as context, context.socket(zmq.PUSH) as device:
        device.connect(f"ipc://{tmp_path}/device")
        with one.life() as (loop, client):
            ask(loop, client, "mark", "first", name="1")
            ask(loop, client, "pause", name="2")
            device.send_string("7")
            while loop.newest < 0:
                loop.turn()
        with one.life() as (loop, client):
            assert ask(loop, client, "mark", "second", name="3") == Accepted("3", 1)
        with one.life() as (loop, client):
            device.send_string("8 end")
            assert loop.run()
            assert loop.stages.stages[0].paused
    (frame,) = FrameStore(tmp_path / "kept").frames()
    assert (frame.offset, dict(frame.labels)) == (1, {"number": "8", "mark": "second"})
