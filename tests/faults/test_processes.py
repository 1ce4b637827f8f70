"""Services that are held, or gone for a while."""

from pathlib import Path

import numpy as np
from helpers.faults import fault, see

from faults.scenarios import chain, gone, held, nothing_lost, statuses


@fault("stopped")
def test_a_service_that_is_held_and_let_go(tmp_path: Path) -> None:
    see("stopped", held(tmp_path, 0.0, unanswered=1))


@fault("peer gone")
def test_a_service_that_is_gone_and_comes_back(tmp_path: Path) -> None:
    see("peer gone", gone(tmp_path, 0.0, unanswered=1))


@fault("clock")
def test_a_clock_that_jumps_back_and_forth(tmp_path: Path) -> None:
    with chain(tmp_path, 500, strange_clock=True) as made:
        made.start()
        said = statuses(made, "a")
        nothing_lost(made, 500)
    latencies = [value for one in said for value in (one.step_p50, one.step_p99) if value is not None]
    assert latencies
    assert (np.asarray(latencies) >= 0).all(), "a step takes no negative time"
