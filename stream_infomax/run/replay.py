"""Replay: a run as it was at any of its frames, and from there on a run of its own with other settings.

Each service left a few checkpoints, and a seekable source gives any frame again. So the state of all stages at any
offset is that of their nearest checkpoints before it and of the frames between, computed again: the same bits.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from stream_infomax.configuration.compose import pipeline_of, service_of, source_of, stage_of, take_over
from stream_infomax.configuration.load import RECORDER, Config, ConfigError, convert, to_builtins
from stream_infomax.configuration.overrides import apply
from stream_infomax.configuration.tables import StageTable
from stream_infomax.frames.contracts import Mark, Output, Pipeline, Seekable, Stage, State
from stream_infomax.frames.frame import Frame
from stream_infomax.run.folder import IN_PROCESS, Origin, RunFolder
from stream_infomax.service.bases import copy_before
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints, differences, newest_before
from stream_infomax.service.commands import Commands, copy_until, given_since
from stream_infomax.settings.printable import printable
from stream_infomax.settings.record import plain
from stream_infomax.sinks.store import FrameStore, holds_frames, keep_before
from stream_infomax.state.error import fitting
from stream_infomax.state.private import private
from stream_infomax.transport.log import OutputLog
from stream_infomax.watch import history

# What a run is about: another one of these is another run, not the same one from a point on.
ABOUT = ("source", "run.seed")
BUT_NOT = ("source.pace", "source.speed", "source.log.*", "source.journal.*")
# Of a stage's table: where it runs and what it passes on shapes no state.
OF_PLACE = ("service", "carry", "log", "start")
# Characters of a setting's value in a sentence.
LONGEST_VALUE = 32

Watch: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Past:
    """A run as its folder has it.

    Attributes
    ----------
    folder, config, in_process
        Of the run.
    source
        As the run had it.
    """

    folder: RunFolder
    config: Config
    in_process: bool
    source: Seekable

    @property
    def services(self) -> list[str]:
        """Return the processes with stages, in the order of the data."""
        return [IN_PROCESS] if self.in_process else self.config.services()[1:]

    def pipeline(self, service: str) -> Pipeline:
        """Return the stages of a service, new."""
        return pipeline_of(self.config, None if self.in_process else service)

    def commands(self, service: str, applied: int = 0) -> Commands:
        """Return what a service was told while it ran, of which so many commands are done."""
        source = self.config.source.name if service in (IN_PROCESS, self.config.source.name) else ""
        return Commands(self.folder.path / service, applied, source)


@dataclass
class Moment:
    """The stages of a run as they were before the frame `offset`.

    Attributes
    ----------
    offset
        The frame that comes next.
    first
        The first frame that was computed again; `offset` where none was.
    stages
        With their states.
    lost
        Frames that had been lost until then, by reason.
    """

    offset: int
    first: int
    stages: list[Stage]
    lost: dict[str, int] = field(default_factory=dict)


def past_run(place: Path) -> Past:
    """Return the run in a folder.

    Raises
    ------
    ConfigError
        Where there is none, or its frames cannot be had again.
    """
    folder = RunFolder(place)
    record = folder.record
    config = convert(record.config, str(place / "run.json"))
    source = source_of(config)
    if not isinstance(source, Seekable):
        raise ConfigError(f"{place}: its source {config.source.kind!r} is live; what it gave cannot be had again")
    newest = newest_before(place / (IN_PROCESS if record.in_process else config.source.name), sys.maxsize)
    if newest is not None:
        try:
            with fitting("its checkpoint"):
                source.restore(newest.source)
        except ValueError as error:
            raise ConfigError(f"{place}: {error}") from error
    return Past(folder, config, record.in_process, source)


def changed(past: Past, to: Path, changes: Sequence[str]) -> Config:
    """Return the configuration of a fork in the folder `to`.

    Raises
    ------
    ConfigError
        Where a change is none, or makes it another run.
    """
    raw = to_builtins(past.config)
    for change in changes:
        try:
            apply(raw, change)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {error}") from error
    if raw["run"]["folder"] != past.config.run.folder:
        raise ConfigError("--set run.folder: --to names the folder of the fork")
    raw["run"]["folder"] = str(to)
    config = convert(raw, "--set")
    other = [
        one for one in differences(to_builtins(past.config), to_builtins(config), BUT_NOT) if one.startswith(ABOUT)
    ]
    if other:
        raise ConfigError(f"--set: {'; '.join(other)}: with another source or seed it is another run, not this one")
    before, now = ([stage.name for stage in one.stage] for one in (past.config, config))
    if before != now:
        raise ConfigError(f"--set: a fork has the stages of the run, {', '.join(before)}; given were {', '.join(now)}")
    for sink in config.sink:
        path = getattr(sink.settings, "path", None)
        if path and path in [getattr(other.settings, "path", None) for other in past.config.sink]:
            raise ConfigError(
                f"sink.{sink.service_name}.path = {path!r} is written by the run that is forked; "
                f"--set sink.{sink.service_name}.path=ANOTHER"
            )
    return config


class _Taken(NamedTuple):
    """The stages of a service, the frame that they need next, and what they are told."""

    pipeline: Pipeline
    start: int
    commands: Commands


def moment_at(past: Past, offset: int, stores: Sequence[FrameStore], log: str, watch: Watch) -> Moment:
    """Return the stages as they were before the frame `offset`; what `stores` lack until then is kept under `log`.

    Raises
    ------
    ConfigError
        Where the stream has no such frame, or a checkpoint is of another version.
    """
    if not 0 <= offset < len(past.source):
        where = f"the stream of {past.folder.path} has {len(past.source):,} frames"
        raise ConfigError(f"--from {offset}: {where}; accepted is 0 to {len(past.source) - 1}")
    found: list[_Taken] = []
    lost: Counter[str] = Counter()
    limit = min([offset, *(store.next for store in stores)])
    for service in reversed(past.services):
        pipeline = past.pipeline(service)
        saved = newest_before(past.folder.path / service, limit)
        limit = _set(pipeline, saved, past)
        lost.update(saved.lost if saved else {})
        commands = past.commands(service, saved.commands if saved else 0)
        found.insert(0, _Taken(pipeline, limit, commands))
    marks = None if past.in_process else past.commands(past.config.source.name)
    if marks is not None:
        marks.pass_over(limit)
    for frame in past.source.frames(limit) if limit < offset else ():
        if frame.offset == offset:
            break
        watch(frame.offset)
        output = _pass_on(marks.apply(frame, Pipeline([])) if marks is not None else frame, found)
        if output is None:
            continue
        for store in stores:
            store.accept(Output(output, log))
            if store.due:
                store.save(Mark(log, frame.offset + 1, False))
    return Moment(offset, limit, [stage for one in found for stage in one.pipeline.stages], dict(lost))


def _set(pipeline: Pipeline, saved: Checkpoint | None, past: Past) -> int:
    """Set stages to a checkpoint, or to the beginning; return the offset of the frame that they need next."""
    if saved is None:
        take_over(past.config, pipeline)
        return 0
    try:
        with fitting(f"{past.folder.path}: a checkpoint"):
            pipeline.restore(saved.stages)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return saved.processed + 1


def _pass_on(frame: Frame, services: Sequence[_Taken]) -> Frame | None:
    """Return what the last service makes of a frame; None where it, or one before it, has seen the frame already."""
    for one in services:
        if one.start > frame.offset:  # and so are those behind it
            return None
        frame = one.pipeline.process(one.commands.apply(frame, one.pipeline))
    return frame


@dataclass(frozen=True)
class Fate:
    """What becomes of a stage at the fork: it goes on with these settings changed, or starts afresh for a reason."""

    stage: Stage
    changes: tuple[str, ...] = ()
    anew: str = ""


def fork_stages(past: Past, config: Config, moment: Moment) -> list[Fate]:
    """Return the stages of the fork: with the state of their namesakes, or from the beginning.

    A stage goes on where all settings that differ are free to (`StageSettings.free`). Where another one differs it
    starts afresh, and so do all behind it: what they read is something else then.
    """
    fates: list[Fate] = []
    broken = ""
    for table, was in zip(config.stage, moment.stages, strict=True):
        old = next(one for one in past.config.stage if one.name == table.name)
        stage = stage_of(config, table)
        changes = _changes(past.config, old, config, table)
        shaping = [text for key, text in changes.items() if key not in table.settings.free]
        reason = broken and f"it reads what {broken} makes"
        if not reason and shaping:
            reason = ", ".join(shaping)
        if not reason:
            try:
                stage.restore(was.state())
            except (KeyError, ValueError) as error:
                reason, stage = f"its state does not fit: {error}", stage_of(config, table)
        if reason:
            broken = broken or table.name
            take_over(config, Pipeline([stage]))
        fates.append(Fate(stage, tuple(changes.values()), reason))
    return fates


def _changes(before: Config, old: StageTable, after: Config, new: StageTable) -> dict[str, str]:
    """Return what differs between two tables of a stage, by key, in words."""
    values = [
        {**plain(table, ("settings", *OF_PLACE)), "input": config.input_of(table), **plain(table.settings)}
        for config, table in ((before, old), (after, new))
    ]
    was, now = values
    keys = dict.fromkeys([*was, *now])
    return {key: f"{key} {_said(was, key)} → {_said(now, key)}" for key in keys if was.get(key) != now.get(key)}


def _said(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return "none" if value is None else printable(str(value), LONGEST_VALUE)


def write_fork(
    past: Past, config: Config, moment: Moment, fates: Sequence[Fate], stores: Sequence[FrameStore], log: str
) -> None:
    """Write a run that resumes at the moment, as the log of this id, into the folder of `config`."""
    folder, mark = RunFolder(Path(config.run.folder)), Mark(log, moment.offset, False)
    states = {fate.stage.name: fate.stage.state() for fate in fates}
    for store in stores:
        store.save(mark)
    for service, stages, sinks in _services(past, config, mark):
        was, now = past.folder.path / service, folder.path / service
        checkpoints = Checkpoints(now)
        checkpoints.save(
            Checkpoint(
                log=log,
                processed=moment.offset - 1,
                finished=False,
                lost=moment.lost if service == past.services[-1] else {},
                config=to_builtins(config),
                source=past.source.state() if service in (config.source.name, IN_PROCESS) else {},
                commands=copy_until(was, now, moment.offset),
                stages={name: states[name] for name in stages},
                sinks=sinks,
            )
        )
        if was.is_dir():
            copy_before(was, now, moment.offset)
    history.keep_until(past.folder.history, folder.history, _positions(fates))
    changes = {fate.stage.name: [*fate.changes] for fate in fates if fate.changes}
    origin = Origin(run=past.folder.record.id, folder=str(past.folder.path), offset=moment.offset, changes=changes)
    folder.begin(config, past.in_process, origin)


def _services(past: Past, config: Config, mark: Mark) -> Iterator[tuple[str, list[str], dict[str, State]]]:
    """Yield the processes of a run: name, stages, and what a checkpoint has of their sinks."""
    if past.in_process:
        yield IN_PROCESS, [stage.name for stage in config.stage], {}
        return
    for service in config.services():
        stages = [] if service == config.source.name else [stage.name for stage in config.stages_of(service)]
        log = OutputLog(service_of(config, service).readers)
        log.rewind(mark.next)
        for reader in log.readers:
            log.commit(reader, mark.next - 1)
        yield service, stages, {service: log.state()}
    for sink in config.sinks():
        yield sink, [], {}


def _positions(fates: Iterable[Fate]) -> dict[tuple[str, str], float]:
    """Return how far the curves of each stage and level belong to the fork; those that do not are missing."""
    positions: dict[tuple[str, str], float] = {}
    for fate in fates:
        for measure in fate.stage.measures() if not fate.anew else ():
            key = measure.stage, measure.level
            positions[key] = max(measure.position, positions.get(key, -1))
    return positions


def stores_of(past: Past, config: Config, offset: int, log: str) -> list[FrameStore]:
    """Return the recorder in the folder of the fork, with the frames before `offset` that the run kept."""
    source = past.folder.path / RECORDER
    if not (config.run.record and past.config.run.record and holds_frames(source)):
        return []
    return [keep_before(source, Path(config.run.folder) / RECORDER, offset, log)]


@private()
def fork(past: Past, config: Config, offset: int, watch: Watch) -> tuple[Moment, list[Fate]]:
    """Make the folder of `config` a run that goes on from the frame `offset` of another one.

    Parameters
    ----------
    past
        That run.
    config, offset
        Of the fork.
    watch
        Called with the offset of each frame that is computed again.

    Raises
    ------
    ConfigError
        Where the folder is there already, or the run has no such frame or cannot be computed again; there is no folder
        then.
    """
    folder = Path(config.run.folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--to {folder}: {error.strerror}; accepted is a folder that is not there yet") from error
    try:
        log = secrets.token_hex(8)
        stores = stores_of(past, config, offset, log)
        moment = moment_at(past, offset, stores, log, watch)
        fates = fork_stages(past, config, moment)
        write_fork(past, config, moment, fates, stores, log)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return moment, fates


def told(past: Past, folder: Path, moment: Moment, fates: Sequence[Fate]) -> Iterator[str]:
    """Yield what a person is to know of a fork."""
    yield f"{folder}: {past.folder.path} up to frame {moment.offset:,}, and from there on:"
    if moment.first < moment.offset:
        yield f"  frames {moment.first:,} to {moment.offset - 1:,} were computed again"
    width = max((len(fate.stage.name) for fate in fates), default=0)
    for fate in fates:
        how = f"starts afresh: {fate.anew}" if fate.anew else "goes on"
        changes = f" with {', '.join(fate.changes)}" if fate.changes and not fate.anew else ""
        yield f"  {fate.stage.name:{width}}  {how}{changes}"
    if later := given_since(past.folder.path, moment.offset):
        yield f"  what the run was told from there on is not done: {later}"
    if past.config.run.policy == "drop-oldest":
        yield "  its policy is drop-oldest: frames that were dropped there are not dropped here"
