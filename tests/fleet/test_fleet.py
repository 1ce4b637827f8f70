"""A whole fleet without Ray: the same bits whatever workers there are, and whoever is killed."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.fleets import Fleet, basis, fleet

from stream_infomax.configuration.load import ConfigError
from stream_infomax.fleet.archive import Merged
from stream_infomax.fleet.folder import newest_of, open_fleet, round_of
from stream_infomax.fleet.layout import shards
from stream_infomax.fleet.summary import summarise_fleet
from stream_infomax.fleet.worker import chosen
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.program import module


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    asyncio.run(Fleet(fleet(folder, workers=1)).run())
    return folder


def test_all_rows_are_learnt_once_and_all_end_with_the_same_basis(undisturbed: Path) -> None:
    import msgspec

    lines = [
        msgspec.json.decode(line, type=Merged) for line in (undisturbed / "rounds.jsonl").read_bytes().splitlines()
    ]
    assert sum(sum(line.parts.values()) for line in lines) == 60 * 64
    summary = summarise_fleet(undisturbed, 1.0)
    (learner,) = (balance for balance in summary.ledger if balance.place == "learner")
    assert sum(learner.processed.values()) == 60 * 64
    assert not learner.off
    assert {round_of(RunFolder(undisturbed / "shards" / f"0{number}")) for number in range(4)} == {lines[-1].number}
    assert newest_of(undisturbed).name == "00"


def test_workers_change_no_bit(undisturbed: Path, tmp_path: Path) -> None:
    assert asyncio.run(Fleet(fleet(tmp_path, workers=4)).run()) == basis(undisturbed)


def test_whoever_is_killed_comes_back_and_no_bit_changes(undisturbed: Path, tmp_path: Path) -> None:
    async def disturbed() -> bytes:
        going = Fleet(fleet(tmp_path, workers=2, pace="live", speed=16.0))
        task = asyncio.create_task(going.run())
        for rounds, killed in ((1, "worker-1"), (2, "coordinator"), (3, "worker-0")):
            await going.rounds(rounds)
            os.kill(going.supervisor.pids()[killed], signal.SIGKILL)
        found = await task
        restarted = {name for name, state, _ in going.changes if state == "restarting"}
        assert restarted == {"coordinator", "worker-0", "worker-1"}
        return found

    assert asyncio.run(disturbed()) == basis(undisturbed)


def test_a_shard_that_cannot_begin_is_named_and_is_not_tried_again(tmp_path: Path) -> None:
    config = fleet(tmp_path, workers=1, frames=4)
    folder = RunFolder(tmp_path)
    with folder.lock():
        open_fleet(config, folder, fresh=False)
    command = module("stream_infomax.fleet.worker", "--config", str(folder.pipeline), "--shards")
    ended = subprocess.run([*command, "0,1"], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 2
    assert "READY worker-0 00,01" in ended.stdout
    assert "worker-0: shard 00: its stream is over before its warm-up" in ended.stderr
    with pytest.raises(ConfigError, match=r"--shards 1,7: no shard '7' with data; accepted are 0, 1, 2, 3"):
        chosen(shards(config), "1,7")
