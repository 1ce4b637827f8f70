"""The end of a run: pictures, curves and a summary."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping
from contextlib import closing
from math import isnan
from pathlib import Path
from typing import Any, TypeAlias

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import ClassifierSettings, Config, LearnerSettings, SyntheticSettings
from stream_infomax.frames.contracts import Metrics
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.watch import history
from stream_infomax.watch.board import clock

# What the summary says of each level of a classifier: over the last segments, and over all.
SHARES = ("", "_no_change", "_majority", "_kappa_temporal")
FIGURES = (*(f"{over}{share}" for over in ("window", "overall") for share in SHARES), "chance", "window_size", "scored")
Scores: TypeAlias = dict[str, dict[str, float | None]]


def conclude(config: Config, folder: RunFolder, seconds: float, in_process: bool) -> dict[str, Any]:
    """Draw what was learnt into the run folder and return the summary of the run."""
    from stream_infomax.service.checkpoints import checkpoints_in
    from stream_infomax.state.file import load

    names = [IN_PROCESS] if in_process else config.services()
    checkpoints = {name: checkpoints_in(folder.path / name)[-1] for name in names}
    trees = {name: load(path) for name, path in checkpoints.items()}
    # The last status may have passed unheard; the checkpoints know how it ended.
    metrics = _final_metrics(config, trees)
    said: Metrics = ChainMap(*(dict(values) for values, _ in metrics.values()))
    measures: dict[str, tuple[float, float]] = {}
    for values, n_frames in metrics.values():
        measures |= history.measures_in(values, n_frames)
    with closing(history.History(folder.history)) as kept:
        kept.append(seconds, measures)
    pictures, undrawn = [], ""
    try:
        pictures = _pictures(config, folder, trees, in_process)
    except MissingExtraError as error:
        undrawn = str(error)
    lost: Counter[str] = Counter()
    for tree in trees.values():
        lost.update(tree["lost"])
    return {
        "seconds": round(seconds, 2),
        "frames": trees[names[-1]]["processed"] + 1,
        "lost": dict(lost),
        "measures": measures,
        "scores": _scores(config, said),
        "unlabelled": _unlabelled(config, trees),
        "warming_up": _warming_up(config, said),
        "pictures": [str(path) for path in pictures],
        "undrawn": undrawn,
        "checkpoints": [str(path) for path in checkpoints.values()],
    }


def _pictures(config: Config, folder: RunFolder, trees: Mapping[str, Any], in_process: bool) -> list[Path]:
    """Draw each learner, how well known sources were found, and the curves of the run."""
    from stream_infomax import plots
    from stream_infomax.run.pictures import draw

    learners = [stage for stage in config.stage if isinstance(stage, LearnerSettings)]
    pictures = []
    for service in dict.fromkeys(IN_PROCESS if in_process else stage.service_name for stage in learners):
        pictures += draw(trees[service], folder.path, alone=len(learners) == 1)
        pictures += _recovery(config, trees[service], folder.path)
    curves = history.read(folder.history)
    if curves:
        pictures.append(plots.save(plots.learning(curves), folder.path / "learning_curve.png"))
    return pictures


def _final_metrics(config: Config, trees: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Metrics, int]]:
    """Return each service's metrics at the end, and how many frames it has had; in the order of the data."""
    found = {}
    for service, tree in trees.items():
        if service != config.source.name:
            pipeline = pipeline_of(config, None if service == IN_PROCESS else service)
            pipeline.restore({stage.name: tree["stage"][stage.name] for stage in pipeline.stages})
            found[service] = (pipeline.metrics(), tree["processed"] + 1)
    return found


def _scores(config: Config, metrics: Metrics) -> dict[str, Scores]:
    """Return each classifier's test-then-train figures by level, by its name; None where a figure has no value."""
    found = {}
    for stage in config.stage:
        if isinstance(stage, ClassifierSettings):
            scored = [name for name in metrics if name.startswith(f"{stage.name}.") and name.endswith(".scored")]
            scores = {}
            for level in (name.split(".", 1)[1].removesuffix(".scored") for name in scored if metrics[name]):
                values = {figure: metrics[f"{stage.name}.{level}.{figure}"] for figure in FIGURES}
                scores[level] = {figure: None if isnan(value) else value for figure, value in values.items()}
            if scores:
                found[stage.name] = scores
    return found


def _unlabelled(config: Config, trees: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the target of each classifier that predicted segments and got no label for any, by its name."""
    states = {name: state for tree in trees.values() for name, state in tree.get("stage", {}).items()}
    found = {}
    for stage in config.stage:
        if isinstance(stage, ClassifierSettings) and stage.learn:
            examiners = states[stage.name]["examiners"].values()
            heard = any(examiner["score"]["labels"] or examiner["counts"]["unknown"] for examiner in examiners)
            if examiners and not heard:
                found[stage.name] = stage.target
    return found


def _warming_up(config: Config, metrics: Metrics) -> dict[str, int]:
    """Return how many rows each learner has had that has no basis yet, by its name."""
    names = [stage.name for stage in config.stage if isinstance(stage, LearnerSettings)]
    return {name: int(metrics.get(f"{name}.rows", 0)) for name in names if f"{name}.objective" not in metrics}


def _recovery(config: Config, tree: Mapping[str, Any], folder: Path) -> list[Path]:
    """Where the sources are known and heard directly, draw how well each filter has found one of them."""
    from stream_infomax import plots
    from stream_infomax.learning.measures.information import amari_distance
    from stream_infomax.run.pictures import learners
    from stream_infomax.sources.synthetic import SyntheticSource

    first = learners(tree).get(config.stage[0].name)
    if not isinstance(config.source, SyntheticSettings) or first is None:
        return []
    source = source_of(config)
    assert isinstance(source, SyntheticSource)
    learner, _ = first
    product = learner.components_ @ source.mixing(tree["processed"])
    distance = amari_distance(product) if product.shape[0] == product.shape[1] else None
    return [plots.save(plots.recovery(product, distance), folder / "recovery.png")]


def tell(summary: Mapping[str, Any], save_features: Path | None = None) -> None:
    """Print a summary, and where the features are."""
    losses = ", ".join(f"{count:,} frames lost ({reason})" for reason, count in summary["lost"].items() if count)
    print(f"finished after {clock(summary['seconds'])}: {summary['frames']:,} frames, {losses or 'none lost'}")
    scores = summary.get("scores", {})
    for name, (position, value) in summary["measures"].items():
        kind = history.kind_of(name)
        if name.partition(".")[0] not in scores:
            print(f"{name.rpartition('.')[0]}: {kind.title} {kind.text(value)} after {position:,.0f} {kind.position}")
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
