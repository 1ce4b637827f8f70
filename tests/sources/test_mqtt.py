"""MqttSource with a real broker: what arrives, what is counted, and a broker that is killed in mid-stream."""

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.arriving import arriving, arriving_while, rest_of
from helpers.brokers import LONG, NEED_BROKER, Broker

from stream_infomax.frames.contracts import LEFT_OUT
from stream_infomax.settings import broker as settings
from stream_infomax.settings.broker import Connection
from stream_infomax.settings.error import SettingError
from stream_infomax.sources import mqtt
from stream_infomax.sources.mqtt import MqttSource

pytestmark = NEED_BROKER


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker")).start()
    yield broker
    broker.kill()


@pytest.fixture
def topic(request):
    """A topic that no other test has."""
    return f"test/{abs(hash(request.node.name))}"


@pytest.fixture
def opened(opening):
    """Open sources; close them in the end."""

    def make(broker, topic, *, state=None, **settings):
        settings = {"host": "127.0.0.1", "port": broker.port, "topics": (topic,), **settings}
        return opening(MqttSource(**settings), state)

    return make


@pytest.fixture
def client(broker):
    client = broker.client()
    yield client
    client.close()


def numbers(frames, name="source"):
    return [frame.arrays[name].data[:, 0].tolist() for frame in frames]


def counted(number, *values):
    return json.dumps({"n": number, "v": list(values)})


COUNTED = {"fields": ("v",), "counter": "n"}


def test_a_message_is_a_frame_with_its_time_of_arrival(broker, topic, client, opened):
    source = opened(broker, topic, channels=2, name="sensor")
    client.publish(topic, "[1, 2, 3, 4]", "[[5, 6]]")
    one, other = arriving(source, 2)
    assert one.arrays["sensor"].data.tolist() == [[1, 2], [3, 4]]
    assert one.arrays["sensor"].data.dtype == np.float32
    assert one.arrays["sensor"].axes == ("time", "channel")
    assert (one.stream, one.offset, one.rate) == (topic, -1, 0)
    assert 0 <= other.time - one.time < LONG
    assert one.segment == other.segment
    assert source.counts()["messages"] == 2
    assert not source.lost


def test_regular_rows_are_cut_into_frames(broker, topic, client, opened):
    source = opened(broker, topic, rate=100.0, frame=4, segment_seconds=0.08)
    client.publish(topic, "[0, 1, 2]", "[3, 4, 5, 6, 7, 8, 9]", "[10, 11]")
    frames = arriving(source, 3)
    assert numbers(frames) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [frame.last for frame in frames] == [False, True, False]
    np.testing.assert_allclose(np.diff([frame.time for frame in frames]), 0.04, atol=1e-6)  # rows are counted
    assert abs(frames[0].time - time.time()) < LONG


def test_each_topic_is_a_stream_or_all_are_one(broker, topic, client, opened):
    source = opened(broker, f"{topic}/+")
    other = opened(broker, f"{topic}/#", stream="one")
    for level in ("b", "a", "b"):
        client.publish(f"{topic}/{level}", "1")
    assert [frame.stream for frame in arriving(source, 3)] == [f"{topic}/b", f"{topic}/a", f"{topic}/b"]
    assert [frame.stream for frame in arriving(other, 3)] == ["source"] * 3


def test_what_the_counter_jumps_over_is_lost_and_ends_the_segment(broker, topic, client, opened):
    source = opened(broker, topic, **COUNTED)
    client.publish(topic, *(counted(n, n) for n in (7, 8, 11, 12)))
    frames = arriving(source, 4)
    assert source.lost == {"counter": 2}
    segments = [frame.segment for frame in frames]
    assert segments[0] == segments[1] != segments[2] == segments[3]


def test_a_counter_that_comes_round_has_lost_nothing(broker, topic, client, opened):
    source = opened(broker, topic, payload="raw", dtype="uint8", counter="uint8")
    client.publish(topic, *(bytes((n % 256, n % 256)) for n in (254, 255, 256, 257, 260)))
    frames = arriving(source, 5)
    assert source.lost == {"counter": 2}
    assert "counters that began again" not in source.counts()
    segments = [frame.segment for frame in frames]
    assert segments[0] == segments[1] == segments[2] == segments[3] != segments[4]


