"""Stages that name their nodes: each service is a process of its own, and the bits are those of one process."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.extras import needs
from helpers.fleets import Fleet, basis
from helpers.kills import leaves

from stream_infomax.configuration.load import Config, ConfigError, convert, to_builtins
from stream_infomax.fleet import layout
from stream_infomax.fleet.folder import open_fleet, shard_folders
from stream_infomax.fleet.layout import resolved
from stream_infomax.fleet.nodes import nodes
from stream_infomax.fleet.summary import ALL, standings, summarise_fleet
from stream_infomax.fleet.whole import placed
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.run.program import Program
from stream_infomax.run.supervisor import Supervisor
from stream_infomax.service.checkpoints import Checkpoints


def stack(folder: Path, *named: str, shards: int = 1, **log: Any) -> Config:
    """Return a fleet of a learner and two contrastive modules, on the nodes that are named."""
    module = {"kind": "contrast", "layout": "paired", "width": 8, "rows": 200}
    stages = [
        {"name": "windows", "kind": "windows", "form": "waveform", "length": 4, "hop": 4, "service": "learner"},
        {"name": "learner", "kind": "learner", "n_components": 4, "warmup": 300, "log": log},
        {"name": "module1", "module": 1, "log": log, **module},
        {"name": "module2", "module": 2, **module},
    ]
    for stage, node in zip(stages[1:], named, strict=False):
        stage["node"] = node
    raw = {
        "run": {"folder": str(folder), "checkpoint_every": 8},
        "source": {"kind": "synthetic", "n_sources": 4, "rows": 64, "frames": 90, "rate": 12800.0, "log": log},
        "stage": stages,
        "fleet": {"shards": shards, "round": 256},
    }
    return resolved(convert(raw))


def weights(run: Path, stage: str, place: str) -> dict[str, bytes]:
    """Return the bits of what a stage has learnt at the end."""
    saved = Checkpoints(run / "shards" / "00" / place, 3).latest()
    assert saved is not None
    return {path: bits for path, bits in leaves(saved.stages[stage]).items() if "fleet" not in path}


@needs("torch")
def test_a_stack_on_several_nodes_has_the_bits_of_one_process(tmp_path: Path) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    asyncio.run(Fleet(stack(one)).run())
    bind = f"ipc://{tmp_path}/{{shard}}"
    config = stack(many, "a", "b", "a")
    config = resolved(convert(_bound(config, bind)))
    made = Fleet(config)
    with made.folder.lock():
        open_fleet(config, made.folder, fresh=False)
        programs = [
            Program(one.name, [sys.executable, "-P", *one.arguments], made.folder.id, reads="coordinator")
            for one in placed(config, made.folder)
        ]
        assert [program.name for program in programs] == [
            "coordinator",
            *(f"00-{name}" for name in ("source", "learner", "module1", "module2")),
        ]
        assert asyncio.run(Supervisor(programs, many, lambda name, state, restarts: None).run())
    assert basis(many) == basis(one)
    for stage in ("learner", "module1", "module2"):
        assert weights(many, stage, stage) == weights(one, stage, IN_PROCESS), stage
    assert all(folder.summary() is not None for folder in shard_folders(many).values())
    for found in (summarise_fleet(many, 1.0), standings(many)[1][ALL]):
        assert not any(balance.off for balance in found.ledger)


def _bound(config: Config, place: str) -> dict[str, Any]:
    """Return the configuration with an address for each log that another node reads."""
    raw = to_builtins(config)
    raw["source"]["log"]["bind"] = f"{place}-source"
    for stage in raw["stage"]:
        stage["log"]["bind"] = f"{place}-{stage['name']}"
    return raw


def test_addresses_of_shards_do_not_say_what_they_read(tmp_path: Path) -> None:
    config = stack(tmp_path, shards=2, bind="tcp://127.0.0.1:56{shard}")
    assert [shard.config.source.settings.shard for shard in layout.shards(config)] == ["0/2", "1/2"]


def test_what_names_no_node_runs_where_its_input_is_made(tmp_path: Path) -> None:
    log = {"bind": "tcp://127.0.0.1:*"}
    assert nodes(stack(tmp_path, "a", "", "b", **log)) == {
        "source": "a",
        "learner": "a",
        "module1": "a",
        "module2": "b",
    }


def test_what_another_node_could_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stage\.learner\.log\.bind: empty, a Unix socket; .* is read on 'b'"):
        nodes(stack(tmp_path, "a", "b"))
    config = stack(tmp_path, "a", "b", bind="tcp://127.0.0.1:56{shard}")
    raw = to_builtins(config)
    raw["stage"][0]["node"] = "b"
    with pytest.raises(ConfigError, match=r"stage\.learner\.node = 'a': service 'learner' is one process"):
        nodes(convert(raw))
