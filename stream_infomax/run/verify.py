"""Verify: a run computed again, in one process, from the frames that its source gave; and compared bit by bit.

What is compared: the state of every stage at each checkpoint that there is, and what the run has kept of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from stream_infomax.configuration.compose import pipeline_of, source_of, take_over
from stream_infomax.configuration.load import RECORDER, Config, ConfigError, convert
from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline, Seekable, State
from stream_infomax.frames.frame import Frame
from stream_infomax.journal.settings import JOURNAL
from stream_infomax.run.bits import first_difference
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.service.checkpoints import Checkpoint, checkpoints_in, read
from stream_infomax.service.commands import Commands
from stream_infomax.sinks.store import FrameStore, holds_frames
from stream_infomax.state.numbered import frames_behind

# Called with the frame that was computed, the first, and the one after the last.
Watch: TypeAlias = Callable[[int, int, int], None]


@dataclass
class Compared:
    """A service, or what was kept of the frames, beside what was computed again.

    Attributes
    ----------
    name
        Its name.
    frames
        After how many frames of the stream the states were compared; of kept frames, the first and one after the last.
    missed
        After how many frames there are checkpoints, too, which the frames do not reach.
    difference
        The first difference, in words; empty where there is none.
    """

    name: str
    frames: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    difference: str = ""


@dataclass
class Verdict:
    """What came of it: from which frame on was computed, where the frames came from, and what was compared."""

    first: int
    end: int
    source: str
    compared: list[Compared]

    @property
    def same(self) -> bool:
        """Whether no bit differs."""
        return not any(one.difference for one in self.compared)

    @property
    def complete(self) -> bool:
        """Whether there were frames for every checkpoint."""
        return not any(one.missed for one in self.compared)


class _Service:
    """The stages of a process of the run, from the checkpoint on at which they are taken up, or from the beginning.

    What it was told while it ran it is told again, at the same frames.
    """

    def __init__(self, name: str, pipeline: Pipeline, paths: Sequence[Path], start: int, commands: Commands) -> None:
        self.pipeline = pipeline
        self.start = start
        self._commands = commands
        self.compared = Compared(name)
        self._waiting = sorted((path for path in paths if frames_behind(path) > start), key=frames_behind)

    @property
    def end(self) -> int:
        """After how many frames its newest checkpoint was written."""
        return frames_behind(self._waiting[-1]) if self._waiting else self.start

    def finish(self) -> Compared:
        """Return what was compared, and what was not."""
        self.compared.missed = [frames_behind(path) for path in self._waiting if path.exists()]
        return self.compared

    def process(self, frame: Frame) -> Frame:
        """Return its output, and compare where a checkpoint was written then."""
        output = self.pipeline.process(self._commands.apply(frame, self.pipeline))
        while self._waiting and frames_behind(self._waiting[0]) <= frame.offset + 1:
            path = self._waiting.pop(0)
            if frames_behind(path) == frame.offset + 1 and path.exists():  # a run under way removes its oldest
                self._compare(path)
        return output

    def _compare(self, path: Path) -> None:
        found = self.compared
        if found.difference:
            return
        found.frames.append(frames_behind(path))
        different = first_difference(self.pipeline.state(), read(path).stages)
        if different:
            found.difference = f"after {frames_behind(path):,} frames ({path.name}): {different}"


def verify(place: Path, watch: Watch) -> Verdict:
    """Compute a run again, and compare.

    Parameters
    ----------
    place
        The folder of the run, which may be under way.
    watch
        Is told how far it is.

    Raises
    ------
    ConfigError
        Where there is no run, or its frames cannot be had again.
    """
    folder = RunFolder(place)
    record = folder.record
    config = convert(record.config, str(place / "run.json"))
    names = [IN_PROCESS] if record.in_process else config.services()[1:]
    marks = None if record.in_process else Commands(place / config.source.name, source=config.source.name)
    frames, first, about = _frames_of(place, config, record.in_process)
    services = _services(place, config, names, first, record.in_process)
    kept = _Kept(place / RECORDER, services[-1].start if services else first)
    end = max([kept.end, *(service.end for service in services)])
    begin = min((service.start for service in services), default=first)
    last = begin
    if marks is not None:
        marks.pass_over(begin)
    for frame in frames(begin):
        if frame.offset >= end:
            break
        if frame.offset != last:
            raise ConfigError(f"{place}: frame {last:,} is missing in {about}, or damaged")
        output: Frame | None = marks.apply(frame, Pipeline([])) if marks is not None else frame
        for service in services:
            if output is None or frame.offset < service.start:  # and so are those behind it
                output = None
                break
            output = service.process(output)
        if output is not None:
            kept.compare(output)
        last = frame.offset + 1
        watch(frame.offset, begin, end)
    compared = [service.finish() for service in services] + ([kept.compared] if kept.compared.frames else [])
    if not any(one.frames for one in compared):
        raise ConfigError(
            f"{place}: nothing to compare: {about} has frames {begin:,} to {last - 1:,}, the run none then"
        )
    return Verdict(begin, last, about, compared)


def _frames_of(place: Path, config: Config, in_process: bool) -> tuple[Callable[[int], Iterator[Frame]], int, str]:
    """Return what gives the frames of a run from an offset on, the first that it gives, and what it is."""
    name = IN_PROCESS if in_process else config.source.name
    source = source_of(config)
    if isinstance(source, Seekable):
        saved = _newest(place / name)
        try:
            if saved is not None:
                source.restore(saved.source)
        except ValueError as error:
            raise ConfigError(f"{place}: {error}") from error
        return source.frames, 0, "its source"
    from stream_infomax.journal.mending import parts_in
    from stream_infomax.journal.stretch import frames_of, newest_stretch, reader_of

    journal = place / name / JOURNAL
    parts = parts_in(journal) if journal.is_dir() else []
    if not parts:
        raise ConfigError(
            f"{place}: its source {config.source.kind!r} is live and kept no journal: what it gave cannot be had again"
        )
    saved = _newest(place / name)
    try:
        log, first = reader_of(parts[0]).log, newest_stretch(parts)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if saved is not None and log != saved.log:
        raise ConfigError(f"{journal}: the journal of another run")
    return lambda start: frames_of(parts, start), first, "its journal"


def _newest(folder: Path) -> Checkpoint | None:
    paths = checkpoints_in(folder) if folder.is_dir() else []
    return read(paths[-1]) if paths else None


def _services(place: Path, config: Config, names: Sequence[str], first: int, in_process: bool) -> list[_Service]:
    """Return the services, each taken up where the one before it is, or later.

    Raises
    ------
    ConfigError
        Where there are no checkpoints, they cannot be taken up, or frames were lost on the way.
    """
    services: list[_Service] = []
    start = first
    for name in names:
        folder = place / name
        paths = checkpoints_in(folder) if folder.is_dir() else []
        if not paths:
            raise ConfigError(f"{place}: {name} has no checkpoint: nothing to compare")
        newest = read(paths[-1])
        if newest.lost and not in_process:
            lost = ", ".join(f"{n:,} {reason}" for reason, n in newest.lost.items())
            raise ConfigError(f"{place}: {name} never had {lost}: what was lost on the way cannot be computed again")
        pipeline = pipeline_of(config, None if in_process else name)
        done = 0
        if start:
            behind = [path for path in paths if frames_behind(path) >= start]
            if not behind:
                raise ConfigError(
                    f"{place}: frames are there from {start:,} on, and {name} has no checkpoint after that"
                )
            start, saved = frames_behind(behind[0]), read(behind[0])
            done = saved.commands
            _restore(pipeline, saved.stages, behind[0])
        else:
            take_over(config, pipeline)
        pipeline.retrace(newest.stages)
        commands = Commands(folder, done, config.source.name if in_process else "")
        services.append(_Service(name, pipeline, paths, start, commands))
    return services


def _restore(pipeline: Pipeline, state: State, path: Path) -> None:
    try:
        pipeline.restore(state)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path}: does not fit, another version wrote it: {error}") from error


class _Kept:
    """What a run has kept of its frames, beside what was computed again."""

    def __init__(self, folder: Path, start: int) -> None:
        self.compared = Compared(RECORDER)
        self.end = 0
        self._frames: Iterator[Frame] = iter(())
        if holds_frames(folder):
            store = FrameStore(folder)
            self.end = store.next
            self._frames = store.frames(start)
        self._next = next(self._frames, None)

    def compare(self, frame: Frame) -> None:
        """Compare a frame with the one that was kept under its offset."""
        found = self.compared
        while self._next is not None and self._next.offset < frame.offset:
            self._next = next(self._frames, None)
        kept = self._next
        if kept is None or kept.offset != frame.offset or found.difference:
            return
        found.frames = [found.frames[0] if found.frames else frame.offset, frame.offset + 1]
        if wire.encode(frame) != wire.encode(kept):
            found.difference = f"frame {frame.offset:,}: {first_difference(_values(frame), _values(kept))}"


def _values(frame: Frame) -> dict[str, Any]:
    """Return a frame as a tree, its arrays first."""
    arrays = {name: array.data for name, array in frame.arrays.items()}
    return {"arrays": arrays, **{key: repr(getattr(frame, key)) for key in frame.__struct_fields__ if key != "arrays"}}
