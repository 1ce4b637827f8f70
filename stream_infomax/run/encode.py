"""Encode: what a learner has learnt, applied to other data of the same kind: rows, or what its run's source reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream_infomax.configuration.compose import source_of, stage_of
from stream_infomax.configuration.load import Config, ConfigError, convert
from stream_infomax.configuration.overrides import apply
from stream_infomax.configuration.tables import StageTable
from stream_infomax.frames.basis import joined
from stream_infomax.frames.contracts import Encoder as EncodingStage
from stream_infomax.frames.contracts import Pipeline, Seekable, Stage
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.learning.infomax.saved import contents, learners_in
from stream_infomax.run.row_files import is_row_file, rows_in
from stream_infomax.settings.extras import require
from stream_infomax.state.error import fitting
from stream_infomax.state.file import StateFileError, Tree
from stream_infomax.state.numbered import newest_checkpoints

# Rows of an array that are encoded at once.
ROWS = 4096
# What the features of a learner in its own file are called.
UNNAMED = "features"


@dataclass(frozen=True)
class Learnt:
    """A learner of a run, or in its own file.

    Attributes
    ----------
    place
        Where it was found.
    encoder
        What it encodes with.
    name
        Its stage, and the array that it adds.
    id
        The id on its frames.
    config
        Of its run; None where it stands in its own file.
    states
        Of the run's stages, as far as they were found, by name.
    """

    place: Path
    encoder: Encoder
    name: str
    id: str
    config: Mapping[str, Any] | None
    states: Mapping[str, Tree]


def learnt(place: Path, name: str | None) -> Learnt:
    """Return the learner in a file or folder.

    Raises
    ------
    StateFileError
        Where there is none, no telling which, or no basis yet.
    """
    trees = contents(place)
    encoder = Encoder.among(place, trees, name)
    stages = {stage: state for tree in trees.values() for stage, state in tree.get("stages", {}).items()}
    chosen = name or next(iter(learners_in(trees)), UNNAMED)
    config = next((tree["config"] for tree in trees.values() if "config" in tree), None)
    stage, _, stream = chosen.partition("/")  # where each stream has a learner of its own
    state = stages.get(stage, {})
    state = state.get("streams", {}).get(stream, {}) if stream else state
    return Learnt(place, encoder, stage, state.get("encoder", ""), config, stages)


class Encoded:
    """The frames of SOURCE with their features.

    Parameters
    ----------
    one
        The learner.
    source
        A file of rows; or a file or folder that the run's source reads, whose frames go through the stages before the
        learner.
    changes
        Of the run's configuration.

    Attributes
    ----------
    of_run
        Whether the frames are those of the run's source.
    n_rows, n_aside
        Rows so far, and those of them that are NaN.

    Raises
    ------
    ConfigError
        Where the source cannot be read, or does not go with the learner.
    """

    def __init__(self, one: Learnt, source: Path, changes: Sequence[str] = ()) -> None:
        self.learnt = one
        self.n_rows = self.n_aside = 0
        if not source.exists():
            raise ConfigError(f"SOURCE {source}: no such file or folder")
        self._config = _fed_with(one, source, changes)
        self.of_run = not is_row_file(source, getattr(self._config, "source", None))
        if not self.of_run:
            self._rows = rows_in(source, one.encoder.n_features, one.encoder.feature_names)
            self.total = -(-len(self._rows) // ROWS)
            return
        if self._config is None:
            raise ConfigError(
                f"SOURCE {source}: the learner in {one.place} stands in its own file, which does not say how rows are "
                "made; accepted: a file of rows (.npy, .npz, .csv), or a checkpoint of a run"
            )
        require(*self._config.source.settings.needs())
        found = source_of(self._config)
        if not isinstance(found, Seekable):
            raise ConfigError(f"source.kind = {self._config.source.kind!r} is live; accepted: a file of rows")
        self._source = found
        self._before = _before(one, self._config)
        self.total = len(found)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; raises ConfigError where rows are not those that the learner takes."""
        one = self.learnt
        frames = self._frames_of_source() if self.of_run else self._frames_of_rows()
        for frame, read in frames:
            if read is None:  # a late label
                yield frame
                continue
            try:
                features = one.encoder.transform(read.rows(), self.n_rows)
            except ValueError as error:
                raise ConfigError(f"frame {frame.offset}: {error}") from error
            self.n_rows += len(features)
            self.n_aside += int(np.isnan(features).any(axis=1).sum())
            basis = joined(frame.basis, one.encoder.version)
            yield frame.extend({one.name: read.replace_rows(features)}, encoder=one.id, basis=basis)

    def _frames_of_rows(self) -> Iterator[tuple[Frame, Array | None]]:
        for offset in range(self.total):
            rows = self._rows[offset * ROWS : (offset + 1) * ROWS]
            yield Frame("rows", offset, last=offset == self.total - 1), Array(rows, ("item", "channel"))

    def _frames_of_source(self) -> Iterator[tuple[Frame, Array | None]]:
        assert self._config is not None
        table = _table(self._config, self.learnt)
        name = self._config.input_of(table)
        try:
            for frame in self._source.frames():
                out = self._before.process(frame)
                yield out, out.arrays[name] if out.arrays else None
        except ConfigError:
            raise
        except (ValueError, KeyError) as error:
            raise ConfigError(f"SOURCE: {error}") from error


