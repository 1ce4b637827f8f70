"""DevicesSource: what devices send arrives under their streams; what is wrong is counted and disturbs nobody."""

import time

import numpy as np
import pytest
from helpers.devices import Device, frames, message, rows

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.devices import DevicesSource


@pytest.fixture
def make(tmp_path):
    made = []

    def source(state=None, **settings):
        made.append(DevicesSource(bind=f"ipc://{tmp_path}/d", **settings))
        if state is not None:
            made[-1].restore(state)
        made[-1].open()
        return made[-1]

    yield source
    for one in made:
        one.close()


@pytest.fixture
def ear(context, tmp_path):
    """Makes devices."""
    return lambda stream="ear", **settings: Device(context, f"ipc://{tmp_path}/d", stream, **settings)


def left_out(source):
    return {key.removeprefix("left out: "): n for key, n in source.counts().items() if key.startswith("left out: ")}


def values(found):
    return [frame.arrays["source"].data.tolist() for frame in found]


def test_rows_arrive_bit_exact_under_the_name_of_the_source(make, ear):
    source, device = make(), ear()
    given = [rows(4), np.full((3, 2), np.nan, np.float32), rows(2, 9)]
    for data in given:
        device.send(data, time=100.0 + device.count * 0.04, labels={"who": "me"})
    found = frames(source, 3)
    for frame, data in zip(found, given, strict=True):
        assert frame.stream == "ear"
        assert frame.arrays["source"].data.tobytes() == data.tobytes()
        assert frame.arrays["source"].axes == ("time", "channel")
        assert (frame.rate, dict(frame.labels), frame.offset) == (100.0, {"who": "me"}, -1)
    assert found[1].time == 100.04
    assert not source.lost
    assert left_out(source) == {}


def test_a_repeated_message_is_dropped_and_counted(make, ear):
    source, device = make(), ear()
    for count in (0, 1, 1, 0, 2):
        device.send(rows(start=count), count=count)
    assert values(frames(source, 3)) == [rows(start=count).tolist() for count in (0, 1, 2)]
    assert source.counts()["repeats"] == 2
    assert not source.lost


def test_a_gap_is_lost_and_begins_another_segment(make, ear):
    source, device = make(), ear()
    for count in (0, 1, 5, 6):
        device.send(count=count, time=1.0 + count * 0.04)
    found = frames(source, 4)
    assert source.lost == {"never arrived": 3}
    assert [frame.segment for frame in found] == [found[0].segment] * 2 + [found[2].segment] * 2
    assert found[0].segment != found[2].segment


@pytest.mark.parametrize("count", [2**50, 2**62])
def test_an_absurd_counter_is_a_device_that_has_begun_afresh(make, ear, count):
    source, device = make(), ear()
    device.send()
    device.send(count=count)
    device.send(count=count + 1 if count < 2**62 else 0)
    found = frames(source, 3)
    assert not source.lost
    assert source.counts()["devices restarted"] == 1 + (count == 2**62)
    assert found[0].segment != found[1].segment


def test_a_device_without_session_that_restarts_is_followed(make, ear):
    source, device = make(), ear(session=None)
    for count in (0, 1, 2, 0, 1):
        device.send(count=count)
    frames(source, 5)
    assert source.counts()["devices restarted"] == 1
    assert "repeats" not in source.counts()


def test_a_second_session_is_refused_until_the_first_is_silent(make, ear):
    source, first, second = make(session_seconds=0.2), ear(session="one"), ear(session="two")
    first.send()
    frames(source, 1)
    second.send()
    second.send(time=3.0)
    assert not source.receive() or pytest.fail("refused")
    deadline = time.monotonic() + 10
    while left_out(source) != {"messages refused (session)": 2}:
        assert source.receive() is None
        assert time.monotonic() < deadline
    while time.monotonic() < deadline:  # it goes on trying, and at last the first has been silent for long enough
        second.send()
        source.sockets[0].poll(1000)
        if (frame := source.receive()) is not None:
            break
    assert frame.stream == "ear"
    assert source.counts()["devices restarted"] == 1


