"""Recalled: what the folder of a run tells its page: stages, curves, bases, what it was told, and how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.event import Event
from stream_infomax.learning.infomax.encoder import Encoder, Kept, in_file, kept_bases
from stream_infomax.page.growth import HOUR
from stream_infomax.page.told import Told
from stream_infomax.page.watched import Left, Stage, Watched
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.place import Place
from stream_infomax.run.summary import saved_summary
from stream_infomax.run.summary_text import lines
from stream_infomax.service.checkpoints import Checkpoint, checkpoints_in, read
from stream_infomax.service.commands import Commands
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import plain
from stream_infomax.state import file
from stream_infomax.state.error import StateFileError
from stream_infomax.watch import history

# What cannot be had of data that are not there (any more), or of packages that are not installed.
UNKNOWN = (ConfigError, MissingExtraError, OSError, ValueError)


def known(place: Place) -> Watched:
    """Return what is known of a run without listening: its stages, curves and bases, and how one ended that is over."""
    watched = Watched(place.name, list(place.taps), stages_of(place))
    if place.folder is None:
        return watched
    folder = place.folder.path
    watched.commands = {name: _told(folder / name) for name in watched.services}
    if place.folder.history.exists():
        watched.history(history.read(place.folder.history))
    is_over = not place.folder.held
    saved = checkpoints(place) if is_over else {}
    end = max((path.stat().st_mtime for path, _ in saved.values()), default=time.time())
    for basis, ago in _first_and_hour_before(folder, end):
        watched.basis(basis, ago)
    recall_versions(place, watched)
    if is_over:
        come_to_rest(place, watched, saved)
    return watched


def recall_versions(place: Place, watched: Watched) -> None:
    """Take in which bases lie in the folder now."""
    if place.folder is None:
        return
    by_learner: dict[str, list[tuple[str, int]]] = {}
    for one in kept_bases(place.folder.path):
        by_learner.setdefault(one.stage, []).append((one.version, one.offset))
    watched.kept = {key: by_learner[in_file(key)] for key in watched.bases if in_file(key) in by_learner}


def checkpoints(place: Place) -> dict[str, tuple[Path, Checkpoint]]:
    """Return the newest checkpoint of each service of a run that can be read, and its file."""
    found: dict[str, tuple[Path, Checkpoint]] = {}
    for name in place.taps:
        folder = place.folder.path / name if place.folder is not None else Path()
        for path in reversed(checkpoints_in(folder) if folder.is_dir() else []):
            with contextlib.suppress(StateFileError):
                found[name] = path, read(path)
                break
    return found


def come_to_rest(place: Place, watched: Watched, saved: Mapping[str, tuple[Path, Checkpoint]]) -> None:
    """Take in how a run ended, or where it stands."""
    assert place.folder is not None
    kept = {(one.stage, one.version): one.offset for one in kept_bases(place.folder.path)}
    watched.rest(
        {
            name: Left(found.processed + 1, path.stat().st_mtime, found.finished, found.lost)
            for name, (path, found) in saved.items()
        }
    )
    for name, (path, found) in saved.items():
        with contextlib.suppress(*UNKNOWN, StateFileError):
            stages = Pipeline(stages_in(found, str(path)))
            for basis in stages.bases():
                # A checkpoint does not say from which frame on it holds.
                offset = kept.get((in_file(basis.key), basis.version), found.processed + 1)
                watched.basis(msgspec.structs.replace(basis, offset=offset))
            marks: Sequence[Event] = ()
            if place.in_process or name == place.config.source.name:
                folder = place.folder.path / name
                marks = Commands(folder, found.commands, place.config.source.name).marks
            watched.tell(name, [*marks, *stages.events()], is_old=True)
    with contextlib.suppress(*UNKNOWN):
        if place.folder.summary() is not None:
            watched.over = list(lines(saved_summary(place.folder)))
    recall_versions(place, watched)


def _told(folder: Path) -> list[Told]:
    """Return what a service was told; nothing where that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return [Told(one.action, one.stage, one.offset, one.time) for one in Commands(folder).given]
    return []


def stages_of(place: Place, found: Mapping[str, Outline | None] = MappingProxyType({})) -> list[Stage]:
    """Return source and stages as the configuration describes them, and as their outlines do that were found."""
    config, in_process = place.config, place.in_process
    tables: list[Any] = [config.source, *config.stage]
    made = []
    for number, table in enumerate(tables):
        outline = found.get(table.name)
        service = IN_PROCESS if in_process else table.service_name if number else table.name
        made.append(
            Stage(
                table.name,
                table.kind,
                service,
                config.input_of(table) if number else "",
                rate=outline.rate if outline else 0.0,
                channels=outline.channels if outline else (),
                units=outline.units if outline else (),
                row=outline.row if outline else None,
                settings=plain(table.settings),
            )
        )
    return made


def _first_and_hour_before(folder: Path, end: float) -> list[tuple[Basis, float]]:
    """Return of each learner the first basis that was kept and that of an hour before `end`, and their ages then."""
    by_stage: dict[str, list[Kept]] = {}
    for one in kept_bases(folder):
        by_stage.setdefault(one.stage, []).append(one)
    found = []
    for kept in by_stage.values():
        ages = [(one, end - one.path.stat().st_mtime) for one in kept if one.path.exists()]
        older = [pair for pair in ages if pair[1] >= HOUR]
        for one, ago in dict([*ages[:1], *older[-1:]]).items():
            with contextlib.suppress(StateFileError, KeyError):  # it is thinned meanwhile, or damaged
                found.append((_basis(one), ago))
    return found


def _basis(kept: Kept) -> Basis:
    tree = file.load(kept.path)
    encoder = Encoder.from_tree(tree["encoder"])
    stage, _, stream = str(tree["stage"]).partition("/")
    arrays = {name: getattr(encoder, name) for name in Encoder.ARRAYS}
    return Basis(
        stage=stage,
        stream=stream,
        encoder="",
        version=kept.version,
        previous=str(tree["previous"]),
        offset=kept.offset,
        output=encoder.output,
        amplitude=encoder.amplitude,
        seed=encoder.seed,
        **arrays,
    )
