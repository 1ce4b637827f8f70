"""A fleet that does not wait for ever: who lags is late, and what it learnt counts all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from helpers.fleets import Fleet, fleet
from msgspec.structs import replace

from stream_infomax.fleet.archive import Archive
from stream_infomax.learning.infomax.exchange import Shared


def test_a_worker_that_is_stuck_is_late_and_no_row_of_it_is_lost(tmp_path: Path) -> None:
    config = fleet(tmp_path / "run", workers=2)
    assert config.fleet is not None
    one = Fleet(replace(config, fleet=replace(config.fleet, patience=0.3)))

    async def stick() -> None:
        await one.rounds(1)
        pid = one.supervisor.pids()["worker-1"]
        os.kill(pid, signal.SIGSTOP)
        await one.rounds(3)
        os.kill(pid, signal.SIGCONT)

    async def whole() -> None:
        await asyncio.gather(one.run(), stick())

    asyncio.run(whole())
    lines = Archive(tmp_path / "run").lines
    late = {name for line in lines for name in line.late}
    assert late
    assert late <= {name for line in lines for name in line.discount}
    assert lines[-1].done == ["00", "01", "02", "03"]
    rows: Counter[str] = Counter()
    for line in lines[1:]:
        rows.update(line.parts)
    assert rows["01"] == rows["02"] == rows["03"] == 15 * 64
    basis = Shared.load(tmp_path / "run" / "basis.safetensors")
    assert basis.rows + basis.first == lines[0].parts["00"] + rows.total()
