"""Labels of live sources that come from outside: before, while and after their segment passes."""

from collections import Counter

import numpy as np
import pytest
import zmq
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service import late_labels
from stream_infomax.service.feeds import LiveFeed
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.state import file as state_file
from stream_infomax.transport.labels import send_label


@pytest.fixture
def labels(context, tmp_path):
    made = LateLabels(context, f"ipc://{tmp_path}/labels")
    yield made
    made.close()


def frame(offset, segment="one", last=False, stream="mic"):
    """Return frame number `offset`: ten rows, a tenth of a second."""
    rows = Array(np.zeros((10, 1), np.float32), ("time", "channel"))
    return Frame(stream, offset, segment, {stream: rows}, last=last, time=100 + offset / 10, rate=100.0)


def label(text="yes", stream="mic", **where):
    return Frame(stream, labels={"word": text}, **where)


def test_a_label_of_an_open_segment_goes_into_its_next_frames(labels):
    assert labels.note(one := frame(0)) is one
    labels.place(label(segment="one"))
    assert labels.note(frame(1)).labels == {"word": "yes"}
    assert labels.note(frame(2, last=True)).labels == {"word": "yes"}
    assert labels.note(frame(3, "two")).labels == {}
    assert labels.receive() is None


@pytest.mark.parametrize("where", [{"segment": "one"}, {"offset": 1}, {"time": 100.15}], ids=str)
def test_a_label_of_a_segment_that_is_over_is_a_frame_without_arrays(labels, where):
    for one in (frame(0), frame(1, last=True), frame(2, "two")):
        labels.note(one)
    labels.place(label(**where))
    assert labels.receive() == Frame("mic", segment="one", labels={"word": "yes"})
    assert labels.counts()["labels"] == 1


@pytest.mark.parametrize("where", [{"offset": 3}, {"time": 100.35}], ids=str)
def test_a_label_of_what_is_to_come_waits_for_it(labels, where):
    labels.note(frame(0, last=True))
    labels.place(label(**where))
    assert labels.counts()["labels that wait"] == 1
    assert labels.note(frame(2, "two")).labels == {}
    assert labels.note(frame(3, "two", last=True)).labels == {"word": "yes"}


def test_a_segment_that_breaks_off_has_its_label_alone(labels):
    labels.note(frame(0))
    labels.place(label(segment="one"))
    labels.note(frame(1, "two"))
    assert labels.receive() == Frame("mic", segment="one", labels={"word": "yes"})


def test_streams_do_not_meet(labels):
    labels.note(frame(0, last=True))
    labels.note(frame(1, "own", last=True, stream="eye"))
    labels.place(label(stream="eye", offset=1))
    assert labels.receive() == Frame("eye", segment="own", labels={"word": "yes"})


def test_what_fits_no_segment_is_counted(labels, monkeypatch, caplog):
    monkeypatch.setattr(late_labels, "SEGMENTS", 2)
    for offset, name in enumerate(("one", "two", "three")):
        labels.note(frame(offset, name, last=True))
    labels.place(label(segment="one"))  # is forgotten
    labels.place(label(time=1.0))
    labels.place(label(segment="four"))
    assert labels.receive() is None
    assert labels.counts()["left out: labels of no known segment"] == 3
    assert caplog.text.count("label refused") == 1


def test_no_more_labels_wait_than_there_is_room_for(labels, monkeypatch):
    monkeypatch.setattr(late_labels, "WAITING", 5)
    for offset in range(10):
        labels.place(label(offset=offset))
    assert labels.counts()["labels that wait"] == 5
    assert labels.counts()["left out: labels of no known segment"] == 5
    found = [labels.note(frame(offset, str(offset), last=True)).labels for offset in range(10)]
    assert found == [{}] * 5 + [{"word": "yes"}] * 5


def test_it_goes_on_from_its_state(labels, context, tmp_path):
    for one in (frame(0, last=True), frame(1, "two")):
        labels.note(one)
    labels.place(label("two", segment="two"))
    labels.place(label("later", offset=7))
    again = LateLabels(context, f"ipc://{tmp_path}/other")
    again.restore(labels.state())
    again.interrupt()
    again.place(label(offset=0))
    assert again.receive() == Frame("mic", segment="two", labels={"word": "two"}), "it was open and is over"
    assert again.receive() == Frame("mic", segment="one", labels={"word": "yes"})
    assert again.note(frame(7, "three")).labels == {"word": "later"}
    again.close()