def test_what_came_twice_is_given_once(broker, topic, client, opened):
    source = opened(broker, topic, **COUNTED)
    client.publish(topic, *(counted(n, 5) for n in (1, 2, 3, 2, 3, 4)))
    assert len(arriving(source, 4)) == 4
    assert source.counts()["repeated messages"] == 2
    assert not source.lost


def test_a_device_that_starts_again_begins_a_segment(broker, topic, client, opened):
    source = opened(broker, topic, **COUNTED)
    client.publish(topic, *(counted(n, number) for number, n in enumerate((5000, 5001, 0, 1))))
    frames = arriving(source, 4)
    assert frames[1].segment != frames[2].segment == frames[3].segment
    assert source.counts()["counters that began again"] == 1
    assert not source.lost


def test_equal_messages_without_a_counter_are_all_there(broker, topic, client, opened):
    source = opened(broker, topic)
    client.publish(topic, *["20.5"] * 9)
    assert len(arriving(source, 9)) == 9
    assert "repeated messages" not in source.counts()


def test_what_cannot_be_used_is_counted_by_reason_and_ends_the_segment(broker, topic, client, opened):
    source = opened(broker, topic, channels=2, largest="1 KiB")
    hostile = ["[1]", "text", "[1, 1e39]", b"\xff\0", "", "[" * 900, "[1, 2]" + " " * 5000]
    client.publish(topic, "[1, 2]", *hostile, "[3, 4]")
    frames = arriving(source, 2)
    assert numbers(frames) == [[1], [3]]
    assert frames[0].segment != frames[1].segment
    left_out = {key.removeprefix(LEFT_OUT): n for key, n in source.counts().items() if key.startswith(LEFT_OUT)}
    assert left_out == {
        "messages of another size": 1,
        "messages without numbers": 4,
        "messages with numbers that are not finite": 1,
        "messages that are too large": 1,
    }


def test_what_the_broker_kept_from_earlier_is_left_out_unless_asked_for(broker, topic, client, opened):
    client.publish(topic, "1", retain=True)
    source, other = opened(broker, topic), opened(broker, topic, retained=True)
    client.publish(topic, "2")
    assert numbers(arriving(source, 1)) == [[2]]
    assert source.counts()[LEFT_OUT + "retained messages"] == 1
    assert numbers(arriving(other, 2)) == [[1], [2]]
    client.publish(topic, "", retain=True)


@pytest.fixture
def unconnected(monkeypatch):
    """Sources without a broker."""
    for name in ("open", "check"):
        monkeypatch.setattr(Connection, name, lambda self: None)
    return SimpleNamespace(port=1883)


def delivered(source, topic, *payloads, again=False):
    """Hand messages to a source as paho's thread does."""
    for payload in payloads:
        source._arrived(SimpleNamespace(topic=topic, payload=payload.encode(), retain=False, dup=again))


def test_a_full_queue_drops_the_oldest_and_counts_them(unconnected, opened):
    for counter, lost in ({}, {"queue": 5}), (COUNTED, {"counter": 5}):
        source = opened(unconnected, "a", queue=3, **counter)
        payloads = [counted(n, n) if counter else f"{n}" for n in range(9)]
        delivered(source, "a", payloads[0])
        first = rest_of(source)
        delivered(source, "a", *payloads[1:])
        frames = rest_of(source)
        assert numbers(frames) == [[6], [7], [8]]
        assert source.lost == lost
        assert first[0].segment != frames[0].segment == frames[2].segment


def test_a_message_that_is_sent_again_is_there_once(unconnected, opened):
    source = opened(unconnected, "a")
    delivered(source, "a", "1", "2")
    delivered(source, "a", "2", "3", again=True)  # the 3 had not arrived
    assert numbers(rest_of(source)) == [[1], [2], [3]]
    assert source.counts()["repeated messages"] == 1


