"""640,000 rows of a world that never rests: nothing creeps, and every row is accounted for."""

from pathlib import Path

from long_run import check, go

N_ROWS = 640_000


def test_nothing_creeps(tmp_path: Path) -> None:
    watcher = go(tmp_path, N_ROWS, cycle=N_ROWS // 2, marks=40)
    check(watcher)
    assert watcher.previous > 2**53
    counts = watcher.stage.counts()
    assert watcher.world.made["NaN"] > 0
    assert watcher.world.made["saturated"] > 0
    assert counts["set aside: silent"] > 0.3 * N_ROWS / 2
    assert {"change", "quarantine", "release"} <= {event.kind for event in watcher.stage.events()}