LIES = {
    "shape": {"data": rows(channels=3)},
    "axes": {"data": rows(), "axes": ("item", "channel")},
    "rate": {"data": rows(), "rate": 200.0},
    "dtype": {"data": rows(dtype=np.int16)},
    "length": {"data": rows(), "shape": (400, 2)},
}


@pytest.mark.parametrize("reason", LIES)
def test_what_has_another_form_is_refused_and_nothing_else_is_disturbed(make, ear, reason):
    source, liar, honest = make(), ear("liar"), ear("honest")
    liar.send(rows(), time=5.0)
    frames(source, 1)
    liar.send(**{"time": 5.04, **LIES[reason]})
    honest.send(rows())
    liar.send(rows(start=8), time=5.08)
    found = frames(source, 2)
    assert sorted(frame.stream for frame in found) == ["honest", "liar"]
    assert left_out(source) == {f"messages refused ({reason})": 1}
    assert not source.lost or reason == "length"  # of which the header is not believed either


def test_the_rows_before_and_after_a_refusal_are_of_two_segments(make, ear):
    source, device = make(), ear()
    device.send(time=1.0)
    device.send(rows(channels=3), time=1.04)
    device.send(time=1.08)
    one, other = frames(source, 2)
    assert one.segment != other.segment


def test_the_form_can_be_set_and_then_no_device_decides_it(make, ear):
    source, liar, honest = make(axes=("time", "channel"), row=(2,), rate=100.0), ear("liar"), ear("honest")
    liar.send(rows(channels=3))
    deadline = time.monotonic() + 10
    while not left_out(source) and time.monotonic() < deadline:
        assert source.receive() is None
    honest.send()
    assert frames(source, 1)[0].stream == "honest"
    assert left_out(source) == {"messages refused (shape)": 1}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"axes": ("channel",)}, "axes"),
        ({"axes": ("time", "colour"), "row": (2, 3)}, "row"),
        ({"axes": ("no",)}, "axes"),
    ],
)
def test_a_form_that_cannot_be_is_refused(settings, key):
    with pytest.raises(SettingError, match=f"^{key} = "):
        DevicesSource(**settings)


def test_segments_are_the_devices_where_it_names_them(make, ear):
    source, device = make(), ear()
    for segment, last in (("a", False), ("a", True), ("b", False), ("c", False)):
        device.send(segment=segment, last=last)
    found = frames(source, 4)
    assert [(frame.segment, frame.last) for frame in found] == [("a", False), ("a", True), ("b", False), ("c", False)]


def test_a_gap_in_a_named_segment_gives_it_another_name_by_which_its_label_finds_it(make, ear):
    source, device = make(), ear()
    device.send(segment="a")
    device.count = 4
    device.send(segment="a")
    device.send(segment="a", last=True)
    device.tell(segment="a", labels={"word": "yes"})
    found = frames(source, 4)
    assert [frame.segment for frame in found] == ["a", "a #2", "a #2", "a #2"]
    assert [bool(frame.arrays) for frame in found] == [True, True, True, False]
    assert found[3].labels == {"word": "yes"}


def test_segments_are_cut_where_the_device_names_none(make, ear):
    source, device = make(segment_seconds=0.1), ear()
    for number in range(6):
        device.send(time=50.0 + number * 0.04)
    found = frames(source, 6)
    assert [frame.last for frame in found] == [False, False, True] * 2
    assert len({frame.segment for frame in found}) == 2


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, 1e300])
def test_a_clock_that_jumps_is_counted_and_begins_another_segment(make, ear, jump):
    source, device = make(), ear()
    for number, time_ in enumerate((1e9, 1e9 + 0.04, 1e9 + jump, 1e9 + jump + 0.04)):
        device.send(time=time_, count=number)
    found = frames(source, 4)
    assert source.counts()["clock jumps"] == 1
    assert [frame.segment for frame in found] == [found[0].segment] * 2 + [found[2].segment] * 2
    assert found[0].segment != found[2].segment