def test_messages_come_over_the_socket_and_bad_ones_are_counted(labels, context):
    labels.note(frame(0, last=True))
    with context.socket(zmq.PUSH) as socket:
        socket.connect(labels.address)
        socket.send(b"\x93junk")
        socket.send_multipart(wire.encode(frame(5)))
        socket.send_multipart(wire.encode(replace(label(segment="one"), labels={})))
        send_label(labels.address, "mic", {"word": "yes"}, time=100.05)
        found = None
        while found is None:
            assert labels.socket.poll(5000)
            found = labels.receive()
    assert found == Frame("mic", segment="one", labels={"word": "yes"})
    while labels.counts().get("left out: messages that are no labels", 0) < 3:
        assert labels.socket.poll(5000)
        assert labels.receive() is None


class Spoken:
    """A live source that gives what it was given."""

    name = "mic"
    sockets = ()
    finished = False

    def __init__(self, *frames):
        self.frames = list(frames)
        self.lost = Counter()

    def receive(self):
        return self.frames.pop(0) if self.frames else None

    def due(self):
        return 0.0


def test_what_a_device_says_late_is_placed_like_what_others_say(labels):
    given = [replace(frame(0), offset=-1), label(segment="one"), replace(frame(1, last=True), offset=-1)]
    feed = LiveFeed(Spoken(*given, label("no", segment="one"), label("lost", segment="none")), "log", labels)
    first, second, late = (feed.receive().frame for _ in range(3))
    assert (first.labels, second.labels) == ({}, {"word": "yes"})
    assert (late.offset, late.segment, late.labels, late.arrays) == (2, "one", {"word": "no"}, {})
    assert feed.receive() is None
    assert labels.counts()["left out: labels of no known segment"] == 1


def test_frames_that_were_given_after_its_state_bring_it_up_to_date(labels, context, tmp_path):
    """What a journal has: frames with their labels, and labels that went out alone."""
    labels.note(frame(0))
    labels.place(label("one", segment="one"))
    labels.place(label("later", offset=4))
    state = labels.state()
    given = [labels.note(frame(1)), labels.note(frame(2, "two"))]
    given += [labels.receive(), labels.note(frame(4, "two", last=True))]
    assert [dict(one.labels) for one in given] == [{"word": "one"}, {}, {"word": "one"}, {"word": "later"}]
    again = LateLabels(context, f"ipc://{tmp_path}/other")
    again.restore(state)
    for offset, one in zip((1, 2, 3, 4), given, strict=True):
        again.again(replace(one, offset=offset))
    again.interrupt()
    assert again.receive() is None, "each label has gone out"
    again.place(label("two", offset=2))
    assert again.receive() == Frame("mic", segment="two", labels={"word": "two"})
    again.close()


def test_a_label_that_waits_is_in_the_checkpoint(context, labels, tmp_path):
    labels.place(label(time=100.35))
    state_file.save(tmp_path / "state", labels.state())
    labels.close()
    again = LateLabels(context, f"ipc://{tmp_path}/labels")
    again.restore(state_file.load(tmp_path / "state"))
    assert again.counts() == {"labels that wait": 1}
    assert again.note(frame(3)).labels == {"word": "yes"}
    again.close()


def test_a_label_without_a_stream_is_of_the_only_open_one(labels, context):
    labels.note(replace(frame(0, "over", stream="old"), end=True, last=True))
    labels.note(frame(0, last=True))
    send_label(labels.address, "", {"word": "yes"}, time=100.05)
    assert labels.socket.poll(5000)
    assert labels.receive() == Frame("mic", segment="one", labels={"word": "yes"})
    again = LateLabels(context, labels.address.replace("labels", "other"))
    again.restore(labels.state())
    again.place(label(stream="", offset=0))
    assert again.receive().stream == "mic"
    again.close()


def test_a_label_without_a_stream_is_left_out_where_that_is_not_clear(labels, caplog):
    labels.place(label(stream="", time=100.0))
    labels.note(frame(0))
    labels.note(frame(0, stream="eye"))
    labels.place(label(stream="", time=100.0))
    labels.note(Frame("eye", end=True, last=True))  # one without arrays
    labels.place(label(stream="", segment="one"))
    assert labels.counts() == {
        "left out: labels without a stream while none was open": 1,
        "left out: labels without a stream while several were open": 1,
        "labels": 1,
        "labels that wait": 0,
    }
    assert labels.note(frame(1)).labels == {"word": "yes"}
    assert "names no stream" in caplog.text
