"""When a service says how it is: while nothing waits, and otherwise all the same."""

from types import SimpleNamespace

import pytest

from stream_infomax.frames.frame import Frame
from stream_infomax.service import status
from stream_infomax.service.loop import Loop
from stream_infomax.service.status import INTERVAL, LONGEST, Meter


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(status.time, "monotonic", lambda: now.seconds)
    return now


def test_a_status_is_welcome_before_it_is_due(clock):
    meter = Meter()
    assert meter.due()
    meter.read()
    for seconds, welcome, due in ((0.0, False, False), (INTERVAL, True, False), (LONGEST, True, True)):
        clock.seconds = 100.0 + seconds
        assert (meter.welcome(), meter.due()) == (welcome, due)
        assert meter.remaining() == pytest.approx(LONGEST - seconds)


@pytest.mark.parametrize("welcome", [True, False])
def test_a_loop_reports_before_it_sleeps_and_not_when_a_frame_may_come(welcome):
    told = []
    loop = Loop.__new__(Loop)
    loop.finished, loop.sinks, loop._asking, loop.taking = False, [], set(), None
    loop.meter = SimpleNamespace(welcome=lambda: welcome, remaining=lambda: 0.1)
    loop.report = lambda: told.append("status")
    loop._busy = SimpleNamespace(poll=lambda _: told.append("sleep") or [])
    loop.feed = SimpleNamespace(due=lambda: 1.0, attend=lambda ready: None)
    loop._watching = set()
    loop.steering = SimpleNamespace(sockets=())
    loop.stages = SimpleNamespace(rest=lambda _: told.append("rest"))
    assert not loop.wait()
    assert told == (["status", "sleep", "rest"] if welcome else ["sleep", "rest"])


def test_latencies_are_counted_in_buckets_since_the_start(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(status.time, "time", lambda: now)
    meter = Meter()
    for seconds in (0.0004, 0.003, 0.003, 60.0):
        meter.count(Frame("a"), sent=now - seconds, origin=0.0)
    assert meter.read().step_seconds.counts == [1, 0, 0, 2, *[0] * 10, 1]
    found = meter.read()
    assert found.step_seconds.total == pytest.approx(60.0064)
    assert sum(found.latency_seconds.counts) == 0
    assert (found.step_p50, found.last_frame, found.started) == (None, now, now)
