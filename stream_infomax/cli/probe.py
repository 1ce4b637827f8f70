"""``stream-infomax probe``: what a linear classifier reads from every level of a run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.settings import Changes, read
from stream_infomax.settings.printable import printable

if TYPE_CHECKING:
    import numpy as np

    from stream_infomax.frames.contracts import Pipeline

    Vectors = dict[str, dict[str, np.ndarray[Any, Any]]]


def probe(
    checkpoint: Path,
    *,
    data: Path,
    target: str = "",
    leave_out: str = "",
    folds: Annotated[int, Parameter(show_default=True)] = 5,
    set: Changes = (),  # noqa: A002
) -> int:
    """Fit linear probes on segments that are encoded, not learnt from; print their accuracy on others, level by level.

    Every level is pooled to mean and deviation over a segment.

    Beside each contrastive module stands its twin with the weights from before it learnt.

    Parameters
    ----------
    checkpoint
        A run's folder, or a checkpoint in it: the newest of every service is taken.
    data
        What the run's source reads here instead: a folder of recordings or pictures with labels.
    target
        The label to name; by default that of the run's classifier.
    leave_out
        A label: each of its values is tested in turn by a probe that never saw it (for example speaker).
    folds
        Without `leave_out`: parts of the segments that are tested in turn.
    """
    from stream_infomax.run.threads import THREADS
    from stream_infomax.stages.classifier import ClassifierSettings

    os.environ.update(THREADS)  # before numpy is there; more threads are slower here, and round differently
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent.parent
    pipeline = RunFolder(folder).pipeline
    if not checkpoint.exists():
        raise ConfigError(f"no run folder or checkpoint {checkpoint}")
    if not pipeline.is_file():
        raise ConfigError(f"{checkpoint} is neither a run's folder nor a checkpoint in one: there is no {pipeline}")
    config = read(pipeline, (f"source.path={str(data)!r}", *set))
    states = _states(folder)
    targets = [stage.settings.target for stage in config.stage if isinstance(stage.settings, ClassifierSettings)]
    target = target or next(iter(targets), "")
    if not target:
        raise ConfigError("--target: the run has no classifier that names one; name the label")
    learnt, labels = _encode(config, states, random=False)
    random, _ = _encode(config, states, random=True)
    chosen = [key for key, found in labels.items() if target in found and (not leave_out or leave_out in found)]
    if not chosen:
        named = sorted({name for found in labels.values() for name in found})
        raise ConfigError(f"no segment of {data} has the labels {target!r} {leave_out!r}; there are {named}")
    classes = [labels[key][target] for key in chosen]
    groups = [labels[key][leave_out] for key in chosen] if leave_out else _folds(len(chosen), folds)
    tested = leave_out or f"{folds} folds"
    print(printable(f"{len(chosen)} segments, {target} ({len(Counter(classes))} classes), tested by {tested}"))
    print(f"{'level':32}{'learnt %':>10}{'untrained %':>13}")
    print(f"{'the most frequent':32}{100 * Counter(classes).most_common(1)[0][1] / len(classes):10.1f}")
    for level in next(iter(learnt.values())):
        accuracy = _accuracy([learnt[key][level] for key in chosen], classes, groups)
        twin = _accuracy([random[key][level] for key in chosen], classes, groups)
        differs = any((learnt[key][level] != random[key][level]).any() for key in chosen)
        print(f"{printable(level):32}{accuracy:10.1f}" + (f"{twin:13.1f}" if differs else ""))
    return 0


def _states(folder: Path) -> Mapping[str, Any]:
    """Return the states of a run's stages under their names."""
    from stream_infomax.service.checkpoints import read
    from stream_infomax.state.file import StateFileError
    from stream_infomax.state.numbered import newest_checkpoints

    try:
        checkpoints = [read(path) for path in newest_checkpoints(folder)]
    except (StateFileError, OSError) as error:
        raise ConfigError(str(error)) from error
    states = {name: state for checkpoint in checkpoints for name, state in checkpoint.stages.items()}
    if not states:
        raise ConfigError(f"{folder} holds no checkpoint of a run; give the run's folder")
    return states


