"""What `conform` says of good and of lying devices; nothing that they send raises an error."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame, FrameError
from stream_infomax.transport.conform.inspection import KEYS, REQUIRED, inspect
from stream_infomax.transport.conform.listen import MOST_NOTES, MOST_STREAMS, Listener, Note, Report

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "device.json").read_text(encoding="utf-8"))
RATE, ROWS = 8000.0, 160
BEGUN = 1_700_000_000.0

Header = dict[str, Any]
Change = Callable[[int, Header], Header | None]


def message(number: int, /, changes: Mapping[Any, Any] | None = None) -> tuple[Header, list[bytes]]:
    """A frame of a good device, and what is changed of it."""
    rows = np.random.default_rng(number).laplace(size=(ROWS, 2)).astype("<f4")
    array = {"name": "source", "dtype": "float32", "axes": ["time", "channel"], "shape": [ROWS, 2]}
    header = {
        "version": 1,
        "stream": "ear",
        "session": "0123456789abcdef",
        "count": number,
        "time": BEGUN + number * ROWS / RATE,
        "rate": RATE,
        "arrays": [array],
    }
    return {**header, **(changes or {})}, [rows.tobytes()]


def heard(change: Change = lambda _, header: header, n: int = 150, speed: float = 1.0) -> Report:
    """What is said of a device whose headers are changed; None leaves a message out."""
    listener = Listener()
    for count in range(n):
        header, payloads = message(count)
        changed = change(count, header)
        arrived = BEGUN + (count + 1) * ROWS / RATE / speed + 0.001 * (count % 3 + 1)
        if changed is not None:
            listener.take([msgspec.msgpack.encode(changed), *payloads[: len(changed["arrays"])]], arrived)
    return listener.report()


def notes(report: Report, field: str) -> list[Note]:
    return [note for stream in report.streams for note in stream.notes if note.field == field]


def without(header: Header, *keys: str) -> Header:
    return {key: value for key, value in header.items() if key not in keys}


def test_of_a_good_device_every_field_is_right() -> None:
    report = heard()
    (stream,) = report.streams
    assert (report.right, report.messages, report.notes) == (True, 150, [])
    assert (stream.stream, stream.messages, stream.frames, stream.rows) == ("ear", 150, 150, 150 * ROWS)
    assert {note.verdict for note in stream.notes} == {"right"}
    said = {note.field: note.text for note in stream.notes}
    assert list(said) == ["version", "session", "count", "time", "rate", "segment", "end", "arrays", "values"]
    assert said["count"] == "0 … 149, none missing"
    assert said["arrays"] == "'source' float32, time × channel, a row of 2"
    assert said["rate"].startswith("8,000; 8,000 rows a second come")
    assert said["time"].startswith("the wall clock, a frame comes 1.0 ms after its last row")


def test_what_a_device_need_not_send_is_to_be_looked_at() -> None:
    report = heard(lambda _, header: without(header, "count", "session", "time", "rate"))
    assert report.right
    looks = {note.field for stream in report.streams for note in stream.notes if note.verdict == "look"}
    assert looks == {"count", "session", "time", "rate"}


ARRAY = {"name": "source", "dtype": "float32", "axes": ["time", "channel"], "shape": [ROWS, 2]}
BROKEN = [
    ("version", {"version": 2}, "an integer, 2; accepted is 1"),
    ("version", {"version": True}, "a bool, True"),
    ("stream", {"stream": ""}, "accepted is text of 1 to 1,024 characters"),
    ("stream", {"stream": 7}, "an integer, 7"),
    ("count", {"count": -1}, "accepted is a whole number from 0 to 2^62"),
    ("count", {"count": "7"}, "text, '7'"),
    ("session", {"session": "x" * 65}, "accepted is text of at most 64 characters"),
    ("time", {"time": float("nan")}, "a float, nan; accepted is seconds, a finite number"),
    ("time", {"time": "12:30"}, "text, '12:30'"),
    ("rate", {"rate": -1.0}, "a finite number >= 0"),
    ("segment", {"segment": None}, "nil"),
    ("last", {"last": 1}, "accepted is true or false"),
    ("labels", {"labels": {"digit": 7}}, "a map of at most 64 texts"),
    ("arrays", {"arrays": {}}, "a map, {}; accepted is a list of at most 64 maps"),
    ("arrays", {"arrays": []}, "0 are named, but 1 payloads follow"),
    ("arrays", {"arrays": [ARRAY, {**ARRAY, "name": "b"}]}, "2 are named, but 1 payloads follow"),
    ("arrays[0]", {"arrays": ["source"]}, "text; accepted is a map"),
    ("arrays[0].dtype", {"arrays": [{**ARRAY, "dtype": "float16"}]}, "'float16'; accepted is one of float32, float64"),
    (
        "arrays[0].axes",
        {"arrays": [{**ARRAY, "axes": ["time", "ear"]}]},
        "accepted is a list of at most 8 of time, item",
    ),
    ("arrays[0].axes", {"arrays": [{**ARRAY, "axes": ["channel", "time"]}]}, "come before the geometry"),
    ("arrays[0].shape", {"arrays": [{**ARRAY, "shape": [ROWS]}]}, "1 numbers for 2 axes (time, channel)"),
    ("arrays[0].shape", {"arrays": [{**ARRAY, "shape": [ROWS, 3]}]}, "160 × 3 of float32 needs 1920 bytes, but the"),
    ("arrays[0].shape", {"arrays": [{**ARRAY, "shape": [2**62, 2**62]}]}, "bytes, but the payload has 1,280"),
    ("arrays[0].shape", {"arrays": [{**ARRAY, "shape": [ROWS, 0]}]}, "needs 0 bytes"),
    ("arrays[0].name", {"arrays": [without(ARRAY, "name")]}, "missing; accepted is text of 1 to 256 characters"),
    ("arrays[0].'unit'", {"arrays": [{**ARRAY, "unit": "V"}]}, "unknown key; accepted are name, dtype, axes, shape"),
    ("'sample_rate'", {"sample_rate": 8000}, "unknown key; accepted are version, stream, session, count"),
    ("b'time'", {b"time": 1.0}, "unknown key"),
]


@pytest.mark.parametrize(("field", "change", "text"), BROKEN)
def test_a_field_that_is_wrong_is_named_with_what_is_accepted(field: str, change: Header, text: str) -> None:
    header, payloads = message(0, change)
    parts = [msgspec.msgpack.encode(header), *payloads]
    finding, *_ = inspect(parts).findings
    assert (finding.field, finding.verdict) == (field, "wrong")
    assert text in finding.text
    with pytest.raises(FrameError):
        wire.decode_pushed(parts)


def test_all_that_is_wrong_is_named_at_once() -> None:
    header, payloads = message(0, {"version": 2, "rate": -1, "count": 1.5, "pace": "slow"})
    fields = [finding.field for finding in inspect([msgspec.msgpack.encode(header), *payloads]).findings]
    assert fields == ["version", "count", "rate", "'pace'"]


def test_a_message_without_a_readable_header_is_named() -> None:
    listener = Listener()
    parts = [
        b"",
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"\x80",
        b"\x91" * 100_000,
        bytes(wire.MAX_HEADER_BYTES + 1),
        b"\x81\x81\x01\x02\x03",
    ]
    for part in parts:
        listener.take([part], BEGUN)
    report = listener.report()
    assert not report.right
    assert {note.field for note in report.notes} == {"header"}
    assert sum(note.times for note in report.notes) == len(parts)


def changes(where: Callable[[int], bool], **values: Any) -> Change:
    return lambda n, header: {**header, **values} if where(n) else header


def late(n: int) -> bool:
    return n >= 75


# What a device does, the field, the verdict, and words of the text.
LYING = {
    "repeats": (changes(lambda n: n == 40, count=39), "count", "wrong", "39 after 39: a source drops it"),
    "sends twice": (
        lambda n, h: message(39)[0] if n == 40 else h,
        "count",
        "look",
        "39 after 39: sent twice",
    ),
    "starts again, without a session": (
        lambda n, h: {**without(h, "session"), "count": n % 75},
        "count",
        "look",
        "0 after 74: the device was started again",
    ),
    "begins with nothing": (
        lambda n, h: h if n else {**h, "arrays": [], "last": True},
        "arrays",
        "wrong",
        "the first message of the stream has no rows",
    ),
    "goes back": (lambda n, h: {**h, "count": h["count"] % 50}, "count", "wrong", "0 after 49"),
    "drops": (lambda n, h: None if 40 <= n < 43 else h, "count", "look", "43 after 39"),
    "counts by two": (lambda n, h: {**h, "count": 2 * n}, "count", "wrong", "jumps 149 times in 150 frames"),
    "counts now and then": (
        lambda n, h: without(h, "count") if n % 3 else h,
        "count",
        "wrong",
        "missing in 100 of",
    ),
    "two devices": (
        changes(lambda n: n % 2, session="other"),
        "session",
        "wrong",
        "two devices send under one name",
    ),
    "starts again": (changes(late, session="other"), "session", "look", "the device was started again"),
    "time goes back": (changes(lambda n: n == 40, time=BEGUN), "time", "wrong", "goes back by 0.78 s"),
    "milliseconds": (lambda n, h: {**h, "time": 1e3 * h["time"]}, "time", "wrong", "(are these milliseconds?)"),
    "time jumps": (
        lambda n, h: {**h, "time": h["time"] + 9 * late(n)},
        "time",
        "look",
        "goes on by 9.020 s, where 0.020 s of rows came",
    ),
    "time stands": (changes(lambda n: True, time=BEGUN), "time", "wrong", "goes on by 0 s"),
    "clock too fast": (
        lambda n, h: {**h, "time": BEGUN + n * ROWS * 3 / RATE},
        "time",
        "wrong",
        "goes on by 3 s for each",
    ),
    "future": (lambda n, h: {**h, "time": h["time"] + 5}, "time", "look", "in the future"),
    "wrong rate": (changes(lambda n: True, rate=RATE / 2), "rate", "wrong", "4,000, but 8,0"),
    "rate changes": (changes(late, rate=RATE / 2), "rate", "wrong", "4,000 after 8,000"),
    "rate now and then": (lambda n, h: without(h, "rate") if n % 2 else h, "rate", "wrong", "missing in 75 of 150"),
    "another layout": (
        lambda n, h: {**h, "arrays": [{**ARRAY, "shape": [2 * ROWS, 1]}]} if late(n) else h,
        "arrays",
        "wrong",
        "a row of 1 after 'source' float32, time × channel, a row of 2",
    ),
    "another name": (
        lambda n, h: {**h, "arrays": [{**ARRAY, "name": "b"}]} if late(n) else h,
        "arrays",
        "look",
        "another name",
    ),
    "cut off": (
        lambda n, h: {**h, "segment": "b" if late(n) else "a"},
        "segment",
        "look",
        "whose last frame does not say `last`",
    ),
    "again": (changes(lambda n: True, segment="a", last=True), "segment", "look", "'a' again behind its `last`"),
    "goes on": (changes(lambda n: n == 40, end=True), "end", "look", "frames come behind `end`"),
    "numbers frames": (lambda n, h: {**h, "offset": n}, "offset", "look", "the source numbers the frames"),
    "learns": (changes(lambda n: True, update=3), "update", "look", "only learners write it"),
}


@pytest.mark.parametrize(("change", "field", "verdict", "words"), LYING.values(), ids=LYING)
def test_a_device_that_lies_from_frame_to_frame(change: Change, field: str, verdict: str, words: str) -> None:
    report = heard(change)
    found = notes(report, field)
    assert [note for note in found if note.verdict == verdict and words in note.text], found
    if verdict == "wrong":
        assert not report.right


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_rows_that_come_faster_or_slower_than_their_rate_says(speed: float) -> None:
    report = heard(speed=speed, n=300)
    (rate,) = notes(report, "rate")
    assert rate.verdict == "wrong"
    came = float(rate.text.split("8,000, but ")[1].split()[0].replace(",", ""))
    assert came == pytest.approx(8000 * speed, rel=0.01)


def test_a_recording_that_is_sent_as_fast_as_it_can_is_right() -> None:
    report = heard(speed=40.0, n=6000)
    (rate,) = notes(report, "rate")
    assert (report.right, rate.verdict) == (True, "look")
    assert "right for a recording" in rate.text


def test_frames_that_had_waited_for_a_listener_do_not_count_as_a_rate() -> None:
    listener = Listener()
    for count in range(300):
        header, payloads = message(count)
        arrived = BEGUN + (max(count, 200) + 1) * ROWS / RATE
        listener.take([msgspec.msgpack.encode(header), *payloads], arrived)
    assert {note.verdict for note in listener.report().streams[0].notes} == {"right"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: np.where(np.arange(ROWS)[:, None] % 4, rows, np.nan), "25 % of the values of 'source' are NaN"),
        (lambda rows: rows * [1, 0], "1 of 2 columns of 'source' are constant (1): the first at 0"),
        (lambda rows: rows.clip(-1, 1), "2 of 2 columns of 'source' are clipped (0, 1): the first at -1 and 1"),
    ],
)
def test_values_that_no_sensor_should_give(spoil: Callable[[Any], Any], words: str) -> None:
    listener = Listener()
    for count in range(100):
        header, payloads = message(count)
        rows = spoil(np.frombuffer(payloads[0], "<f4").reshape(ROWS, 2)).astype("<f4")
        listener.take([msgspec.msgpack.encode(header), rows.tobytes()], BEGUN + count * ROWS / RATE)
    report = listener.report()
    assert report.right
    assert [note for note in notes(report, "values") if note.verdict == "look" and note.text.startswith(words)]


def test_a_sine_is_not_clipped() -> None:
    listener = Listener()
    for count in range(100):
        header, _ = message(count)
        rows = np.repeat(np.sin(2 * np.pi * np.arange(ROWS) / 40)[:, None], 2, axis=1).astype("<f4")
        listener.take([msgspec.msgpack.encode(header), rows.tobytes()], BEGUN + count * ROWS / RATE)
    assert {note.verdict for note in notes(listener.report(), "values")} == {"right"}


def test_a_label_that_comes_late_says_for_what() -> None:
    label = {"version": 1, "stream": "ear", "arrays": [], "labels": {"digit": "7"}}
    assert inspect([msgspec.msgpack.encode({**label, "segment": "a"})]).findings == []
    (finding,) = inspect([msgspec.msgpack.encode(label)]).findings
    assert (finding.field, finding.verdict) == ("labels", "wrong")
    (finding,) = inspect([msgspec.msgpack.encode({**label, "labels": {}, "segment": "a"})]).findings
    assert (finding.field, finding.verdict) == ("arrays", "wrong")


def test_a_label_that_comes_late_is_counted_among_the_messages() -> None:
    listener = Listener()
    for count in range(20):
        header, payloads = message(count)
        label = {"arrays": [], "labels": {"digit": "7"}, "segment": "a"} if count == 9 else {}
        listener.take([msgspec.msgpack.encode({**header, **label}), *payloads * (not label)], BEGUN)
    (note,) = notes(listener.report(), "count")
    assert (note.verdict, note.text) == ("right", "0 … 19, none missing")


@pytest.mark.parametrize("kind", ["written", "read", "refused"])
def test_the_vectors_of_devices_are_judged_as_a_source_does(kind: str) -> None:
    for vector in VECTORS[kind]:
        inspected = inspect([bytes.fromhex(part) for part in vector["parts"]])
        assert inspected.wrong == (kind == "refused"), (vector["name"], inspected.findings)


def test_streams_of_two_forms_are_to_be_looked_at() -> None:
    listener = Listener()
    for number, change in enumerate(({}, {"stream": "eye", "rate": 25.0})):
        header, payloads = message(number, change)
        listener.take([msgspec.msgpack.encode(header), *payloads], BEGUN)
    (note,) = listener.report().notes
    assert (note.field, note.verdict) == ("arrays", "look")
    assert note.text.startswith("'ear' has time × channel, a row of 2, rate 8000, 'eye' has")


def test_what_is_kept_of_strangers_is_bounded() -> None:
    listener = Listener()
    for number in range(3 * MOST_STREAMS):
        header, payloads = message(0, {"stream": f"ear {number}"})
        listener.take([msgspec.msgpack.encode(header), *payloads], BEGUN)
    for number in range(3 * MOST_NOTES):
        header, payloads = message(0, {f"key {number}": 1})
        listener.take([msgspec.msgpack.encode(header), *payloads], BEGUN)
    report = listener.report()
    assert len(report.streams) == MOST_STREAMS
    assert len(report.notes) <= MOST_NOTES


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
arrays = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", ""]) | anything,
        "dtype": st.sampled_from(["float32", "bool", "float16"]) | anything,
        "axes": st.lists(st.sampled_from(["time", "channel", "y", "ear"]), max_size=3) | anything,
        "shape": st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3) | anything,
    },
    optional={"unit": anything},
)
headers = st.fixed_dictionaries(
    {
        "version": st.sampled_from([1, 1, 1, 2]) | anything,
        "stream": st.just("ear") | anything,
        "arrays": st.lists(arrays, max_size=3) | anything,
    },
    optional={key: anything for key in (*KEYS, "events", "pace") if key not in REQUIRED},
)


@settings(max_examples=300, deadline=None)
@given(st.lists(headers.map(msgspec.msgpack.encode) | st.binary(max_size=40), min_size=1, max_size=4), st.data())
def test_nothing_that_is_sent_raises_an_error(first: list[bytes], data: st.DataObject) -> None:
    listener = Listener()
    for header in first:
        payloads = data.draw(st.lists(st.binary(max_size=24), max_size=3))
        listener.take([header, *payloads], BEGUN)
    for note in (report := listener.report()).notes:
        assert note.text.isprintable()
    msgspec.json.encode(report)


@settings(max_examples=300, deadline=None)
@given(headers, st.lists(st.sampled_from([b"", bytes(4), bytes(24)]), max_size=3))
def test_what_a_source_refuses_is_wrong(header: Header, payloads: list[bytes]) -> None:
    parts = [msgspec.msgpack.encode(header), *payloads]
    try:
        wire.decode_pushed(parts)
    except FrameError:
        assert inspect(parts).wrong


def test_late_labels_without_a_counter_or_before_the_first_frame_are_no_stumbling_block():
    rows = {"x": Array(np.zeros((4, 2), np.float32), ("time", "channel"))}
    label = Frame("a", segment="one", labels={"word": "yes"})
    listener = Listener()
    for sent, count in ((label, 5), (label, 5), (Frame("a", arrays=rows, rate=4.0), 6), (label, None)):
        listener.take(wire.encode_pushed(sent, count, "s"), 1.0)
    (stream,) = listener.report().streams
    assert (stream.messages, stream.frames) == (4, 1)
    assert any(note.text.startswith("5 after 5") for note in stream.notes)
