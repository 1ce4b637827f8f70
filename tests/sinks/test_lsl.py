"""LslSink: what a listener hears, and a stream that is found again after a death."""

import time

import numpy as np
import pytest
from helpers.extras import extra

pylsl = extra("pylsl")

from stream_infomax.frames.contracts import Output  # noqa: E402
from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.settings.error import SettingError  # noqa: E402
from stream_infomax.settings.record import make  # noqa: E402
from stream_infomax.sinks import lsl  # noqa: E402
from stream_infomax.sinks.lsl import LslSettings, LslSink  # noqa: E402

LONG = 30.0


def frame(offset, *rows, stream="mic", at=None, rate=100.0):
    array = Array(np.array(rows, np.float32).reshape(len(rows), -1), ("time", "component"))
    return Output(Frame(stream, offset, "one", {"features": array}, time=time.time() if at is None else at, rate=rate))


@pytest.fixture
def sink(tmp_path, request):
    made = LslSink("lsl", tmp_path / "lsl", stream=f"{request.node.name} {{stream}}")
    yield made
    made.close()


@pytest.fixture
def listener(request):
    """Connect to what a sink offers."""

    def connect(stream="mic", recover=True):
        (info,) = pylsl.resolve_byprop("name", f"{request.node.name} {stream}", 1, LONG)
        inlet = pylsl.StreamInlet(info, recover=recover)
        inlet.open_stream(LONG)
        return inlet

    return connect


def pull(inlet, n):
    rows, stamps = inlet.pull_chunk(LONG, n, as_numpy=True)
    assert len(rows) == n
    return rows, stamps


def test_rows_come_with_names_and_times(sink, listener):
    sink.accept(frame(0, [0, 0]))
    inlet = listener()
    info = inlet.info(LONG)
    assert (info.type(), info.nominal_srate(), info.channel_count()) == ("features", 100.0, 2)
    assert info.get_channel_labels() == ["features 0", "features 1"]
    now = time.time()
    sink.accept(frame(1, [1, 2], [3, np.nan], at=now))
    rows, stamps = pull(inlet, 2)
    np.testing.assert_array_equal(rows, np.float32([[1, 2], [3, np.nan]]))
    np.testing.assert_allclose(stamps + time.time() - pylsl.local_clock() - now, [0, 0.01], atol=0.005)


def test_rows_of_files_have_the_time_at_which_they_are_given_out(sink, listener):
    sink.accept(frame(0, [0]))
    inlet = listener()
    sink.accept(frame(1, [1], [2], at=3.5))
    _, stamps = pull(inlet, 2)
    np.testing.assert_allclose(stamps - pylsl.local_clock(), [0, 0], atol=1.0)
    assert stamps[1] - stamps[0] == pytest.approx(0.01)


def test_each_stream_is_one_and_late_labels_and_unsettled_rows_are_none(sink, listener, monkeypatch):
    monkeypatch.setattr(lsl, "MAX_STREAMS", 2)
    sink.accept(Output(Frame("late", 0, "one", labels={"word": "one"})))
    unsettled = Array(np.zeros((3, 0), np.float32), ("time", "component"))
    sink.accept(Output(Frame("mic", 1, "one", {"features": unsettled})))
    for number, stream in enumerate(("mic", "door", "cellar"), 2):
        sink.accept(frame(number, [number], stream=stream))
    inlets = [listener("mic"), listener("door")]
    sink.accept(frame(5, [5], stream="door"))
    sink.accept(frame(6, [6], stream="mic"))
    assert [float(pull(inlet, 1)[0][0, 0]) for inlet in inlets] == [6, 5]
    assert sink.held().dropped == 1


def test_rows_that_become_longer_are_an_error(sink):
    sink.accept(frame(0, [0]))
    with pytest.raises(ValueError, match="'features' has rows of 2 numbers, before 1; LSL streams do not change"):
        sink.accept(frame(1, [0, 0]))


def test_the_array_has_to_be_there(tmp_path):
    sink = LslSink("lsl", tmp_path, array="source")
    with pytest.raises(ValueError, match="offers 'source', but the frame has"):
        sink.accept(frame(0, [0]))


def test_listeners_find_it_again_after_a_death(sink, listener, tmp_path):
    sink.accept(frame(0, [0]))
    inlet = listener()
    sink.accept(frame(1, [1]))
    assert pull(inlet, 1)[0].tolist() == [[1]]
    sink.close()
    again = LslSink("lsl", tmp_path / "lsl", stream=sink.given.stream)
    again.accept(frame(2, [2]))
    end = time.monotonic() + LONG
    while not len(heard := inlet.pull_chunk(0.05, 1, as_numpy=True)[0]):
        again.accept(frame(3, [3]))
        assert time.monotonic() < end
    assert heard[0, 0] == 3
    again.close()


@pytest.mark.parametrize("stream", ["", "a {segment}"])
def test_a_name_that_cannot_be_is_refused(stream):
    with pytest.raises(SettingError, match="stream = "):
        make(LslSettings, {"stream": stream})