def test_what_has_no_time_is_stamped_on_arrival(make, ear):
    source, device = make(), ear()
    before = time.time()
    device.send()
    (frame,) = frames(source, 1)
    assert before - 0.04 <= frame.time <= time.time() - 0.04


def test_an_end_ends_the_stream_for_every_stage(make, ear):
    source, device = make(ends=True), ear()
    device.send()
    device.tell(end=True)
    rows_, end = frames(source, 2)
    assert not rows_.end
    assert (end.end, end.last, end.segment) == (True, True, rows_.segment)
    assert end.arrays["source"].data.shape == (0, 2)
    assert source.receive() is None
    assert source.finished


def test_a_silent_stream_is_ended_and_goes_on_where_it_was(make, ear):
    source, device = make(idle_seconds=0.05), ear()
    device.send()
    first, end = frames(source, 2)
    assert (first.end, end.end) == (False, True)
    assert source.counts() == {"streams": 1, "idle streams ended": 1, "streams open": 0}
    device.send(count=3)
    assert frames(source, 1)[0].segment != first.segment
    assert source.lost == {"never arrived": 2}


def test_more_streams_than_are_accepted_are_refused(make, ear):
    source = make(streams=2)
    devices = [ear(name) for name in "abc"]
    for device in devices[:2]:
        device.send()
    frames(source, 2)
    devices[2].send()
    devices[0].send()
    devices[1].send()
    frames(source, 2)
    deadline = time.monotonic() + 10
    while left_out(source) != {"messages refused (streams)": 1} and time.monotonic() < deadline:
        assert source.receive() is None
    devices[0].tell(end=True)
    frames(source, 1)
    devices[2].send()
    assert frames(source, 1)[0].stream == "c"


def test_it_ends_after_its_duration(make, ear):
    source, device = make(duration=0.05), ear()
    device.send()
    assert [frame.end for frame in frames(source, 2)] == [False, True]
    assert source.finished


def test_a_device_that_was_restarted_may_have_another_dtype(make, ear):
    source, first = make(session_seconds=0.001), ear(session="one")
    first.send()
    frames(source, 1)
    heard = time.monotonic()
    while time.monotonic() < heard + 0.01:  # nothing waits of the first one
        assert source.receive() is None
    second = ear(session="two")
    second.send(rows(dtype=np.int16))
    assert frames(source, 1)[0].arrays["source"].data.dtype == np.int16
    assert source.counts()["devices restarted"] == 1


def test_an_end_that_comes_twice_is_one(make, ear):
    source, device = make(), ear()
    device.send()
    device.tell(end=True)
    device.tell(end=True)
    device.send(time=5.0)
    found = frames(source, 3)
    assert [frame.end for frame in found] == [False, True, False]
    assert not source.lost


def test_after_a_restart_repeats_are_known_and_what_was_missed_is_counted(make, ear):
    source, device = make(), ear()
    for _ in range(3):
        device.send(time=1.0 + device.count * 0.04)
    before = frames(source, 3)
    state = source.state()
    source.close()
    source = make(state)
    device.send(count=2)
    device.send(count=7, time=1.28)
    device.send(count=9, time=1.36)
    found = frames(source, 2)
    assert source.lost == {"perhaps lost in a restart": 4, "never arrived": 1}
    assert source.counts()["repeats"] == 1
    assert found[0].segment != before[0].segment
    assert source.counts()["streams"] == 1


def test_a_restart_that_misses_nothing_goes_on_in_the_same_segment(make, ear):
    source, device = make(), ear()
    device.send(time=1.0)
    (before,) = frames(source, 1)
    state = source.state()
    source.close()
    source = make(state)
    device.send(time=1.04)
    assert frames(source, 1)[0].segment == before.segment
    assert not source.lost


