"""Summary: what came of a run, from the last checkpoints of its services."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from math import isnan
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.frames.contracts import LEFT_OUT, LOST, Pipeline, Stage
from stream_infomax.frames.event import Event
from stream_infomax.frames.ledger import Balance, totals
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.classifier.scores import Figures
from stream_infomax.run.folder import IN_PROCESS, Record, RunFolder
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.pictures import all_learners, draw_run
from stream_infomax.service.checkpoints import Checkpoint, checkpoints_in, read
from stream_infomax.service.commands import Commands
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.stages.own_learners import EXAMINING, HELD
from stream_infomax.stages.steering import PAUSED
from stream_infomax.state.error import StateFileError
from stream_infomax.watch.history import History

S = TypeVar("S", bound=Stage)

# What is lost where a log or a queue is full, in which the newest counts.
FULL = ("gone", "queue", "overflow")


class Accuracies(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of segments named right before their label was learnt; None where there were none.

    Attributes
    ----------
    n
        Segments.
    accuracy
        Of the classifier.
    no_change, majority_class
        Of the baselines "the same label as last time" and "the most frequent label so far".
    kappa_temporal
        How far the accuracy is from "no change" (0) to always right (1).
    """

    n: int
    accuracy: float | None
    no_change: float | None
    majority_class: float | None
    kappa_temporal: float | None


