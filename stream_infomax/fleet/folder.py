"""The folder of a fleet: that of a run, with the shards' run folders, the rounds and the fleet's basis in it.

shards/NN/          the run of a shard
rounds/             the newest bases that the learners had in common, by round
rounds.jsonl        a line for each round
rounds.address      where deltas are handed in
basis.safetensors   the basis at the end
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from stream_infomax.configuration.compose import MAY_CHANGE
from stream_infomax.configuration.load import Config, ConfigError, convert, to_builtins
from stream_infomax.fleet.layout import SHARDS, resolved
from stream_infomax.fleet.names import ADDRESS, ROUNDS
from stream_infomax.run.folder import IN_PROCESS, Found, RunFolder
from stream_infomax.service.checkpoints import differences, read
from stream_infomax.state.error import StateFileError
from stream_infomax.state.numbered import CHECKPOINT, numbered

# What is the fleet's own, beside what every run has.
OF_FLEET = re.compile(
    r"(rounds\.(jsonl|address|lock)|fleet\.id|basis\.safetensors)(\.tmp)?|(coordinator|worker-[0-9]+|[0-9]{2,}-\S+)\.log"
)
OF_ROUNDS = re.compile(r"([0-9]+\.safetensors|guests\.json)(\.tmp)?|socket(\.lock)?")
OF_SHARD = re.compile(r"[0-9]{2,}")


def open_fleet(config: Config, folder: RunFolder, *, fresh: bool) -> Found:
    """Make the folder of a fleet, which is locked, ready for a configuration and say what is in it.

    Raises
    ------
    ConfigError
        Where it holds something else than a fleet, or one of another configuration (names the keys).
    """
    config = resolved(config)
    if not fresh and (folder.path / "run.json").exists():
        record = folder.record
        changed = differences(record.config, to_builtins(config), MAY_CHANGE)
        if changed and shard_folders(folder.path):
            raise ConfigError(
                f"run.folder = {str(folder.path)!r} holds a fleet of another configuration: {'; '.join(changed)}. "
                f"Go back to that, choose another folder, or give --fresh"
            )
    elif fresh:
        _clear(folder.path)
    found = folder.open(config, in_process=True, fresh=fresh)
    return "unfinished" if found == "new" and shard_folders(folder.path) else found


def is_fleet(run: Path) -> bool:
    """Return whether a folder is that of a fleet."""
    return bool(shard_folders(run))


def shard_folders(run: Path) -> dict[str, RunFolder]:
    """Return the folders of the shards of a fleet that have begun, by name."""
    place = run / SHARDS
    names = sorted(path.name for path in place.iterdir() if OF_SHARD.fullmatch(path.name)) if place.is_dir() else []
    return {name: RunFolder(place / name) for name in names if (place / name / "run.json").is_file()}


def runs_in(place: Path) -> list[Path]:
    """Return the run folders of a fleet's shards; of what is no fleet the path itself."""
    return [folder.path for folder in shard_folders(place).values()] or [place]


def address_in(run: Path) -> str:
    """Return where deltas are handed in; empty while nobody knows."""
    try:
        return (run / ADDRESS).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def newest_of(run: Path) -> Path:
    """Return the folder of the shard whose learner has the newest round; of what is no fleet the path itself."""
    found = {name: round_of(folder) for name, folder in shard_folders(run).items()}
    return run / SHARDS / max(found, key=lambda name: (found[name], -int(name))) if found else run


def round_of(folder: RunFolder) -> int:
    """Return the newest round that a shard has taken, by its newest readable checkpoint; -1 before the first."""
    return max(_round_in(folder.path / name) for name in services_of(folder))


def services_of(folder: RunFolder) -> list[str]:
    """Return the names of a run's processes, in the order of the data."""
    record = folder.record
    return [IN_PROCESS] if record.in_process else convert(record.config, str(folder.path)).services()


def _round_in(place: Path) -> int:
    for _, path in reversed(numbered(place, CHECKPOINT) if place.is_dir() else []):
        try:
            stages = read(path).stages
        except StateFileError:
            continue
        rounds = [state["rounds"] for state in stages.values() if "rounds" in state]
        return max((int(one["number"]) for one in rounds), default=-1)
    return -1


def _clear(run: Path) -> None:
    """Remove what a fleet writes, and nothing else."""
    for place in (run / SHARDS, run / ROUNDS):
        if place.is_symlink():
            raise ConfigError(f"{place} is a symbolic link; nothing is removed through one, do it yourself")
    for folder in shard_folders(run).values():
        with folder.lock():
            folder.clear()
        (folder.path / "lock").unlink()
        _leave(folder.path)
    for place, pattern in ((run / ROUNDS, OF_ROUNDS), (run, OF_FLEET)):
        for path in place.iterdir() if place.is_dir() else ():
            if pattern.fullmatch(path.name) and not path.is_dir():
                path.unlink()
    for place in (run / SHARDS, run / ROUNDS):
        _leave(place)


def _leave(folder: Path) -> None:
    """Remove a folder unless it holds something else."""
    with suppress(OSError):
        folder.rmdir()
