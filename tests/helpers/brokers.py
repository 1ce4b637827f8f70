"""A real MQTT broker: mosquitto, on a port of its own of this machine; it can be killed and comes back."""

from __future__ import annotations

import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.extras import needs

# Debian puts it where only root looks.
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
LONG = 30.0


# What tests need that talk to a broker: mosquitto, and paho.
NEED_BROKER = [
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto"),
    needs("paho"),
]


class Broker:
    """Mosquitto in a folder.

    Parameters
    ----------
    folder
        Of its configuration.
    more
        Lines of its configuration beside the listener's.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / f"mosquitto-{self.port}.conf"
        access = [] if any("password_file" in line for line in more) else ["allow_anonymous true"]
        lines = [f"listener {self.port} 127.0.0.1", *access, "log_dest stderr", "user root", *more]
        self.config.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Broker:
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if " running" in line:
                break
        else:
            raise AssertionError("".join(said))
        # What nobody reads would fill the pipe.
        self._rest = threading.Thread(target=self.process.stderr.read)
        self._rest.start()
        return self

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(LONG)
            self._rest.join()
            self.process.stderr.close()
            self.process = None

    def client(self, *topics: str) -> Client:
        """Return somebody who is connected, and hears these topics."""
        return Client(self.port, *topics)


class Client:
    """Somebody else who is connected to a broker."""

    def __init__(self, port: int, *topics: str) -> None:
        import paho.mqtt.client as mqtt

        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        there = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda client, data, message: self.messages.put((message.topic, message.payload))
        self._client.on_subscribe = lambda *_: there.set()
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics or ("none",)])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert there.wait(LONG)

    def publish(self, topic: str, *payloads: bytes | str, qos: int = 1, retain: bool = False) -> None:
        """Publish; return when the broker has everything."""
        sent = [self._client.publish(topic, payload, qos, retain) for payload in payloads]
        for info in sent:
            info.wait_for_publish(LONG)

    def next(self) -> tuple[str, bytes]:
        return self.messages.get(timeout=LONG)

    def all(self) -> Iterator[tuple[str, bytes]]:
        """Yield what has come so far."""
        while not self.messages.empty():
            yield self.messages.get()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
