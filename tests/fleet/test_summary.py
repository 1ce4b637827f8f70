"""A fleet's folder: its shards as one run, with one ledger; what another configuration or --fresh do to it."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_infomax.cli.encode import encode
from stream_infomax.cli.run import run
from stream_infomax.cli.status import status
from stream_infomax.configuration.load import Config, ConfigError, convert
from stream_infomax.fleet.folder import is_fleet, newest_of, open_fleet, shard_folders
from stream_infomax.fleet.layout import shards
from stream_infomax.fleet.summary import ALL, standings, summarise_fleet
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.whole import carry_on


def fleet(folder: Path, **changes: Any) -> Config:
    return convert(
        {
            "run": {"folder": str(folder), "checkpoint_every": 4},
            "source": {"kind": "synthetic", "frames": 18, "n_sources": 4, "rows": 64},
            "stage": [{"name": "learner", "kind": "learner", "warmup": 100}],
            "fleet": {"workers": 2, "shards": 4} | changes,
        }
    )


def run_shards(config: Config) -> None:
    """Let each shard run by itself: nothing is merged."""
    for shard in shards(config):
        folder = RunFolder(Path(shard.config.run.folder))
        with folder.lock():
            folder.open(shard.config, in_process=True, fresh=False)
            carry_on(shard.config, folder, True, title="", again="", plain=True)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    config = fleet(tmp_path)
    folder = RunFolder(tmp_path)
    with folder.lock():
        assert open_fleet(config, folder, fresh=False) == "new"
    assert not is_fleet(tmp_path)
    assert summarise_fleet(tmp_path, 0.5).frames == 0
    run_shards(config)
    return tmp_path


def test_the_shards_are_one_run_with_one_ledger(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarise_fleet(ran, 1.5)
    assert (summary.seconds, summary.frames, summary.lost) == (1.5, 18, {})
    accepted = {(one.place, one.unit): sum(one.accepted.values()) for one in summary.ledger}
    assert accepted["in-process", "frames"] == 18
    assert accepted["learner", "rows"] == 18 * 64
    assert not any(balance.off for balance in summary.ledger)
    going_on, found = standings(ran)
    assert not going_on
    assert [*found] == ["shard 00", "shard 01", "shard 02", "shard 03", ALL]
    assert found[ALL].frame == 17
    capsys.readouterr()
    assert status(ran, json=True) == 0
    assert json.loads(capsys.readouterr().out)["services"][ALL]["ledger"]


def test_what_reads_a_run_reads_the_shard_with_the_newest_round(ran: Path, tmp_path: Path) -> None:
    assert newest_of(ran).parent == ran / "shards"
    assert newest_of(newest_of(ran)) == newest_of(ran)
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2,3,4\n" * 5)
    assert encode(ran, rows, to=tmp_path / "features.csv") == 0
    assert len((tmp_path / "features.csv").read_text().splitlines()) == 6


def test_workers_may_change_and_shards_may_not(ran: Path) -> None:
    folder = RunFolder(ran)
    with folder.lock():
        assert open_fleet(fleet(ran, workers=4), folder, fresh=False) == "unfinished"
        with pytest.raises(ConfigError, match=r"fleet\.shards is 2, the checkpoint has 4.*--fresh"):
            open_fleet(fleet(ran, shards=2), folder, fresh=False)
        with pytest.raises(ConfigError, match=r"fleet\.round is 7"):
            open_fleet(fleet(ran, round=7), folder, fresh=False)


def test_a_fresh_start_removes_the_shards_and_nothing_else(ran: Path) -> None:
    (ran / "rounds").mkdir()
    for name in ("rounds/000001.safetensors", "rounds.jsonl", "basis.safetensors", "worker-1.log", "mine.txt"):
        (ran / name).write_text("x")
    folder = RunFolder(ran)
    with folder.lock():
        assert open_fleet(fleet(ran, shards=2), folder, fresh=True) == "new"
    assert shard_folders(ran) == {}
    assert sorted(path.name for path in ran.iterdir()) == ["lock", "mine.txt", "pipeline.toml", "run.json"]


def test_a_run_leaves_the_folder_of_a_fleet_alone(ran: Path) -> None:
    with pytest.raises(ConfigError, match="holds a fleet"):
        run(ran / "pipeline.toml", fresh=True)
    assert is_fleet(ran)
