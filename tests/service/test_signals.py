"""The signals that ask to stop."""

import os
import select
import signal
from contextlib import closing

import pytest

from stream_infomax.service.signals import Signals, stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_asks_the_loop_to_end_and_wakes_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with closing(Signals()) as signals:
        assert not signals.stop
        os.kill(os.getpid(), number)
        assert select.select([signals.wakeup], [], [], 60)[0]
        assert signals.stop
    assert signal.getsignal(number) is before


def test_under_nohup_a_closed_terminal_is_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stop_signals() == [signal.SIGINT, signal.SIGTERM]
        with closing(Signals()) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.stop
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
