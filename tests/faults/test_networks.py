"""Networks that are cut, or long."""

import time
from pathlib import Path

import pytest
from helpers.faults import fault, see
from helpers.networks import network, reason
from helpers.relays import relay

from faults.scenarios import chain, cut, nothing_lost
from stream_infomax.transport.inlet import CREDIT

needs_network = pytest.mark.skipif(bool(reason()), reason=reason())


@fault("partition")
@needs_network
def test_a_network_that_is_cut(tmp_path: Path) -> None:
    with network() as made:
        see("partition", cut(tmp_path, made, 0.0, unanswered=1))


@fault("delay")
def test_a_long_way(tmp_path: Path) -> None:
    """A relay holds every byte back for 200 ms; the tortures have the kernel do it, where it can."""
    with chain(tmp_path, 300) as made:
        made.settings["source"]["outlet"] = "tcp://127.0.0.1:*"
        made.start("source")
        port = int(made.line("source").rpartition(":")[2])
        begin = time.monotonic()
        with relay(port, 0.2) as far:
            made.settings["a"]["inlet"] = f"tcp://127.0.0.1:{far}"
            made.start("a", "b")
            nothing_lost(made, 300)
        assert time.monotonic() - begin > (300 / CREDIT - 1) * 0.4, "more frames were under way than a reader asks for"
