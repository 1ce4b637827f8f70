"""The end of a run: pictures, curves and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from math import isnan
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from stream_infomax.configuration.compose import source_of
from stream_infomax.configuration.load import Config
from stream_infomax.frames.contracts import Stage
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.classifier.scores import Score
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.pictures import draw, learners
from stream_infomax.service.checkpoints import Checkpoint, checkpoints_in, read
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.watch import history
from stream_infomax.watch.board import clock

# What the summary says of each level of a classifier: over the last segments, and over all.
SHARES = ("", "_no_change", "_majority", "_kappa_temporal")
FIGURES = (*(f"{over}{share}" for over in ("window", "overall") for share in SHARES), "chance", "window_size", "scored")
Scores: TypeAlias = dict[str, dict[str, float | None]]
S = TypeVar("S", bound=Stage)


def conclude(config: Config, folder: RunFolder, seconds: float, in_process: bool) -> dict[str, Any]:
    """Draw what was learnt into the run folder and return the summary of the run."""
    names = [IN_PROCESS] if in_process else config.services()
    paths = {name: checkpoints_in(folder.path / name)[-1] for name in names}
    checkpoints = {name: read(path) for name, path in paths.items()}
    stages = {name: stages_in(checkpoint, str(paths[name])) for name, checkpoint in checkpoints.items()}
    # The last status may have been missed; the checkpoints know how it ended.
    measures = [measure for own in stages.values() for stage in own for measure in stage.measures()]
    with closing(history.History(folder.history)) as kept:
        kept.append(seconds, measures)
    pictures, undrawn = [], ""
    try:
        pictures = _pictures(config, folder, checkpoints, stages)
    except MissingExtraError as error:
        undrawn = str(error)
    lost: Counter[str] = Counter()
    for checkpoint in checkpoints.values():
        lost.update(checkpoint.lost)
    return {
        "seconds": round(seconds, 2),
        "frames": checkpoints[names[-1]].processed + 1,
        "lost": dict(lost),
        "measures": msgspec.to_builtins(measures),
        "scores": _scores(stages),
        "unlabelled": _unlabelled(stages),
        "warming_up": _warming_up(stages),
        "pictures": [str(path) for path in pictures],
        "undrawn": undrawn,
        "checkpoints": [str(path) for path in paths.values()],
    }


def _pictures(
    config: Config, folder: RunFolder, checkpoints: Mapping[str, Checkpoint], stages: Mapping[str, list[Stage]]
) -> list[Path]:
    """Draw filters, recovery and curves; return the paths of the pictures."""
    from stream_infomax import plots

    pictures = []
    alone = sum(stage.kind == "learner" for stage in config.stage) == 1
    for service, checkpoint in checkpoints.items():
        pictures += draw(stages[service], checkpoint.config, folder.path, alone)
        pictures += _recovery(config, checkpoint, stages[service], folder.path)
    curves = history.read(folder.history)
    if curves:
        pictures.append(plots.save(plots.learning(curves), folder.path / "learning_curve.png"))
    return pictures


def _of_kind(stages: Mapping[str, list[Stage]], kind: type[S]) -> list[S]:
    return [stage for own in stages.values() for stage in own if isinstance(stage, kind)]


def _scores(stages: Mapping[str, list[Stage]]) -> dict[str, Scores]:
    """Return each classifier's test-then-train figures by level, by its name; None where a figure has no value."""
    found = {}
    for stage in _of_kind(stages, ClassifierStage):
        scores = {}
        for level, score in stage.scores().items():
            values = _figures(score)
            scores[level] = {figure: None if isnan(values[figure]) else values[figure] for figure in FIGURES}
        if scores:
            found[stage.name] = scores
    return found


def _figures(score: Score) -> dict[str, float]:
    values: dict[str, float] = {"chance": score.chance, "window_size": score.n_recent, "scored": score.n}
    for over, figures in (("window", score.recent), ("overall", score.overall)):
        of = (figures.accuracy, figures.no_change, figures.majority, figures.kappa_temporal)
        values |= {f"{over}{share}": value for share, value in zip(SHARES, of, strict=True)}
    return values


