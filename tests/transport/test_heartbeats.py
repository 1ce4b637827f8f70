"""A receiver whose queue is full stays connected; with heartbeats libzmq cuts it off, and loses what was under way."""

import threading
import time

import numpy as np
import pytest

from stream_infomax import Push
from stream_infomax.frames import wire
from stream_infomax.transport import sockets
from stream_infomax.transport.pull import Pull

N = 4000


@pytest.fixture
def quick(monkeypatch):
    """Heartbeats, where there are any, that do not wait for long."""
    monkeypatch.setattr(sockets, "HEARTBEAT_MS", 20)
    monkeypatch.setattr(sockets, "HEARTBEAT_TIMEOUT_MS", 60)


def test_a_device_that_waits_for_a_slow_source_loses_nothing(quick):
    pull = Pull("tcp://127.0.0.1:*", queue=10, largest=1 << 20)

    def device():
        with Push(pull.address, "a", queue=10, timeout=60) as push:
            for n in range(N):
                push(np.full(400, n, np.float32))

    thread = threading.Thread(target=device)
    thread.start()
    counts = []
    try:
        while len(counts) <= N:
            if not counts or counts[-1] in (50, 2000):
                time.sleep(0.3)  # is busy meanwhile, and hears nothing
            assert pull.socket.poll(10_000), f"{N + 1 - len(counts)} messages never came"
            counts.append(wire.decode_pushed(pull.receive()).count)
    finally:
        thread.join()
        pull.close()
    assert counts == list(range(N + 1))
