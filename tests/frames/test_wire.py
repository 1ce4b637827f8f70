"""The bytes of a frame: everything that can be said comes back, and nothing else is taken."""

import math

import hypothesis.extra.numpy as hnp
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infomax.frames import wire
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import GEOMETRY_AXES, ROW_AXES, Array, Frame, FrameError
from stream_infomax.frames.wire import DTYPES, MAX_HEADER_BYTES

texts = st.text(max_size=20)


@st.composite
def arrays(draw):
    n_rows = draw(st.integers(0, 2))
    n_geometry = draw(st.integers(0, 3))
    axes = draw(st.tuples(*[st.sampled_from(ROW_AXES)] * n_rows, *[st.sampled_from(GEOMETRY_AXES)] * n_geometry))
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    shape = draw(st.tuples(*[st.integers(0, 4)] * len(axes)))
    return Array(draw(hnp.arrays(dtype, shape)), axes)


frames = st.builds(
    Frame,
    stream=st.text(min_size=1, max_size=20),
    offset=st.integers(-1, 2**63 - 1),
    segment=texts,
    arrays=st.dictionaries(st.text(min_size=1, max_size=10), arrays(), max_size=3),
    last=st.booleans(),
    end=st.booleans(),
    time=st.floats(allow_nan=False, allow_infinity=False),
    rate=st.floats(0, 1e9),
    labels=st.dictionaries(texts, texts, max_size=3),
    encoder=texts,
    update=st.integers(0, 2**63 - 1),
    basis=texts,
    events=st.lists(
        st.builds(
            Event, stage=texts, position=st.integers(0, 2**63 - 1), kind=st.sampled_from(["change", "undo"]), text=texts
        ),
        max_size=3,
    ).map(tuple),
)


@given(frames)
def test_a_frame_survives_its_bytes(frame):
    parts = wire.encode(frame)
    back = wire.decode(parts)
    for name in (
        "stream",
        "offset",
        "segment",
        "end",
        "time",
        "rate",
        "labels",
        "encoder",
        "update",
        "basis",
        "events",
    ):
        assert getattr(back, name) == getattr(frame, name)
    assert back.last == (frame.last or frame.end)
    assert list(back.arrays) == list(frame.arrays)
    for name, array in frame.arrays.items():
        assert back.arrays[name].axes == array.axes
        assert back.arrays[name].data.dtype == array.data.dtype
        assert back.arrays[name].data.shape == array.data.shape
        assert back.arrays[name].data.tobytes() == array.data.tobytes()
        assert not back.arrays[name].data.flags.writeable
    assert wire.encode(back) == parts


@given(frames, st.data())
def test_a_cut_or_changed_header_is_a_frame_error_or_a_frame(frame, data):
    parts = wire.encode(frame)
    header = bytearray(parts[0])
    position = data.draw(st.integers(0, len(header) - 1))
    if data.draw(st.booleans()):
        del header[position:]
    else:
        header[position] = data.draw(st.integers(0, 255))
    try:
        wire.decode([bytes(header), *parts[1:]])
    except FrameError as error:
        assert error.reason in ("header", "version", "dtype", "axes", "length", "parts")


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_noise_is_a_frame_error(parts):
    with pytest.raises(FrameError):
        wire.decode(parts)


def header(**changes):
    fields = {
        "version": 1,
        "stream": "a",
        "offset": 0,
        "arrays": [{"name": "x", "dtype": "float32", "axes": ["time"], "shape": [2]}],
    }
    return msgspec.msgpack.encode({**fields, **changes})


def described(**changes):
    return header(arrays=[{"name": "x", "dtype": "float32", "axes": ["time"], "shape": [2], **changes}])


