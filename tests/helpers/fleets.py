"""Fleets without Ray: a coordinator and workers as processes of a supervisor."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from stream_infomax.configuration.load import Config, convert
from stream_infomax.fleet.folder import open_fleet
from stream_infomax.fleet.layout import divided, fleet_of, resolved, shards
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.program import Program, module
from stream_infomax.run.supervisor import Supervisor


def fleet(folder: Path, *, workers: int, **source: Any) -> Config:
    """Return a fleet of four shards that takes a second."""
    raw = {
        "run": {"folder": str(folder), "checkpoint_every": 3},
        "source": {"kind": "synthetic", "frames": 60, "n_sources": 6, "rows": 64} | source,
        "stage": [{"name": "learner", "kind": "learner", "warmup": 100}],
        "fleet": {"workers": workers, "shards": 4, "round": 256},
    }
    return resolved(convert(raw))


class Fleet:
    """The processes of a fleet, which its supervisor keeps alive until all have finished."""

    def __init__(self, config: Config) -> None:
        self.folder = RunFolder(Path(config.run.folder))
        place = ("--config", str(self.folder.pipeline))
        programs = [Program("coordinator", module("stream_infomax.fleet.coordinator_process", *place))]
        for number, own in enumerate(divided(shards(config), fleet_of(config).workers)):
            numbers, name = ",".join(str(shard.number) for shard in own), f"worker-{number}"
            command = module("stream_infomax.fleet.worker", *place, "--shards", numbers, "--name", name)
            programs.append(Program(name, command, reads="coordinator"))
        self.config = config
        self.changes: list[tuple[str, str, int]] = []
        self.supervisor = Supervisor(programs, self.folder.path, self._note)

    def _note(self, name: str, state: str, restarts: int) -> None:
        self.changes.append((name, state, restarts))

    async def run(self) -> bytes:
        """Run to the end; return the basis."""
        with self.folder.lock():
            open_fleet(self.config, self.folder, fresh=False)
            assert await self.supervisor.run()
        return basis(self.folder.path)

    async def rounds(self, n: int) -> None:
        """Wait until so many rounds are merged."""
        path = self.folder.path / "rounds.jsonl"
        while not path.exists() or path.read_text(encoding="utf-8").count("\n") < n:
            await asyncio.sleep(0.005)


def basis(run: Path) -> bytes:
    """Return a digest of what a fleet has learnt."""
    return hashlib.sha256((run / "basis.safetensors").read_bytes()).digest()
