"""Diff: what differs between two runs: settings, where their measures ended, components, kept features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_infomax.configuration.load import RECORDER
from stream_infomax.frames.contracts import Stage
from stream_infomax.learning.infomax.matching import Match, match
from stream_infomax.run.agreement import Agreement, agreements
from stream_infomax.run.folder import IN_PROCESS, Record, RunFolder
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.pictures import learners
from stream_infomax.service.checkpoints import flatten, newest_before
from stream_infomax.service.commands import given_since
from stream_infomax.watch import history

# Where a run lies says nothing of it.
NOT_COMPARED = ("run.folder",)
EVERYTHING = 2**63


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes
    ----------
    place
        Its folder, as a person gave it.
    record
        Its run.json.
    settings
        With dotted keys.
    curves
        Its history.
    stages
        As they were at its newest checkpoints, by name.
    """

    place: Path
    record: Record
    settings: dict[str, Any]
    curves: history.Curves
    stages: dict[str, Stage]


@dataclass(frozen=True)
class Difference:
    """Two runs beside each other.

    Attributes
    ----------
    one, other
        The runs.
    settings
        By dotted key, the values of both where they differ; None for a key that one lacks.
    matched
        By the name of a learner that both have: which of its components in the one is which in the other.
    features
        By the name of an array that both have kept: how far it agrees.
    """

    one: Side
    other: Side
    settings: dict[str, tuple[Any, Any]]
    matched: dict[str, list[Match]]
    features: dict[str, Agreement]

    @property
    def origin(self) -> str:
        """Where one of them is a fork of the other, or both are forks of a third."""
        mine, its = self.one.record.origin, self.other.record.origin
        if its is not None and its.run == self.one.record.id:
            return f"B was forked from A at frame {its.offset:,}{_later('A', self.one, its.offset, 'B')}"
        if mine is not None and mine.run == self.other.record.id:
            return f"A was forked from B at frame {mine.offset:,}{_later('B', self.other, mine.offset, 'A')}"
        if mine is not None and its is not None and mine.run == its.run:
            return f"both were forked from {mine.folder}: A at frame {mine.offset:,}, B at frame {its.offset:,}"
        return ""


def _later(name: str, run: Side, offset: int, fork: str) -> str:
    told = given_since(run.place, offset)
    return f"; from there on {name} was told {told}, and {fork} was not" if told else ""


def side(place: Path) -> Side:
    """Return the run in a folder, finished or under way.

    Raises
    ------
    ConfigError
        Where there is none.
    ValueError
        Where its checkpoints are of another version.
    """
    folder = RunFolder(place)
    record = folder.record
    stages: dict[str, Stage] = {}
    services = [IN_PROCESS] if record.in_process else _services(record.config)
    for service in services:
        checkpoint = newest_before(place / service, EVERYTHING)
        if checkpoint is not None:
            stages |= {stage.name: stage for stage in stages_in(checkpoint, str(place / service))}
    curves = history.read(folder.history) if folder.history.exists() else {}
    settings = {key: value for key, value in flatten(record.config).items() if key not in NOT_COMPARED}
    return Side(place, record, settings, curves, stages)


def _services(config: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(stage.get("service") or stage["name"] for stage in config["stage"]))


def difference(one: Side, other: Side) -> Difference:
    """Put two runs beside each other."""
    mine, its = ({stage.key: stage for stage in learners(run.stages.values())} for run in (one, other))
    matched = {
        name: match(mine[name].learner, its[name].learner)
        for name in mine
        if name in its and mine[name].learner.n_features_in_ == its[name].learner.n_features_in_
    }
    features = agreements(one.place / RECORDER, other.place / RECORDER)
    return Difference(one, other, different(one.settings, other.settings), matched, features)


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each dotted key whose values differ.

    Of a source, stage or sink that one run has only, or that is of another kind, the kind stands for all of it.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*one, *other]):
        kind = f"{_table_of(key)}.kind"
        if one.get(kind) != other.get(kind):
            found[kind] = one.get(kind), other.get(kind)
        elif one.get(key) != other.get(key):
            found[key] = one.get(key), other.get(key)
    return found


def _table_of(key: str) -> str:
    """Return the table that a dotted key is in: ``run``, ``source``, ``stage.NAME`` or ``sink.NAME``."""
    table, *rest = key.split(".")
    return f"{table}.{rest[0]}" if table in ("stage", "sink") and rest else table
