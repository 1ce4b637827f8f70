"""Systemd: what a run says to the service manager, and when it keeps silent."""

import pytest
from helpers.manager import Manager

from stream_infomax.watch import systemd
from stream_infomax.watch.systemd import Systemd


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with Manager(tmp_path) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(systemd, "time", made)
        yield made


def test_ready_is_said_once_when_all_serve(manager):
    told = Systemd(["source", "learner"])
    told.change("source", "running")
    assert manager.heard() == []
    told.change("learner", "running")
    assert manager.heard() == ["READY=1"]
    told.change("learner", "restarting")
    told.change("learner", "running")
    told.stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_the_watchdog_hears_nothing_once_a_service_stands_still(manager):
    told = Systemd(["source", "learner"])
    for name in ("source", "learner"):
        told.change(name, "running")
    manager.heard()
    told.refresh(lambda: "frame 1\nREADY=0")
    assert manager.heard() == ["WATCHDOG=1", "STATUS=frame 1\\nREADY=0"], "a line of a status is one line"
    told.refresh(lambda: "frame 2")
    assert manager.heard() == [], "neither more often than needed"
    manager.now += 59
    told.heard("source")
    told.refresh(lambda: "frame 3")
    assert manager.heard() == ["WATCHDOG=1", "STATUS=frame 3"]
    manager.now += 20
    told.heard("source")
    told.refresh(lambda: "frame 4")
    assert manager.heard() == ["STATUS=nothing heard of learner for 60 s"]
    told.heard("learner")
    told.refresh(lambda: "frame 5")
    assert manager.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize("state", ["starting", "restarting", "stopping", "finished"])
def test_what_the_supervisor_bounds_is_no_standstill(manager, state):
    told = Systemd(["source", "learner"])
    told.change("source", "running")
    told.change("learner", state)
    manager.now += 600
    told.heard("source")
    assert told.standing_still() == []


def test_without_a_manager_nothing_is_said(monkeypatch):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    told = Systemd(["source"])
    told.change("source", "running")
    told.refresh(lambda: pytest.fail("nobody wants a line"))
    told.stopping()


def test_a_manager_that_is_gone_ends_no_run(manager):
    told = Systemd(["source"])
    manager.socket.close()
    told.change("source", "running")
    told.stopping()


def test_a_watchdog_of_another_process_is_not_ours(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Systemd(["source"]).watchdog == 0