EIGHT = b"\0" * 8
TWO_TIMES = [{"name": "x", "dtype": "float32", "axes": ["time"], "shape": [2]}] * 2
MALFORMED = {
    "nothing": ([], "parts", "no part"),
    "nested": ([b"\x81\xa1x" + b"\x91" * 3297 + b"\xc0"], "header", "not a frame header"),
    "no map": ([b"\x01"], "header", "not a frame header"),
    "cut": ([header()[:-3], EIGHT], "header", "not a frame header"),
    "bad utf-8": ([header().replace(b"\xa1a", b"\xa1\xff"), EIGHT], "header", "not a frame header"),
    "huge header": ([b"\0" * (MAX_HEADER_BYTES + 1)], "header", str(MAX_HEADER_BYTES)),
    "unknown field": ([header(colour="red"), EIGHT], "header", "colour"),
    "no stream": ([header(stream=""), EIGHT], "header", "length"),
    "wrong type": ([header(offset="one"), EIGHT], "header", "offset"),
    "offset below -1": ([header(offset=-2), EIGHT], "header", "offset"),
    "time that is none": ([header(time=math.nan), EIGHT], "header", "finite"),
    "rate without end": ([header(rate=math.inf), EIGHT], "header", "finite"),
    "newer version": ([header(version=2, colour="red"), EIGHT], "version", "version 2; version 1 is accepted"),
    "older version": ([header(version=0), EIGHT], "version", "version 0"),
    "unknown dtype": ([described(dtype="complex64"), EIGHT], "dtype", "complex64"),
    "bool that is neither": ([described(dtype="bool"), b"\x01\x02"], "dtype", "other than 0 and 1"),
    "object dtype": ([described(dtype="object"), EIGHT], "dtype", "object"),
    "unknown axis": ([described(axes=["space"]), EIGHT], "axes", "space"),
    "axes without shape": ([described(axes=["time", "y"]), EIGHT], "axes", "axes"),
    "rows behind geometry": ([described(axes=["y", "time"], shape=[1, 2]), EIGHT], "axes", "before the geometry"),
    "payload too short": ([header(), b"\0" * 7], "length", "needs 8 bytes, got 7"),
    "payload too long": ([header(), b"\0" * 9], "length", "needs 8 bytes, got 9"),
    "huge announced shape": ([described(shape=[2**62]), EIGHT], "length", "got 8"),
    "huge empty shape": (
        [described(axes=["time", "y", "x"], shape=[2**62, 2**62, 0]), b""],
        "length",
        "of shape",
    ),
    "negative shape": ([described(shape=[-2]), EIGHT], "header", "shape"),
    "a payload missing": ([header()], "parts", "names 1 arrays but 0 payloads"),
    "a payload too many": ([header(), EIGHT, EIGHT], "parts", "2 payloads"),
    "a name twice": ([header(arrays=TWO_TIMES), EIGHT, EIGHT], "header", "twice"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_frames_are_refused_by_name(case):
    parts, reason, words = MALFORMED[case]
    with pytest.raises(FrameError, match=words) as caught:
        wire.decode(parts)
    assert caught.value.reason == reason


def test_a_dtype_that_is_not_sent_is_refused():
    frame = Frame(stream="a", arrays={"x": Array(np.zeros(2, np.complex64), ("time",))})
    with pytest.raises(FrameError, match="complex64"):
        wire.encode(frame)
    big_endian = Frame(stream="a", arrays={"x": Array(np.zeros(2, ">f4"), ("time",))})
    with pytest.raises(FrameError, match=">f4"):
        wire.encode(big_endian)


def test_arrays_in_another_order_are_sent_in_c_order():
    values = np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    frame = Frame(stream="a", arrays={"x": Array(values, ("time", "channel")), "y": Array(values[::-1], ("time", "x"))})
    back = wire.decode(wire.encode(frame))
    np.testing.assert_array_equal(back.arrays["x"].data, values)
    np.testing.assert_array_equal(back.arrays["y"].data, values[::-1])


def test_rows():
    array = Array(np.arange(24.0).reshape(2, 3, 4), ("grid_y", "grid_x", "component"))
    assert (array.n_row_axes, array.n_rows, array.row_shape) == (2, 6, (4,))
    np.testing.assert_array_equal(array.rows(), np.arange(24.0).reshape(6, 4))
    replaced = array.replace_rows(np.ones((6, 2)))
    assert (replaced.data.shape, replaced.axes) == ((2, 3, 2), ("grid_y", "grid_x", "component"))


def test_axes_that_do_not_fit_are_refused():
    with pytest.raises(FrameError, match="needs 2 axes"):
        Array(np.zeros((2, 2)), ("time",))


def test_extend_carries_what_is_named():
    one = Array(np.zeros(1), ("time",))
    frame = Frame(stream="a", offset=3, arrays={"x": one, "y": one}, labels={"k": "v"})
    out = frame.extend({"z": one}, carry=("y", "absent"), update=7)
    assert list(out.arrays) == ["y", "z"]
    assert (out.offset, out.update, out.labels) == (3, 7, {"k": "v"})


def test_frames_cannot_be_changed():
    with pytest.raises(AttributeError):
        Frame(stream="a").offset = 3
