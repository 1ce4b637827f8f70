"""MqttSink with a real broker: what a message holds, and a broker or a process that is gone for a while."""

import json
import logging

import numpy as np
import pytest
from contracts.sinks import settle
from helpers.brokers import NEED_BROKER, Broker

from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import make
from stream_infomax.sinks.mqtt import HEAD, MqttSettings, MqttSink
from stream_infomax.state import file as state_file

pytestmark = NEED_BROKER


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


@pytest.fixture
def listener(broker):
    client = broker.client("#")
    yield client
    client.close()


@pytest.fixture
def sink(broker, tmp_path):
    made = []

    def make(**settings):
        made.append(MqttSink("mqtt", tmp_path / "mqtt", host="127.0.0.1", port=broker.port, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def frame(offset, *rows, stream="mic", **changes):
    arrays = {"source": Array(np.zeros((1, 1), np.int16), ("time", "channel"))}
    arrays["features"] = Array(np.array(rows, np.float32).reshape(len(rows), -1), ("time", "component"))
    return Frame(stream, offset, "one", arrays, time=2.5, rate=100.0, **changes)


def publish(sink, *frames):
    for one in frames:
        sink.accept(Output(one))


def offsets(listener, n):
    return [json.loads(listener.next()[1])["offset"] for _ in range(n)]


def test_json_says_what_a_frame_says(sink, listener):
    made = sink()
    publish(made, frame(7, [0.1, 2], [np.nan, 1e-30], labels={"word": "yes"}), frame(8, [3, 4], end=True))
    settle(made)
    topic, payload = listener.next()
    assert topic == "stream_infomax/mic"
    assert json.loads(payload) == {
        "stream": "mic",
        "segment": "one",
        "offset": 7,
        "time": 2.5,
        "rate": 100.0,
        "last": False,
        "end": False,
        "labels": {"word": "yes"},
        "rows": [[0.1, 2.0], [None, 1e-30]],
    }
    said = json.loads(listener.next()[1])
    assert said["last"]
    assert said["end"]


def test_raw_is_a_head_and_the_rows(sink, listener):
    made = sink(payload="raw", topic="out")
    publish(made, frame(7, [0.1, 2], [3, 4]), Frame("mic", 8, labels={"word": "late"}))
    topic, payload = listener.next()
    assert topic == "out"
    assert HEAD.unpack_from(payload) == (7, 2.5, 2, 2)
    np.testing.assert_array_equal(np.frombuffer(payload, "<f4", offset=HEAD.size), np.float32([0.1, 2, 3, 4]))
    assert HEAD.unpack(listener.next()[1]) == (8, 0, 0, 0)


def test_a_late_label_and_another_array(sink, listener):
    made = sink(array="source")
    publish(made, frame(0, [1]), Frame("mic", 1, "one", labels={"word": "late"}))
    assert json.loads(listener.next()[1])["rows"] == [[0]]
    late = json.loads(listener.next()[1])
    assert late["labels"] == {"word": "late"}
    assert "rows" not in late
    with pytest.raises(ValueError, match="publishes 'source', but the frame has"):
        publish(made, Frame("mic", 2, arrays={"x": Array(np.zeros((1, 1)), ("time", "component"))}))


def test_a_streams_name_makes_no_other_levels_of_wildcards(sink, listener):
    publish(sink(topic="a/{stream}"), frame(0, [1], stream="b/+#c"))
    assert listener.next()[0] == "a/b/__c"


def test_a_broker_that_is_away_makes_it_wait(sink, broker, listener, caplog):
    caplog.set_level(logging.INFO)
    made = sink(in_flight=3)
    publish(made, frame(0, [1]))
    settle(made)
    assert offsets(listener, 1) == [0]
    broker.kill()
    publish(made, *(frame(offset, [1]) for offset in (1, 2, 3)))
    assert made.full
    assert not made.drained
    assert (made.held().frames, made.held().fill) == (3, 1.0)
    broker.start()
    again = broker.client("#")
    settle(made)
    assert not made.full
    assert sorted({*offsets(again, 3)}) == [1, 2, 3]
    again.close()
    said = [record.message for record in caplog.records if str(broker.port) in record.message]
    assert [(" broke:" in line, "is there after" in line) for line in said] == [(True, False), (False, True)]


def test_what_was_not_acknowledged_comes_again_after_a_death_and_nothing_else(sink, broker, listener, tmp_path):
    first = sink()
    publish(first, frame(0, [1]), frame(1, [1]))
    settle(first)
    broker.kill()
    publish(first, frame(2, [1]), frame(3, [1]))
    state_file.save(tmp_path / "state", first.save(Mark("run", 4, False)))
    first.close()
    broker.start()
    again = broker.client("#")
    second = sink()
    second.restore(state_file.load(tmp_path / "state"), Mark("run", 4, False))
    publish(second, frame(4, [1]))
    settle(second)
    assert offsets(again, 3) == [2, 3, 4]
    assert not list(again.all())
    again.close()


def test_no_broker_is_said_before_a_run_and_waited_for_in_it(sink, broker, caplog):
    given = make(MqttSettings, {"host": "127.0.0.1", "port": broker.port})
    given.try_out()
    broker.kill()
    with pytest.raises(SettingError, match=rf"host = '127.0.0.1': no MQTT broker can be reached at .*:{broker.port}"):
        given.try_out()
    made = sink()
    publish(made, frame(0, [1]))
    assert not made.drained
    broker.start()
    settle(made)
    said = [record.message for record in caplog.records if str(broker.port) in record.message]
    assert not said or "no MQTT broker can be reached" in said[0]


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a/{segment}", "a\0"])
def test_a_topic_that_cannot_be_is_refused(topic):
    with pytest.raises(SettingError, match="topic = "):
        make(MqttSettings, {"host": "localhost", "topic": topic})
