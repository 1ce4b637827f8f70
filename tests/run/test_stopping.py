"""The supervisor stops real processes: in the order of the data, and by force where nothing else helps."""

import os
import signal
from collections.abc import Callable

import pytest
from helpers.faults import fault
from helpers.programs import OBEDIENT, READY, Stage

from stream_infomax.run.supervisor import Patience, ServiceError


def test_stop_goes_in_the_order_of_the_data(stage: Stage) -> None:
    for name in ("source", "learner", "classifier"):
        stage.add(name, OBEDIENT)
    running: set[str] = set()

    def all_run(name: str) -> Callable[[], None]:
        def react() -> None:
            running.add(name)
            if len(running) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        return react

    for name in ("source", "learner", "classifier"):
        stage.when(name, "running", all_run(name))
    assert stage.run() is False
    endings = [(name, state) for name, state, _ in stage.told if state in ("stopping", "stopped")]
    assert endings == [
        (name, state) for name in ("source", "learner", "classifier") for state in ("stopping", "stopped")
    ]


def test_what_will_not_stop_is_killed(stage: Stage) -> None:
    stage.add(
        "source", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "signal.pause()\n" * 9
    )
    stage.when("source", "running", lambda: stage.supervisor.stop())
    assert stage.run(Patience(stop=0.2)) is False
    assert stage.states("source")[-1] == "stopped"
    assert not stage.supervisor.killed


@fault("cannot save")
def test_what_cannot_save_when_it_is_asked_to_stop_is_named(stage: Stage) -> None:
    cannot = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('the disk is full'))\n"
    stage.add("source", cannot + READY + "signal.pause()")
    stage.add("learner", OBEDIENT)
    running: set[str] = set()
    for name in ("source", "learner"):
        stage.when(name, "running", lambda name=name: running.add(name) or len(running) < 2 or stage.supervisor.stop())
    with pytest.raises(ServiceError, match="'source' ended with exit code 1 when it was asked to stop") as caught:
        stage.run()
    assert caught.value.last_words == "the disk is full"
    assert [stage.states(name)[-1] for name in ("source", "learner")] == ["failed", "stopped"]


def test_a_second_signal_kills_at_once(stage: Stage) -> None:
    stage.add(
        "source", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "signal.pause()\n" * 9
    )
    stage.when("source", "running", lambda: os.kill(os.getpid(), signal.SIGINT))
    stage.when("source", "stopping", lambda: os.kill(os.getpid(), signal.SIGINT))
    assert stage.run(Patience(stop=60.0)) is False
    assert stage.supervisor.killed


def test_stop_during_the_pause_before_a_restart(stage: Stage) -> None:
    stage.add("source", "exit(1)")
    stage.when("source", "restarting", lambda: stage.supervisor.stop())
    assert stage.run(Patience(pause=60.0, longest_pause=60.0)) is False
    assert stage.states("source").count("starting") == 1
    assert stage.states("source")[-1] == "stopped"
