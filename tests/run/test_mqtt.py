"""Runs at a real broker, in processes: what dies comes back, nothing is there twice, and what is lost is told."""

import json
from itertools import count

import numpy as np
import pytest
from helpers.brokers import LONG, NEED_BROKER, Broker
from helpers.commands import call, child_of, ended, started

from stream_infomax.transport.tap import FRAME, TapReader

pytestmark = NEED_BROKER

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

[[sink]]
kind = "npz"
path = "features.npz"
"""


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


class Sensor:
    """Publishes rows that hold their own number."""

    def __init__(self, broker):
        self.broker = broker
        self.client = broker.client()
        self.numbers = count()

    def send(self, n=1):
        numbers = [next(self.numbers) for _ in range(n)]
        self.client.publish("room/1", *(json.dumps({"n": i, "v": [i, 0.5]}) for i in numbers))

    def send_until(self, tap):
        """Send until something comes out; return it."""
        while not tap.socket.poll(50):
            self.send()
        return next(iter(tap))


def test_a_broker_and_a_source_that_die_in_mid_stream(broker, tmp_path):
    (tmp_path / "mqtt.toml").write_text(CONFIG.format(port=broker.port, duration=4.0))
    with started("run", "mqtt.toml", folder=tmp_path) as (process, said):
        assert any(line.startswith("source: running") for line in said)
        sensor = Sensor(broker)
        with TapReader(f"ipc://{tmp_path}/run/source.tap", topics=(FRAME,)) as tap:
            sensor.send_until(tap)
            sensor.send(100)
            broker.kill()
            sensor.client.close()
            broker.start()
            sensor.client = broker.client()
            while sensor.send_until(tap).arrays["source"].data[0, 0] < 100:
                pass
        child = child_of(process.pid, "source.py")
        __import__("os").kill(child, 9)
        assert any(line.startswith("source: running") for line in said)
        while process.poll() is None:
            sensor.send(10)
        end = ended(process)
        sensor.client.close()
    assert end.code == 0, end.errors