def _fed_with(one: Learnt, source: Path, changes: Sequence[str]) -> Config | None:
    """Return the configuration of the run, which reads another source; None where there is none."""
    if one.config is None:
        if changes:
            raise ConfigError(f"--set: the learner in {one.place} stands in its own file, without a configuration")
        return None
    raw = {**one.config, "source": dict(one.config["source"])}
    if "path" in raw["source"]:
        raw["source"]["path"] = str(source)
    for change in changes:
        try:
            apply(raw, change)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {error}") from error
    config = convert(raw, str(one.place))
    if not hasattr(config.source.settings, "path") and not is_row_file(source, config.source):
        raise ConfigError(
            f"SOURCE {source}: the run's source (kind {config.source.kind!r}) reads no files; accepted: a file of rows "
            "(.npy, .npz, .csv)"
        )
    return config


def _table(config: Config, one: Learnt) -> StageTable:
    return next(table for table in config.stage if table.name == one.name)


def _before(one: Learnt, config: Config) -> Pipeline:
    """Return the stages that make the rows of the learner; they learn nothing."""
    table = _table(config, one)
    needed, tables = {config.input_of(table)}, list[StageTable]()
    for other in reversed(config.stage[: config.stage.index(table)]):
        if needed & {other.name, f"{other.name}.context"}:
            needed.add(config.input_of(other))
            tables.insert(0, other)
    stages, names = list[Stage](), [config.source.name]
    for other in tables:
        require(*other.settings.needs())
        stage = stage_of(config, other)
        if isinstance(stage, EncodingStage):
            if other.kind != "windows":  # they learn nothing
                _set(stage, one)
            stage.start_encoding(tuple(names))
        stages.append(stage)
        names += [other.name, f"{other.name}.context"]
    return Pipeline(stages)


def _set(stage: EncodingStage, one: Learnt) -> None:
    """Give a stage before the learner its state, from beside the learner's where it ran in another service."""
    state = one.states.get(stage.name)
    if state is None:
        run = one.place.parent if one.place.is_dir() else one.place.parent.parent
        beside = [tree["stages"] for path in newest_checkpoints(run) for tree in contents(path).values()]
        state = next((stages[stage.name] for stages in beside if stage.name in stages), None)
    if state is None:
        raise StateFileError(f"{one.place}: no state of the stage {stage.name!r} there, which {one.name!r} reads")
    try:
        with fitting(f"{one.place}: the stage {stage.name!r}"):
            stage.restore(state)
    except ValueError as error:
        raise StateFileError(str(error)) from error
