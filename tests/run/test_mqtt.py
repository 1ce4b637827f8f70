"""Runs at a real broker, in processes: what dies comes back, nothing is there twice, and what is lost is told."""

import json
import os
import select
import signal
from itertools import count

import numpy as np
import pytest
from helpers.brokers import NEED_BROKER, Broker
from helpers.commands import call, child_of, ended, started

from stream_infomax.service.checkpoints import newest_before
from stream_infomax.transport.tap import FRAME, TapReader

pytestmark = NEED_BROKER

# An offset behind all that there are.
LATE = 2**62

CONFIG = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
topics = ["room/+"]
fields = ["v"]
counter = "n"
channels = 2
rate = 100.0
frame = 1
duration = {duration}
"""


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


class Sensor:
    """Publishes rows that begin with their own number."""

    def __init__(self, broker):
        self.broker = broker
        self.client = broker.client()
        self.numbers = count()

    def send(self, n=1):
        numbers = [next(self.numbers) for _ in range(n)]
        self.client.publish("room/1", *(json.dumps({"n": i, "v": [i, 0.5]}) for i in numbers))
        return numbers[-1]

    def send_until(self, tap, wanted=0):
        """Send until a row with that number, or a later one, comes out."""
        while True:
            self.send()
            while tap.socket.poll(50):
                frame = tap.receive()
                if frame is not None and frame.arrays["source"].data[0, 0] >= wanted:
                    return

    def lose_the_broker(self):
        self.broker.kill()
        self.client.close()
        self.broker.start()
        self.client = self.broker.client()


def test_a_broker_and_a_source_that_die_in_mid_stream(broker, tmp_path):
    (tmp_path / "mqtt.toml").write_text(CONFIG.format(port=broker.port, duration=4.0))
    sensor = Sensor(broker)
    with started("run", "mqtt.toml", "--save-features", "features.npz", folder=tmp_path) as (process, said):
        assert any(line.startswith("source: running") for line in said)
        with TapReader(f"ipc://{tmp_path}/run/source.tap", topics=(FRAME,)) as tap:
            sensor.send_until(tap)
            newest = sensor.send(100)
            sensor.lose_the_broker()
            sensor.send_until(tap, newest + 1)
            sensor.send_until(tap, sensor.send(20))
        while "counter" not in newest_before(tmp_path / "run/source", LATE).lost:  # a checkpoint is to know of it
            sensor.send()
            select.select([], [], [], 0.01)
        os.kill(child_of(process.pid, "source.py"), signal.SIGKILL)
        assert any(line.startswith("source: running") for line in said)
        while process.poll() is None:
            sensor.send(10)
        end = ended(process)
    sensor.client.close()
    assert end.code == 3, end.errors
    lost = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]["lost"]
    with np.load(tmp_path / "features.npz") as kept:
        numbers = kept["source"][:, 0]
        segments = kept["frames/segment"]
    assert (np.diff(numbers) > 0).all(), "something is there twice"
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    missing = np.diff(numbers)[breaks] - 1
    assert lost["counter"] == missing[0], "of the broker's absence"
    assert lost.get("restart (at most)", 0) >= missing[1:].sum()
    assert (segments[breaks] != segments[breaks + 1]).all(), "what is missing ends a segment"


def test_a_run_without_its_broker_says_where_it_was_looked_for(broker, tmp_path):
    (tmp_path / "mqtt.toml").write_text(CONFIG.format(port=broker.port, duration=1.0))
    assert call("check", "mqtt.toml", folder=tmp_path).code == 0
    broker.kill()
    end = call("run", "mqtt.toml", folder=tmp_path)
    assert end.code == 1
    assert f"no MQTT broker can be reached at 127.0.0.1:{broker.port}" in end.errors


CHAIN = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
topics = ["room/+"]
fields = ["v"]
counter = "n"
channels = 2
rate = 100.0
frame = 1
duration = 0.8

[[sink]]
kind = "mqtt"
host = "127.0.0.1"
port = {out}
topic = "out/{{stream}}"
in_flight = 4
"""


class Listener:
    """Hears what is published, again and again."""

    def __init__(self):
        self.heard = {}

    def until(self, client, offset):
        """Listen until a frame has come, and all before it."""
        while not set(range(offset + 1)) <= self.heard.keys():
            said = json.loads(client.next()[1])
            assert self.heard.setdefault(said["offset"], said) == said, "an offset names two frames"


def test_features_reach_a_broker_that_dies_and_from_a_sink_that_dies(broker, tmp_path):
    out = Broker(tmp_path).start()
    (tmp_path / "mqtt.toml").write_text(CHAIN.format(port=broker.port, out=out.port))
    sensor, listener = Sensor(broker), Listener()
    with started("run", "mqtt.toml", folder=tmp_path) as (process, said):
        running = {next(line for line in said if ": running" in line) for _ in range(2)}
        assert running == {"source: running\n", "mqtt: running\n"}
        client = out.client("out/#")
        sensor.send(20)
        listener.until(client, 19)
        out.kill()
        client.close()
        sensor.send(20)
        out.start()
        client = out.client("out/#")
        listener.until(client, 39)
        os.kill(child_of(process.pid, "--service\0mqtt"), signal.SIGKILL)
        sensor.send(40)
        listener.until(client, 79)
        end = ended(process)
    for one in (client, sensor.client):
        one.close()
    out.kill()
    assert end.code == 0, end.errors
    assert [row[0] for offset in range(80) for row in listener.heard[offset]["rows"]] == list(range(80))
    assert listener.heard[79]["end"]