class LevelScore(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one level of a classifier.

    Attributes
    ----------
    recent, overall
        Over the last segments, and over all.
    chance
        The share that is right by chance.
    """

    recent: Accuracies
    overall: Accuracies
    chance: float | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run, as it stands in run.json.

    Attributes
    ----------
    seconds
        Over all its starts.
    frames
        That the last service has read.
    lost
        Frames that never came or are gone, by reason.
    unforeseen
        Those of them that the run's policy does not allow.
    ledger
        What became of all that was accepted, at every place in the order of the data; of more than 64 streams the
        largest, and the others together.
    set_aside
        Rows that a learner did not learn from, by stage and reason.
    idle
        Stages that end learning nothing, and why: ``paused``, ``on hold`` or ``examining`` a change.
    left_out
        What source and sinks did not use, by what it is.
    measures
        Where each measure ended.
    scores
        By classifier and level.
    unlabelled
        Classifiers that predicted segments and got no label for any, and the label they waited for.
    warming_up
        Learners that have no basis yet, and the rows they have had.
    events
        What happened to the stages, of each the newest 64, and the newest 16 marks that people have set.
    forked
        Where the run was forked, in words; empty where it began by itself.
    pictures, checkpoints
        Their paths.
    undrawn
        Why there are no pictures; empty where there are.
    sinks
        What each sink has counted, by what it is.
    """

    seconds: float
    frames: int
    lost: dict[str, int]
    unforeseen: dict[str, int] = {}
    ledger: list[Balance] = []
    left_out: dict[str, int]
    set_aside: dict[str, dict[str, int]]
    idle: dict[str, str] = {}
    measures: list[Measure]
    scores: dict[str, dict[str, LevelScore]]
    unlabelled: dict[str, str]
    warming_up: dict[str, int]
    pictures: list[str]
    checkpoints: list[str]
    undrawn: str
    events: list[Event] = msgspec.field(default_factory=list)
    forked: str = ""
    sinks: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


def _names(config: Config, in_process: bool) -> list[str]:
    """Return the names of all processes."""
    return [IN_PROCESS] if in_process else [*config.services(), *config.sinks()]


def has_begun(config: Config, folder: RunFolder, in_process: bool) -> bool:
    """Return whether every service has a checkpoint, so that there is something to sum up."""
    names = _names(config, in_process)
    return all((folder.path / name).is_dir() and checkpoints_in(folder.path / name) for name in names)


def is_over(config: Config, folder: RunFolder, in_process: bool) -> bool:
    """Return whether every service has finished and no sink holds anything, so that there is nothing left to run."""
    if not has_begun(config, folder, in_process):
        return False
    try:
        newest = [_newest(folder, name) for name in _names(config, in_process)]
    except StateFileError:  # the service goes on from the one before
        return False
    held = [balance for checkpoint in newest for balance in checkpoint.ledger if balance.part == "sink"]
    return all(checkpoint.finished for checkpoint in newest) and not any(balance.in_flight for balance in held)


def summarise(config: Config, folder: RunFolder, seconds: float, in_process: bool) -> Summary:
    """Complete the history of a run that has finished or was stopped, draw its pictures, and return its summary."""
    names = [IN_PROCESS] if in_process else config.services()
    paths = {name: checkpoints_in(folder.path / name)[-1] for name in names}
    checkpoints = {name: read(path) for name, path in paths.items()}
    learnt = {name: stages_in(checkpoint, str(paths[name])) for name, checkpoint in checkpoints.items()}
    stages = [stage for own in learnt.values() for stage in own]
    # The last status may have been missed; the checkpoints know how it ended.
    measures = [measure for stage in stages for measure in stage.measures()]
    with closing(History(folder.history)) as history:
        history.append(seconds, measures, final=True)
    pictures, undrawn = _pictures(config, folder, checkpoints, learnt)
    sinks = {name: checkpoints[IN_PROCESS] if in_process else _newest(folder, name) for name in config.sinks()}
    classifiers = _of_type(stages, ClassifierStage)
    cold = [stage for stage in all_learners(stages) if not stage.is_warm]
    every = [*checkpoints.values(), *({} if in_process else sinks).values()]
    lost = _lost([*checkpoints.values()], {} if in_process else sinks)
    return Summary(
        seconds=round(seconds, 2),
        frames=checkpoints[names[-1]].processed + 1,
        lost=lost,
        unforeseen=unforeseen(config, lost),
        ledger=[balance.folded() for checkpoint in every for balance in checkpoint.ledger],
        set_aside=_set_aside(every, {stage.name for stage in all_learners(stages)}),
        idle={stage.name: why for stage in stages if (why := _idle(stage))},
        left_out=_left_out(every),
        measures=measures,
        scores={stage.name: scores for stage in classifiers if (scores := _scores(stage))},
        unlabelled={stage.name: stage.target for stage in classifiers if stage.lacks_labels},
        warming_up={stage.key: int(stage.counts().get("rows", 0)) for stage in cold},
        pictures=[str(path) for path in pictures],
        checkpoints=[str(path) for path in paths.values()],
        undrawn=undrawn,
        events=[*_marks(config, folder, names[0], checkpoints), *Pipeline(stages).events()],
        forked=_forked(folder.record),
        sinks=_counts(sinks),
    )


def _marks(config: Config, folder: RunFolder, name: str, checkpoints: Mapping[str, Checkpoint]) -> Iterable[Event]:
    """Return the newest marks that people have set."""
    return Commands(folder.path / name, checkpoints[name].commands, config.source.name).marks


def _newest(folder: RunFolder, name: str) -> Checkpoint:
    return read(checkpoints_in(folder.path / name)[-1])


def _lost(checkpoints: Sequence[Checkpoint], sinks: Mapping[str, Checkpoint]) -> dict[str, int]:
    """Return how many frames never came, by reason, and what each sink missed of the last service's.

    A frame that one service never had is gone for all behind it, and counts once.
    """
    lost: Counter[str] = Counter()
    before = 0
    for number, checkpoint in enumerate(checkpoints):
        lost.update(_own_losses(checkpoint, before))
        if number:  # what a source never had has no offset
            before = sum(count for reason, count in checkpoint.lost.items() if reason != "transport")
    for name, checkpoint in sinks.items():
        lost.update({f"{reason}, {name}": count for reason, count in _own_losses(checkpoint, before).items()})
    for checkpoint in (*checkpoints, *sinks.values()):
        for counts in checkpoint.counts.values():
            lost.update({key.removeprefix(LOST): int(n) for key, n in counts.items() if key.startswith(LOST)})
    return {reason: count for reason, count in lost.items() if count}


def unforeseen(config: Config, lost: Mapping[str, int]) -> dict[str, int]:
    """Return the losses that the policy does not allow: in drop-oldest a full log or queue may drop, and nothing else.

    A reason may be followed by the sink that missed the frames, or by the input of a source.
    """
    allowed = FULL if config.run.policy == "drop-oldest" else ()
    return {reason: n for reason, n in lost.items() if re.split(r", | \(", reason)[0] not in allowed}


def _own_losses(checkpoint: Checkpoint, before: int) -> dict[str, int]:
    """Return the losses of a service without those of the services before it."""
    own = dict(checkpoint.lost)
    if "gone" in own:
        own["gone"] = max(0, own["gone"] - before)
    return own


def _counts(sinks: Mapping[str, Checkpoint]) -> dict[str, dict[str, int]]:
    """Return what each sink has counted, but what it did not use."""
    found = {}
    for name, checkpoint in sinks.items():
        own = checkpoint.counts.get(name, {})
        if counts := {key: int(count) for key, count in own.items() if not key.startswith((LEFT_OUT, LOST))}:
            found[name] = counts
    return found


def _set_aside(checkpoints: Iterable[Checkpoint], learners: Set[str]) -> dict[str, dict[str, int]]:
    """Return how many rows learners set aside, by reason, where there were any."""
    held = [balance for checkpoint in checkpoints for balance in checkpoint.ledger if balance.part == "stage"]
    return {balance.place: rows for balance in held if balance.place in learners and (rows := totals(balance.aside))}


def _idle(stage: Stage) -> str:
    """Return why a stage learns nothing; empty where it does."""
    counts = stage.counts()
    return ", ".join(why for why in (PAUSED, HELD, EXAMINING) if counts.get(why))


def _left_out(checkpoints: Iterable[Checkpoint]) -> dict[str, int]:
    """Return how much of what source and sinks did not use, as far as it is more than nothing."""
    counts = [item for checkpoint in checkpoints for own in checkpoint.counts.values() for item in own.items()]
    return {key.removeprefix(LEFT_OUT): int(count) for key, count in counts if key.startswith(LEFT_OUT) and count}


def _forked(record: Record) -> str:
    if record.origin is None:
        return ""
    changes = [f"{name} {', '.join(words)}" for name, words in record.origin.changes.items()]
    return f"{record.origin.folder} at frame {record.origin.offset:,}" + (f"; {'; '.join(changes)}" if changes else "")


def saved_summary(folder: RunFolder) -> Summary:
    """Return the summary of a run that has finished; raises ConfigError where run.json holds none of this version."""
    try:
        return msgspec.convert(folder.summary(), Summary)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{folder.path / 'run.json'}: its summary is none of this version: {error}") from error


def _pictures(
    config: Config, folder: RunFolder, checkpoints: Mapping[str, Checkpoint], stages: Mapping[str, list[Stage]]
) -> tuple[list[Path], str]:
    """Return the paths of the pictures, and why there are none."""
    try:
        return draw_run(config, folder, checkpoints, stages), ""
    except MissingExtraError as error:
        return [], str(error)


def _of_type(stages: Iterable[Stage], kind: type[S]) -> list[S]:
    return [stage for stage in stages if isinstance(stage, kind)]


def _scores(stage: ClassifierStage) -> dict[str, LevelScore]:
    return {
        level: LevelScore(
            recent=_accuracies(score.recent, score.n_recent),
            overall=_accuracies(score.overall, score.n),
            chance=_known(score.chance),
        )
        for level, score in stage.scores().items()
    }


def _accuracies(figures: Figures, n: int) -> Accuracies:
    return Accuracies(
        n=n,
        accuracy=_known(figures.accuracy),
        no_change=_known(figures.no_change),
        majority_class=_known(figures.majority),
        kappa_temporal=_known(figures.kappa_temporal),
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else value
