"""Configurations as they are read: a TOML file, or a tree of plain values, to typed records and back."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stream_infomax.configuration import checks, kinds
from stream_infomax.configuration.kinds import Kinds
from stream_infomax.configuration.overrides import apply
from stream_infomax.configuration.shipped import configurations, find
from stream_infomax.configuration.tables import (
    RECORDER,
    Config,
    ConfigError,
    Fleet,
    Run,
    SinkTable,
    SourceTable,
    StageTable,
    Table,
)
from stream_infomax.settings.error import MISSING, SettingError
from stream_infomax.settings.record import Settings, make, plain
from stream_infomax.settings.types import NAME_PATTERN
from stream_infomax.settings.words import one_of

__all__ = ["RECORDER", "Config", "ConfigError", "convert", "load", "to_builtins"]

AnyTable = TypeVar("AnyTable", bound=Table)
Whole = TypeVar("Whole", Run, Fleet)

# A kind's settings that `[run]` has for all.
OF_RUN = ("seed", "keys", "insecure")


def load(place: str | Path, changes: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Parameters
    ----------
    place
        The TOML file, or the name of one that is shipped.
    changes
        ``key.path=value`` each, applied before the check; stages are named by their name
        (``stage.learner.n_components=64``). A value is TOML, or a bare text.

    Raises
    ------
    ConfigError
        With the file, the key path, the value and what is accepted.
    """
    path = find(place)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file {path}; shipped are {one_of(configurations())}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:  # brackets in brackets
        raise ConfigError(f"{path}: not readable as TOML: {error}") from error
    for change in changes:
        try:
            apply(raw, change)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {error}") from error
    return convert(raw, str(path))


def convert(raw: Mapping[str, Any], origin: str = "configuration") -> Config:
    """Check a tree of plain values and return the configuration. Raises ConfigError, which names `origin`."""
    try:
        config = _config(raw)
        checks.check(config)
    except SettingError as error:
        raise ConfigError(f"{origin}: {error}") from error
    return config


def to_builtins(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, as TOML, JSON and checkpoints keep it."""
    fleet = {} if config.fleet is None else {"fleet": plain(config.fleet)}
    return {
        "run": plain(config.run),
        "source": _flat(config.source),
        "stage": [_flat(stage) for stage in config.stage],
        "sink": [_flat(sink) for sink in config.sink],
        **fleet,
    }


def own_keys(record: type[Settings]) -> list[str]:
    """Return the keys that a record has in its table."""
    not_here = ("settings",) if record is Run else ("settings", *OF_RUN)
    return [key for key in record.__struct_fields__ if key not in not_here]


def _config(raw: Mapping[str, Any]) -> Config:
    tables = Config.__struct_fields__
    for key, value in raw.items():
        if key not in tables:
            raise SettingError(key, value, one_of(tables), "unknown key")
    for key, value in raw.items():
        listed = key in ("stage", "sink")
        if not isinstance(value, list if listed else Mapping):
            raise SettingError(key, value, f"tables [[{key}]]" if listed else f"a table [{key}]")
    run = _whole(Run, raw.get("run", {}), "run")
    if "source" not in raw:
        raise SettingError("source", MISSING, "a table [source]")
    return Config(
        run=run,
        source=_table(SourceTable, kinds.SOURCES, raw["source"], "source", run),
        stage=tuple(_listed(StageTable, kinds.STAGES, raw.get("stage", []), "stage", run)),
        sink=tuple(_listed(SinkTable, kinds.SINKS, raw.get("sink", []), "sink", run)),
        fleet=_whole(Fleet, raw["fleet"], "fleet") if "fleet" in raw else None,
    )


def _whole(record: type[Whole], raw: Mapping[str, Any], key: str) -> Whole:
    try:
        return make(record, raw)
    except SettingError as error:
        raise error.under(key) from None


def _listed(record: type[AnyTable], of: Kinds, tables: Sequence[Any], key: str, run: Run) -> list[AnyTable]:
    made = []
    for number, raw in enumerate(tables):
        if not isinstance(raw, Mapping):
            raise SettingError(key, raw, f"tables [[{key}]]")
        name = raw.get("name")
        called = name if isinstance(name, str) and re.match(NAME_PATTERN, name) else number
        made.append(_table(record, of, raw, f"{key}.{called}", run))
    return made


def _table(record: type[AnyTable], of: Kinds, raw: Mapping[str, Any], path: str, run: Run) -> AnyTable:
    """Return the record of a table: its own keys, and those of its kind under `settings`."""
    try:
        if "kind" not in raw:
            raise SettingError("kind", MISSING, one_of(of.names()))
        kind = of.settings_of(raw["kind"])
        for_all, for_kind = own_keys(record), own_keys(kind)
        for key, value in raw.items():
            if key not in for_all and key not in for_kind:
                raise SettingError(key, value, one_of([*for_all, *for_kind]), "unknown key")
        values = {key: value for key, value in raw.items() if key in for_kind}
        values |= {key: getattr(run, key) for key in OF_RUN if key in kind.__struct_fields__}
        settings = make(kind, values)
        return make(record, {**{key: raw[key] for key in raw if key in for_all}, "settings": settings})
    except SettingError as error:
        raise error.under(path) from None


def _flat(table: Table) -> dict[str, Any]:
    values = {**plain(table, leave_out=("settings",)), **plain(table.settings, leave_out=OF_RUN)}
    return {key: value for key, value in values.items() if value is not None}