def test_of_several_arrays_the_one_of_the_sources_name_is_taken(make, ear):
    source, device = make(), ear()
    arrays = [{"name": name, "dtype": "uint8", "axes": ["time"], "shape": [3]} for name in ("other", "source")]
    for names in (arrays, [{**array, "name": array["name"] + "s"} for array in arrays]):
        device.socket.send_multipart([*message("ear", arrays=names), b"abc", b"def"])
    device.socket.send_multipart([*message("ear", arrays=arrays[:1]), b"ghi"])
    assert [bytes(frame.arrays["source"].data) for frame in frames(source, 2)] == [b"def", b"ghi"]
    assert left_out(source) == {"arrays of other names": 1, "messages refused (arrays)": 1}


def test_late_labels_are_handed_on(make, ear):
    source, device = make(), ear()
    device.send(segment="a")
    device.tell(segment="a", labels={"word": "a"})
    device.tell(offset=17, labels={"word": "b"})
    device.tell(time=3.5, labels={"word": "c"})
    device.tell(labels={"word": "d"})
    device.tell()
    device.send(segment="b")
    found = frames(source, 5)
    assert [(one.segment, one.offset, one.time) for one in found[1:4]] == [("a", -1, 0.0), ("", 17, 0.0), ("", -1, 3.5)]
    assert not any(one.arrays for one in found[1:4])
    assert left_out(source) == {"messages refused (label)": 1, "messages refused (empty)": 1}
    assert not source.lost


def test_an_address_in_use_is_named(make, tmp_path):
    make()
    with pytest.raises(ValueError, match=f"address already in use: ipc://{tmp_path}/d"):
        make()


def test_it_is_closed_before_it_is_open():
    DevicesSource().close()


@pytest.mark.parametrize("name", ["$array", "__metadata__", "\x1b[2J", "a/b\n", "x" * 1024])
def test_any_name_survives_a_checkpoint(make, ear, tmp_path, name):
    from stream_infomax.state import file

    source, device = make(), ear(name)
    device.send()
    frames(source, 1)
    file.save(tmp_path / "state", source.state())
    source.close()
    source = make(file.load(tmp_path / "state"))
    device.send()
    assert frames(source, 1)[0].stream == name


def test_messages_are_put_together_until_a_frame_has_its_rows(make, ear):
    source, device = make(frame=8), ear()
    for number in range(5):
        device.send(time=1.0 + number * 0.04)
    device.tell(end=True)
    found = frames(source, 3)
    assert [len(frame.arrays["source"].data) for frame in found] == [8, 8, 4]
    np.testing.assert_array_equal(
        np.concatenate([frame.arrays["source"].data for frame in found]), np.concatenate(device.sent)
    )
    assert [frame.time for frame in found] == [1.0, 1.08, 1.16]
    assert [frame.end for frame in found] == [False, False, True]


def test_rows_on_either_side_of_a_border_are_not_put_together(make, ear):
    source, device = make(frame=100), ear()
    device.send(time=1.0)
    device.send(time=1.04, count=2)  # a gap
    device.send(time=1.08, labels={"word": "yes"})
    device.send(time=1.12, labels={"word": "yes"}, segment="b")
    device.send(time=1.16, labels={"word": "yes"}, segment="b", last=True)
    found = frames(source, 4)
    assert [len(frame.arrays["source"].data) for frame in found] == [4, 4, 4, 8]
    assert [frame.segment == "b" for frame in found] == [False, False, False, True]
    assert found[0].segment != found[1].segment == found[2].segment
    assert [frame.last for frame in found] == [False, False, False, True]


def test_rows_that_wait_for_more_are_given_when_none_come(make, ear):
    source, device = make(frame=100), ear()
    device.send()
    (frame,) = frames(source, 1)
    assert len(frame.arrays["source"].data) == 4


def test_rows_that_wait_when_the_source_dies_count_as_lost(make, ear):
    source, device = make(frame=12), ear()
    for number in range(5):
        device.send(time=1.0 + number * 0.04)
    frames(source, 1)
    deadline = time.monotonic() + 10
    while source._open["ear"].gathered_rows < 8 and time.monotonic() < deadline:
        source.receive()
    state = source.state()
    source.close()
    source = make(state, frame=1)
    device.send()
    frames(source, 1)
    assert source.lost == {"perhaps lost in a restart": 2}
