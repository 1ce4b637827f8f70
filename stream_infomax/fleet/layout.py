"""Layout: the shards of a fleet, each a pipeline over its part of the data in a run folder of its own.

What is in a shard follows from the configuration and the data alone: not from workers, machines or their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from stream_infomax.configuration.load import Config, ConfigError, convert, to_builtins
from stream_infomax.configuration.tables import SHARD, Fleet
from stream_infomax.settings import shards as parts
from stream_infomax.settings.error import SettingError

# Where the shards' run folders are, in that of the fleet.
SHARDS = "shards"
PER_SHARD = f"{SHARD} in it, which stands for the number of the shard"


class Shard(NamedTuple):
    """A shard that has data.

    Attributes
    ----------
    number, name
        Counted from 0; the number with two digits or more.
    config
        The pipeline of its own, in the folder ``shards/NAME`` of the fleet's.
    files
        Files, frames or inputs that it has; -1 for a live source, which nobody knows before.
    """

    number: int
    name: str
    config: Config
    files: int


def fleet_of(config: Config) -> Fleet:
    """Return the fleet's table. Raises ConfigError where there is none."""
    if config.fleet is None:
        raise ConfigError("fleet: missing; accepted is a table [fleet], for example with workers = 2")
    return config.fleet


def resolved(config: Config) -> Config:
    """Return the configuration with a number of shards: as many as workers unless it says so itself."""
    fleet = fleet_of(config)
    return replace(config, fleet=replace(fleet, shards=fleet.shards or fleet.workers))


def shards(config: Config) -> list[Shard]:
    """Return the shards that have data, in their order.

    Raises
    ------
    ConfigError
        Where the source cannot be divided, shards would get into each other's way, or none has data.
    """
    n_shards = fleet_of(resolved(config)).shards
    try:
        if n_shards > 1:
            _check_apart(config)
        made = [shard for number in range(n_shards) if (shard := _shard(config, number, n_shards)).files]
    except SettingError as error:
        raise ConfigError(str(error)) from error
    if not made:
        raise ConfigError(f"fleet.shards = {n_shards}: none of the shards has data")
    return made


def empty(config: Config, found: list[Shard]) -> list[str]:
    """Return the names of the shards that have no data, which are left out."""
    n_shards = fleet_of(resolved(config)).shards
    return [_name(number, n_shards) for number in range(n_shards) if number not in {shard.number for shard in found}]


def divided(found: list[Shard], workers: int) -> list[list[Shard]]:
    """Return the shards of each worker, in turn; no more workers than there are shards."""
    return [found[first::workers] for first in range(min(workers, len(found)))]


def _shard(config: Config, number: int, n_shards: int) -> Shard:
    name = _name(number, n_shards)
    raw = to_builtins(config)
    del raw["fleet"]
    raw["source"], raw["stage"], raw["sink"] = (_named(raw[key], name) for key in ("source", "stage", "sink"))
    raw["run"] |= {"folder": str(Path(config.run.folder) / SHARDS / name), "metrics": ""}
    files = _take_part(raw["source"], config, parts.Shard(number, n_shards))
    if not files:
        return Shard(number, name, config, 0)
    mine = convert(raw, f"shard {name}")
    holds = getattr(mine.source.settings, "holds", None) if n_shards > 1 else None
    return Shard(number, name, mine, holds() if holds else files)


def _take_part(source: dict[str, Any], config: Config, part: parts.Shard) -> int:
    """Leave in a source's table what belongs to a shard; return how many inputs that is, -1 where nobody knows."""
    # What names a shard in an address of its log or of its labels says nothing about what it reads.
    own = to_builtins(config)["source"]
    if part.shards == 1 or any(_has_shard(own[key]) for key in config.source.settings.__struct_fields__ if key in own):
        return -1
    if "inputs" in source:
        source["inputs"] = [table for table in source["inputs"] if part.has(table["name"].encode())]
        return len(source["inputs"])
    if "shard" not in config.source.settings.__struct_fields__:
        raise SettingError(
            "source.kind",
            config.source.kind,
            f"a source of files, or a text in [source] with {PER_SHARD}",
            "every shard would read the same",
        )
    if source["shard"]:
        raise SettingError("source.shard", source["shard"], "nothing: the fleet sets it")
    source["shard"] = f"{part.number}/{part.shards}"
    return -1


def _check_apart(config: Config) -> None:
    """Check that no two shards bind the same address or write the same file."""
    logs = {"source": config.source.log, **{f"stage.{stage.name}": stage.log for stage in config.stage}}
    given = {f"{name}.log.{key}": getattr(log, key) for name, log in logs.items() for key in ("bind", "tap", "control")}
    given["source.label_bind"] = config.source.label_bind
    given |= {f"sink.{sink.service_name}.path": getattr(sink.settings, "path", "") for sink in config.sink}
    for key, text in given.items():
        if text and SHARD not in text and not text.endswith(":*"):
            raise SettingError(key, text, PER_SHARD, "every shard would use it")


def _name(number: int, n_shards: int) -> str:
    return f"{number:0{max(2, len(str(n_shards - 1)))}d}"


def _named(value: Any, name: str) -> Any:
    """Return a tree of plain values with the name of a shard in its texts."""
    if isinstance(value, Mapping):
        return {key: _named(child, name) for key, child in value.items()}
    if isinstance(value, list):
        return [_named(child, name) for child in value]
    return value.replace(SHARD, name) if isinstance(value, str) else value


def _has_shard(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_shard, value.values()))
    return any(map(_has_shard, value)) if isinstance(value, list) else isinstance(value, str) and SHARD in value
