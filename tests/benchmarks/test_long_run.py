"""A million rows of a world that never rests: nothing creeps, and every row is accounted for."""

from pathlib import Path

import numpy as np
from long_run import FROM, ROWS, go

N_ROWS = 1_000_000


def test_nothing_creeps(tmp_path: Path) -> None:
    watcher = go(tmp_path, N_ROWS, cycle=N_ROWS // 2, marks=40)
    assert watcher.world.finished
    assert watcher.offsets == [offset for _, offset in FROM]
    assert watcher.previous > 2**53
    found = {key: np.array([one[key] for one in watcher.found]) for key in watcher.found[0]}
    assert found["orthonormality"].max() < 1e-5
    assert found["asymmetry"].max() < 1e-12
    assert found["least variance"].min() > 1e-3
    assert np.isfinite(found["objective"]).all()
    assert np.ptp(found["objective"][-8:]) < 1  # after the newest change
    assert found["foreign"][-8:].max() < 0.05
    assert np.ptp(found["descriptors"]) == 0
    assert np.ptp(found["threads"]) == 0
    assert np.ptp(found["state"][4:]) < 0.1
    assert found["memory"][-8:].mean() - found["memory"][4:8].mean() < 16
    counts = watcher.stage.counts()
    assert counts["set aside: not finite"] == watcher.world.made["NaN"] > 0
    assert counts["rows"] + counts["set aside: not finite"] == watcher.world.n_frames * ROWS
    assert 0 < watcher.world.made["saturated"] <= counts["set aside: clipped"]
    assert counts["set aside: silent"] > 0.3 * N_ROWS / 2
    assert {"change", "quarantine", "release"} <= {event.kind for event in watcher.stage.events()}
