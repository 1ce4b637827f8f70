"""Probing: every level of a run, as it encodes a source again, and what a linear classifier reads from each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.frames.contracts import Encoder, Pipeline, Seekable
from stream_infomax.learning.classifier.pooling import Pooling
from stream_infomax.learning.classifier.probes import LinearProbe
from stream_infomax.run.encoding import start_encoding
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.settings import read
from stream_infomax.service import checkpoints
from stream_infomax.service.checkpoints import flatten
from stream_infomax.settings.record import plain
from stream_infomax.stages.classifier import ClassifierSettings
from stream_infomax.stages.contrast_settings import ContrastSettings
from stream_infomax.state.error import fitting
from stream_infomax.state.file import StateFileError
from stream_infomax.state.numbered import newest_checkpoints

# By segment and level, what the level gives for the segment.
Vectors = dict[str, dict[str, NDArray[Any]]]
Bools = NDArray[np.bool_]

# What the first contrastive module is given, the same beside the last module, and beside all of them.
INPUT, LAST, ALL = "input", "input+last", "input+all"


@dataclass(frozen=True)
class Probed:
    """A run to be probed.

    Attributes
    ----------
    place
        As a person gave it.
    config
        Its configuration; the source reads what the probe is given.
    states
        Those of its stages, by name.
    """

    place: Path
    config: Config
    states: Mapping[str, Any]

    @property
    def target(self) -> str:
        """The label that its classifier names; empty where it has none."""
        settings = (stage.settings for stage in self.config.stage)
        return next((found.target for found in settings if isinstance(found, ClassifierSettings)), "")

    @property
    def input(self) -> str:
        """The stage whose features the first contrastive module is given; empty where there is none."""
        first = next((stage for stage in self.config.stage if isinstance(stage.settings, ContrastSettings)), None)
        given = "" if first is None else self.config.input_of(first)
        return given if given != self.config.source.name else ""


@dataclass(frozen=True)
class Encoded:
    """The segments of a source: what every level gives for them, pooled, and their labels.

    Attributes
    ----------
    vectors
        By segment and level: mean and deviation over the segment, (2·width of the level,).
    labels
        By segment: names of labels and their text.
    """

    vectors: Vectors
    labels: dict[str, Mapping[str, str]]

    @property
    def levels(self) -> list[str]:
        """The levels, in the order of the stages; behind them, levels beside each other."""
        return list(next(iter(self.vectors.values())))

    def same(self, other: Encoded, level: str, segments: Sequence[str]) -> bool:
        """Whether another encoding gives the same at a level."""
        return all(np.array_equal(self.vectors[key][level], other.vectors[key][level]) for key in segments)


@dataclass(frozen=True)
class Test:
    """The segments that are tested, the class of each, and the group with which it is left out.

    `missing` counts those that one encoding gave and another did not.
    """

    segments: list[str]
    classes: list[str]
    groups: list[str]
    missing: int

    def right(self, encoded: Encoded, level: str) -> Bools:
        """Return which segments a probe on a level names rightly that never saw their group, (n,)."""
        features = np.array([encoded.vectors[segment][level] for segment in self.segments])
        names, parts = np.array(self.classes), np.array(self.groups)
        right = np.zeros(len(names), bool)
        for part in np.unique(parts):
            tested = parts == part
            try:
                probe = LinearProbe().fit(features[~tested], names[~tested])
            except ValueError as error:
                raise ConfigError(f"without {part!r} there is nothing to fit on: {error}") from error
            right[tested] = probe.predict(features[tested]) == names[tested]
        return right


def probed(place: Path, data: Path, changes: Sequence[str]) -> Probed:
    """Return a run whose source reads other data.

    Parameters
    ----------
    place
        A run's folder, or a checkpoint in it: the newest of every service is taken.
    data
        What its source reads.
    changes
        Of its configuration.

    Raises
    ------
    ConfigError
        Where there is no run, or none with a checkpoint.
    """
    folder = place if place.is_dir() else place.parent.parent
    pipeline = RunFolder(folder).pipeline
    if not place.exists():
        raise ConfigError(f"no run folder or checkpoint {place}")
    if not pipeline.is_file():
        raise ConfigError(f"{place} is neither a run's folder nor a checkpoint in one: there is no {pipeline}")
    return Probed(place, read(pipeline, (f"source.path={str(data)!r}", *changes)), _states(folder))


def compared(one: Probed, other: Probed, target: str) -> Probed:
    """Return the other run as it reads what the first one reads, of whatever seed its own source was.

    Parameters
    ----------
    one, other
        The runs.
    target
        The label that both are probed for; empty for that of their classifiers.

    Raises
    ------
    ConfigError
        Where they do not read alike, or their classifiers name two labels: says which setting differs.
    """
    sources = (run.config.source for run in (one, other))
    mine, its = (flatten({"kind": source.kind} | plain(source.settings, ("path", "seed"))) for source in sources)
    for key in [key for key in mine | its if mine.get(key) != its.get(key)]:
        raise ConfigError(
            f"source.{key} is {mine.get(key)!r} in {one.place} and {its.get(key)!r} in {other.place}: only runs that "
            f"read the same segments can be compared; --set source.{key}=VALUE holds for both"
        )
    if not target and one.target != other.target:
        raise ConfigError(
            f"the classifier of {one.place} names {one.target!r}, that of {other.place} {other.target!r}: "
            f"--target says which label both are probed for"
        )
    return replace(other, config=msgspec.structs.replace(other.config, source=one.config.source))


def encode(run: Probed, *, untrained: bool = False) -> Encoded:
    """Return what every level of a run gives for the segments of its source, mean and deviation over each.

    Parameters
    ----------
    run
        Whose levels.
    untrained
        Encode as before any learning, where a stage can.

    Raises
    ------
    ConfigError
        Where the source cannot be read again, a stage's state does not fit, or no segment is whole.
    """
    pipeline = _encoder(run, untrained)
    source = source_of(run.config)
    if not isinstance(source, Seekable):
        raise ConfigError(f"source.kind = {run.config.source.kind!r} is live; a probe reads its source again")
    stages = [stage.name for stage in pipeline.stages]
    open_segments: dict[str, dict[str, Pooling]] = {}
    vectors: Vectors = {}
    labels: dict[str, Mapping[str, str]] = {}
    for frame in source.frames():
        out = pipeline.process(frame)
        pools = open_segments.setdefault(frame.segment, {})
        for name, array in out.arrays.items():
            if name.removesuffix(".context") in stages and array.n_rows:
                pools.setdefault(name, Pooling(array.rows().shape[1])).add(array.rows())
        if frame.last:
            found = {name: pool.result() for name, pool in open_segments.pop(frame.segment).items()}
            if found and all(np.isfinite(vector).all() for vector in found.values()):
                vectors[frame.segment], labels[frame.segment] = found, frame.labels
    complete = max((len(found) for found in vectors.values()), default=0)
    if not complete:
        path = getattr(run.config.source.settings, "path", "")
        raise ConfigError(f"source.path = {path!r} gave no whole segment to probe on")
    whole = {key: _with_together(found, stages, run.input) for key, found in vectors.items() if len(found) == complete}
    return Encoded(whole, labels)


def chosen(encoded: Sequence[Encoded], target: str, leave_out: str, folds: int) -> Test:
    """Return the segments that all have given, with their labels, in groups that are left out in turn.

    Parameters
    ----------
    encoded
        The same source, encoded in several ways.
    target
        The label to name.
    leave_out
        A label: each of its values is a group. Empty for `folds` groups by chance.
    folds
        Number of those groups.
    """
    labels = encoded[0].labels
    whole = [key for key in encoded[0].vectors if all(key in other.vectors for other in encoded[1:])]
    segments = [key for key in whole if target in labels[key] and (not leave_out or leave_out in labels[key])]
    if not segments:
        named = sorted({name for found in labels.values() for name in found})
        raise ConfigError(f"no segment has the labels {target!r} {leave_out!r}; there are {named}")
    groups = [labels[key][leave_out] for key in segments] if leave_out else _folds(len(segments), folds)
    if len(set(groups)) < 2:
        by = f"--leave-out {leave_out}: there is {groups[0]!r} alone" if leave_out else f"--folds {folds}"
        raise ConfigError(f"{by}; a probe is tested on what it was not fitted on, so two groups or more are needed")
    missing = len({key for other in encoded for key in other.vectors}) - len(whole)
    return Test(segments, [labels[key][target] for key in segments], groups, missing)


def read_off(one: Encoded, other: Encoded, test: Test) -> Iterator[tuple[str, Bools | None, Bools | None]]:
    """Yield, level by level, which segments a probe names rightly on the one and on the other encoding.

    None stands for a level that one of them lacks; what is the same in both is fitted once.
    """
    for level in dict.fromkeys((*one.levels, *other.levels)):
        mine = test.right(one, level) if level in one.levels else None
        if mine is not None and level in other.levels and one.same(other, level, test.segments):
            yield level, mine, mine
        else:
            yield level, mine, test.right(other, level) if level in other.levels else None


def _folds(n: int, folds: int) -> list[str]:
    if folds < 2:
        return ["all"] * n
    order = np.random.default_rng(0).permutation(n)
    return [str(part) for part in (order % folds)]


def _with_together(found: dict[str, NDArray[Any]], stages: list[str], given: str) -> dict[str, NDArray[Any]]:
    """Return the levels of a segment in the order of the stages and, behind them, levels beside each other."""
    levels, modules = {}, []
    for stage in stages:
        for name in (stage, f"{stage}.context"):
            if name in found:
                levels[INPUT if name == given else name] = found[name]
                modules += [name] * (INPUT in levels and name != given)
    ends = [name for name in (stages[-1], f"{stages[-1]}.context") if name in levels]
    together = {"+".join(ends): ends}
    if modules:
        together |= {LAST: [INPUT, *ends], ALL: [INPUT, *modules]}
    return levels | {key: np.concatenate([levels[name] for name in names]) for key, names in together.items() if names}


def _states(folder: Path) -> Mapping[str, Any]:
    """Return the states of a run's stages under their names."""
    try:
        read_back = [checkpoints.read(path) for path in newest_checkpoints(folder)]
    except (StateFileError, OSError) as error:
        raise ConfigError(str(error)) from error
    states = {name: state for checkpoint in read_back for name, state in checkpoint.stages.items()}
    if not states:
        raise ConfigError(f"{folder} holds no checkpoint of a run; give the run's folder")
    return states


def _encoder(run: Probed, untrained: bool) -> Pipeline:
    """Return the stages of a run up to the classifier with their states; they learn nothing and pass on everything."""
    stages = [stage for stage in pipeline_of(run.config).stages if isinstance(stage, Encoder)]
    for stage in stages:
        if stage.name not in run.states:
            raise ConfigError(f"the run has no checkpoint of the stage {stage.name!r}; there are {list(run.states)}")
        try:
            with fitting("its state"):
                stage.restore(run.states[stage.name])
        except ValueError as error:  # of other settings, or by another version
            raise ConfigError(f"the run's stage {stage.name!r} cannot be taken over: {error}") from error
    start_encoding(stages, untrained=untrained)
    return Pipeline(stages)