def test_topics_beyond_the_bound_are_counted(broker, topic, client, opened, monkeypatch):
    monkeypatch.setattr(mqtt, "MAX_TOPICS", 2)
    source = opened(broker, f"{topic}/+")
    for level in "abcab":
        client.publish(f"{topic}/{level}", "1")
    assert [frame.stream[-1] for frame in arriving(source, 4)] == ["a", "b", "a", "b"]
    assert source.counts()[LEFT_OUT + "messages of more than 2 topics"] == 1


def test_it_ends_after_its_duration(broker, topic, client, opened):
    source = opened(broker, topic, rate=10.0, frame=5, duration=1.0)
    client.publish(topic, json.dumps(list(range(30))))
    frames = arriving(source, 2)
    assert frames[-1].end
    assert source.finished
    assert not rest_of(source)


@pytest.fixture
def mortal(tmp_path, monkeypatch):
    """A broker that may be killed."""
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


def test_a_broker_that_is_killed_and_comes_back_is_a_gap(mortal, topic, opened, caplog):
    caplog.set_level(logging.INFO)
    source = opened(mortal, topic, **COUNTED)
    client = mortal.client()
    client.publish(topic, counted(1, 1), counted(2, 2))
    before = arriving(source, 2)
    mortal.kill()
    client.close()
    mortal.start()
    again = mortal.client()
    more = count(5)
    after = arriving_while(source, lambda: again.publish(topic, counted(number := next(more), number)))
    again.close()
    assert before[0].segment == before[1].segment != after[0].segment
    assert source.counts()["connection breaks"] == 1
    assert source.lost["counter"] == after[0].arrays["source"].data[0, 0] - 3
    said = [record.message for record in caplog.records if f"127.0.0.1:{mortal.port}" in record.message]
    assert [(" broke:" in line, "is there after" in line) for line in said] == [(True, False), (False, True)]


def test_a_break_begins_a_segment_where_no_counter_tells_what_is_lost(mortal, topic, opened):
    source = opened(mortal, topic)
    client = mortal.client()
    client.publish(topic, "1")
    (before,) = arriving(source, 1)
    client.close()
    mortal.kill()
    mortal.start()
    again = mortal.client()
    after = arriving_while(source, lambda: again.publish(topic, "2"))
    again.close()
    assert before.segment != after[0].segment
    assert not source.lost


def test_a_broker_that_keeps_messages_for_a_name_gives_them_after_a_break(tmp_path, topic, opened):
    broker = Broker(tmp_path, "persistence true", f"persistence_location {tmp_path}/").start()
    client = broker.client()
    source = opened(broker, topic, client_id="listener", **COUNTED)
    client.publish(topic, counted(1, 1))
    arriving(source, 1)
    state = source.state()
    source.close()
    client.publish(topic, counted(2, 2), counted(3, 3))
    again = opened(broker, topic, state=state, client_id="listener", **COUNTED)
    assert numbers(arriving(again, 2)) == [[2], [3]]
    assert not again.lost
    client.close()
    broker.kill()


def test_after_a_restart_the_counter_tells_what_came_meanwhile(broker, topic, client, opened):
    source = opened(broker, topic, **COUNTED)
    client.publish(topic, counted(1, 1))
    arriving(source, 1)
    state = source.state()
    source.close()
    client.publish(topic, counted(2, 2), counted(3, 3))
    again = opened(broker, topic, state=state, **COUNTED)
    frames = arriving_while(again, lambda: client.publish(topic, counted(4, 4)))
    assert again.lost == {"restart (at most)": 2}
    assert len(frames) == 1


def test_a_connection_whose_thread_dies_is_an_error(broker, topic, client, opened, monkeypatch):
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda exception: died.set())
    source = opened(broker, topic)
    monkeypatch.setattr(source._arrivals, "put", None)
    with pytest.raises(OSError, match=f"the connection to the MQTT broker at 127.0.0.1:{broker.port} has died"):
        arriving_while(source, lambda: client.publish(topic, "1"))
    assert died.wait(LONG)  # a thread that ends later ends in another test's warnings