def _encode(config: Config, states: Mapping[str, Any], random: bool) -> tuple[Vectors, dict[str, Mapping[str, str]]]:
    """Return the pooled vectors of every segment by level, and the segments' labels."""
    import numpy as np

    from stream_infomax.configuration.compose import source_of
    from stream_infomax.frames.contracts import Seekable
    from stream_infomax.learning.classifier.pooling import Pooling

    pipeline = _encoder(config, states, random)
    source = source_of(config)
    if not isinstance(source, Seekable):
        raise ConfigError(f"source.kind = {config.source.kind!r} is live; a probe reads its source again")
    levels = [stage.name for stage in pipeline.stages]
    open_segments: dict[str, dict[str, Pooling]] = {}
    vectors: Vectors = {}
    labels: dict[str, Mapping[str, str]] = {}
    for frame in source.frames():
        out = pipeline.process(frame)
        pools = open_segments.setdefault(frame.segment, {})
        for name, array in out.arrays.items():
            if name.removesuffix(".context") in levels and array.n_rows:
                pools.setdefault(name, Pooling(array.rows().shape[1])).add(array.rows())
        if frame.last:
            found = {name: pool.result() for name, pool in open_segments.pop(frame.segment).items()}
            last = levels[-1]
            if f"{last}.context" in found:
                found[f"{last}+{last}.context"] = np.concatenate([found[last], found[f"{last}.context"]])
            if found and all(np.isfinite(vector).all() for vector in found.values()):
                vectors[frame.segment], labels[frame.segment] = found, frame.labels
    complete = max((len(found) for found in vectors.values()), default=0)
    vectors = {key: found for key, found in vectors.items() if len(found) == complete}
    if not vectors:
        raise ConfigError(f"source.path = {getattr(config.source, 'path', '')!r} gave no whole segment to probe on")
    return vectors, labels


def _encoder(config: Config, states: Mapping[str, Any], random: bool) -> Pipeline:
    """Return the stages of a run up to the classifier with their states; they learn nothing and pass on everything."""
    from stream_infomax.configuration.compose import pipeline_of
    from stream_infomax.frames.contracts import Encoder, Pipeline
    from stream_infomax.state.error import fitting

    stages = [stage for stage in pipeline_of(config).stages if isinstance(stage, Encoder)]
    before: tuple[str, ...] = ()
    for stage in stages:
        if stage.name not in states:
            raise ConfigError(f"the run has no checkpoint of the stage {stage.name!r}; there are {list(states)}")
        try:
            with fitting("its state"):
                stage.restore(states[stage.name])
        except ValueError as error:  # of other settings, or by another version
            raise ConfigError(f"the run's stage {stage.name!r} cannot be taken over: {error}") from error
        stage.start_encoding(before, untrained=random)
        before = (*before, stage.name, f"{stage.name}.context")
    return Pipeline(stages)


def _folds(n: int, folds: int) -> list[str]:
    import numpy as np

    order = np.random.default_rng(0).permutation(n)
    return [str(part) for part in (order % folds)]


def _accuracy(vectors: Sequence[Any], classes: Sequence[str], groups: Sequence[str]) -> float:
    """Return the share (%) of segments that a probe names rightly which never saw their group."""
    import numpy as np

    from stream_infomax.learning.classifier.probes import LinearProbe

    features, names, parts = np.array(vectors), np.array(classes), np.array(groups)
    right = 0.0
    for part in np.unique(parts):
        tested = parts == part
        right += (
            LinearProbe().fit(features[~tested], names[~tested]).score(features[tested], names[tested]) * tested.sum()
        )
    return 100 * right / len(names)
