"""tests/vectors: the bytes of a device's messages, both ways, and those that are refused."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.devices import frames

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame, FrameError
from stream_infomax.sources.devices import DevicesSource

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "device.json").read_text(encoding="utf-8"))
DEFAULTS = {"offset": -1, "segment": "", "last": False, "end": False, "time": 0.0, "rate": 0.0, "labels": {}}


def of(kind):
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=[vector["name"] for vector in VECTORS[kind]])


def parts(vector):
    return [bytes.fromhex(part) for part in vector["parts"]]


def frame(vector):
    """Return what a vector says in words, as a frame."""
    header = {**DEFAULTS, **vector["header"]}
    arrays = {}
    for one in header["arrays"]:
        values = np.array([np.nan if value is None else value for value in vector["values"][one["name"]]])
        arrays[one["name"]] = Array(values.astype(one["dtype"]).reshape(one["shape"]), tuple(one["axes"]))
    header["last"] = header["last"] or header["end"]
    return Frame(header["stream"], arrays=arrays, **{key: header[key] for key in DEFAULTS})


@of("written")
def test_what_is_written(vector):
    given = frame(vector)
    made = wire.encode_pushed(given, vector["header"].get("count"), vector["header"].get("session", ""))
    assert made[0].hex() == vector["parts"][0]
    if not any(None in values for values in vector["values"].values()):  # there is more than one NaN
        assert made == parts(vector)


@pytest.mark.parametrize(
    "vector",
    [*VECTORS["written"], *VECTORS["read"]],
    ids=[vector["name"] for vector in [*VECTORS["written"], *VECTORS["read"]]],
)
def test_what_is_read(vector):
    pushed, given = wire.decode_pushed(parts(vector)), frame(vector)
    assert pushed.count == vector["header"].get("count")
    assert pushed.session == vector["header"].get("session", "")
    for key in ("stream", *DEFAULTS):
        assert getattr(pushed.frame, key) == getattr(given, key)
    assert list(pushed.frame.arrays) == list(given.arrays)
    for name, array in pushed.frame.arrays.items():
        assert (array.axes, array.data.dtype) == (given.arrays[name].axes, given.arrays[name].data.dtype)
        finite = np.isfinite(array.data)
        assert [value is not None for value in vector["values"][name]] == finite.ravel().tolist()
        np.testing.assert_array_equal(array.data[finite], given.arrays[name].data[finite])


@of("written")
def test_the_header_is_what_any_library_reads(vector):
    assert msgspec.msgpack.decode(parts(vector)[0]) == vector["header"]


@of("refused")
def test_what_is_refused(vector):
    with pytest.raises(FrameError) as raised:
        wire.decode_pushed(parts(vector))
    assert raised.value.reason == vector["reason"]
    if "count" not in vector["name"] and "session" not in vector["name"]:
        with pytest.raises(FrameError) as raised:
            wire.decode(parts(vector))
        assert raised.value.reason == vector["reason"]


def test_count_and_session_are_of_pushed_frames_only():
    with pytest.raises(FrameError, match="unknown field `count`"):
        wire.decode(wire.encode_pushed(Frame("a"), 1, "s"))


def test_a_source_that_is_sent_all_of_them_counts_the_refused_by_reason(context, ipc):
    import zmq

    source = DevicesSource(bind=ipc)
    source.open()
    socket = context.socket(zmq.PUSH)
    socket.connect(ipc)
    reasons = [vector["reason"] for vector in VECTORS["refused"] if vector["parts"]]
    for vector in VECTORS["refused"]:
        if vector["parts"]:
            socket.send_multipart(parts(vector))
    first = VECTORS["written"][1]
    socket.send_multipart(parts(first))
    (given,) = frames(source, 1)
    np.testing.assert_array_equal(given.arrays["source"].data.ravel(), first["values"]["rows"])
    counted = source.counts()
    assert {key: counted[key] for key in counted if "refused" in key} == {
        f"left out: messages refused ({reason})": reasons.count(reason) for reason in reasons
    }
    source.close()