def _unlabelled(stages: Mapping[str, list[Stage]]) -> dict[str, str]:
    """Return the target of each classifier that predicted segments and got no label for any, by its name."""
    return {stage.name: stage.target for stage in _of_kind(stages, ClassifierStage) if stage.lacks_labels}


def _warming_up(stages: Mapping[str, list[Stage]]) -> dict[str, int]:
    """Return how many rows each learner has had that has no basis yet, by its name."""
    cold = [stage for stage in _of_kind(stages, LearnerStage) if not stage.is_warm]
    return {stage.name: int(stage.counts().get("rows", 0)) for stage in cold}


def _recovery(config: Config, checkpoint: Checkpoint, stages: list[Stage], folder: Path) -> list[Path]:
    """Where the sources are known and read directly, draw how well each filter has found one of them."""
    from stream_infomax import plots
    from stream_infomax.learning.measures.information import amari_distance
    from stream_infomax.sources.synthetic import SyntheticSource

    first = next((stage for stage in learners(stages) if stage.name == config.stage[0].name), None)
    if config.source.kind != "synthetic" or first is None:
        return []
    source = source_of(config)
    assert isinstance(source, SyntheticSource)
    product = first.learner.components_ @ source.mixing(checkpoint.processed)
    distance = amari_distance(product) if product.shape[0] == product.shape[1] else None
    return [plots.save(plots.recovery(product, distance), folder / "recovery.png")]


def tell(summary: Mapping[str, Any], save_features: Path | None = None) -> None:
    """Print a summary, and where the features are."""
    losses = ", ".join(f"{count:,} frames lost ({reason})" for reason, count in summary["lost"].items() if count)
    print(f"finished after {clock(summary['seconds'])}: {summary['frames']:,} frames, {losses or 'none lost'}")
    scores = summary.get("scores", {})
    for measure in msgspec.convert(summary["measures"], list[Measure]):
        kind = history.KINDS[measure.kind]
        if measure.stage not in scores:
            print(
                f"{measure.stage}: {kind.title} {kind.text(measure.value)} after {measure.position:,} {kind.position}"
            )
    for name, levels in scores.items():
        print(f"{name}: segments named rightly, each before its label was learnt")
        _table(levels)
    for name, target in summary.get("unlabelled", {}).items():
        print(f"{name}: no segment had the label {target!r}")
    for name, n_rows in summary.get("warming_up", {}).items():
        print(f"{name}: no basis, its warm-up was not over after {n_rows:,} rows")
    if summary.get("undrawn"):
        print(f"no pictures: {summary['undrawn']}")
    _list("pictures", summary["pictures"])
    _list("checkpoints", summary["checkpoints"])
    _list("features", [str(save_features)] if save_features else [])


def _table(scores: Scores) -> None:
    """Print how many segments each level named rightly, and below, in brackets, what one gets without looking."""
    lines = [["", "of late", "kappa-temporal", "in all", "kappa-temporal"]]
    for level, of in scores.items():
        lines.append([level, *(write(of, over) for over in ("window", "overall") for write in (_share, _kappa))])
    *_, last = scores.values()
    for title, name in (("no change", "_no_change"), ("majority class", "_majority")):
        lines.append([f"({title})", _share(last, "window", name), "", _share(last, "overall", name), ""])
    chance = f"{last['chance']:.1%}"
    lines.append(["(by chance)", chance, "", chance, ""])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for level, *cells in lines:
        row = "".join(f"   {cell:{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        print(f"  {level:{widths[0]}}{row}".rstrip())


def _share(of: Mapping[str, float | None], over: str, of_whom: str = "") -> str:
    n_results = of["window_size" if over == "window" else "scored"]
    return f"{of[over + of_whom]:.1%} of {n_results:,.0f}"


def _kappa(of: Mapping[str, float | None], over: str) -> str:
    value = of[f"{over}_kappa_temporal"]
    return "–" if value is None else f"{value:.2f}"


def _list(title: str, paths: list[str]) -> None:
    for i, path in enumerate(paths):
        print(f"{title if i == 0 else '':12}{_near(Path(path))}")


def _near(path: Path) -> Path:
    """Return the path as seen from here where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