def test_a_topic_that_is_no_text_is_counted(unconnected, opened):
    class Message(SimpleNamespace):
        @property
        def topic(self):
            return b"\xff".decode()

    source = opened(unconnected, "a")
    source._arrived(Message(payload=b"1", retain=False, dup=False))
    delivered(source, "a" * 2000, "1")
    assert not rest_of(source)
    assert source.counts()[LEFT_OUT + "messages of topics that are no names"] == 2


def test_no_broker_at_the_start_is_an_error_that_says_where(mortal, topic, opened):
    mortal.kill()
    with pytest.raises(OSError, match=rf"no MQTT broker can be reached at 127\.0\.0\.1:{mortal.port}"):
        opened(mortal, topic)


def test_a_run_that_goes_on_waits_for_its_broker(mortal, topic, opened, caplog):
    state = opened(mortal, topic).state()
    mortal.kill()
    source = opened(mortal, topic, state=state)
    mortal.start()
    client = mortal.client()
    frames = arriving_while(source, lambda: client.publish(topic, "1"))
    client.close()
    assert numbers(frames)[0] == [1]
    assert source.counts()["connection breaks"] == 0


def test_a_server_that_says_nothing_is_an_error(topic, opened, monkeypatch):
    monkeypatch.setattr(settings, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = SimpleNamespace(port=silent.getsockname()[1])
        with pytest.raises(OSError, match=f"127.0.0.1:{place.port} does not answer as an MQTT broker does"):
            opened(place, topic)


@pytest.fixture
def guarded(tmp_path):
    """A broker that lets in whom it knows."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed: apt-get install mosquitto")
    users = tmp_path / "users"
    users.touch()
    subprocess.run([program, "-b", users, "ann", "secret"], check=True)
    broker = Broker(tmp_path, f"password_file {users}").start()
    yield broker
    broker.kill()


def test_who_connects_stands_in_the_environment(guarded, topic, opened, monkeypatch):
    monkeypatch.setenv("BROKER_USER", "ann")
    who = {"username_from": "BROKER_USER", "password_from": "BROKER_PASSWORD"}
    with pytest.raises(SettingError, match="password_from = 'BROKER_PASSWORD'; accepted: the name of an environment"):
        opened(guarded, topic, **who)
    monkeypatch.setenv("BROKER_PASSWORD", "wrong")
    with pytest.raises(
        ValueError, match=f"the MQTT broker at 127.0.0.1:{guarded.port} refuses the connection: Not auth"
    ):
        opened(guarded, topic, **who)
    monkeypatch.setenv("BROKER_PASSWORD", "secret")
    opened(guarded, topic, **who)


# Paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_is_checked_by_its_certificate(tmp_path, topic, opened):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate]
    subprocess.run([program, "req", *made, *subject], check=True, capture_output=True)
    broker = Broker(tmp_path, f"keyfile {key}", f"certfile {certificate}").start()
    opened(broker, topic, tls=str(certificate))
    with pytest.raises(OSError, match="certificate verify failed"):
        opened(broker, topic, tls="system")
    with pytest.raises(SettingError, match="tls = "):
        opened(broker, topic, tls=str(tmp_path / "none.pem"))
    broker.kill()


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("host", {"host": ""}),
        ("port", {"port": 65536}),
        ("topics", {"topics": ()}),
        ("topics", {"topics": ("a/#/b",)}),
        ("topics", {"topics": ("a+",)}),
        ("dtype", {"payload": "csv", "dtype": "int16"}),
        ("fields", {"payload": "raw", "fields": ("v",)}),
        ("fields", {"fields": ("x", "y"), "channels": 3}),
        ("counter", {"payload": "raw", "counter": "n"}),
        ("counter", {"payload": "csv", "counter": "2"}),
        ("counter", {"counter": "n"}),
        ("counter", {"fields": ("n",), "counter": "n"}),
        ("password_from", {"password_from": "PASSWORD"}),
        ("qos", {"qos": 3}),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(key, settings):
    with pytest.raises(SettingError, match=f"^{key}( = |;)"):
        MqttSource(**{"host": "localhost", "topics": ("a",), **settings})
