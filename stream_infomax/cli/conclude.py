"""The end of a run: pictures, curves and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stream_infomax import history
from stream_infomax.composition import pipeline_of, source_of
from stream_infomax.config import ClassifierSettings, Config, LearnerSettings, SyntheticSettings
from stream_infomax.live import clock
from stream_infomax.run_folder import IN_PROCESS, RunFolder


def conclude(config: Config, folder: RunFolder, seconds: float, in_process: bool) -> dict[str, Any]:
    """Draw what was learnt into the run folder and return the summary of the run."""
    from stream_infomax import plots
    from stream_infomax.cli.show import draw
    from stream_infomax.streaming.checkpoint import checkpoints_in, load

    learners = [stage for stage in config.stage if isinstance(stage, LearnerSettings)]
    names = [IN_PROCESS] if in_process else config.services()
    checkpoints = {name: checkpoints_in(folder.path / name)[-1] for name in names}
    trees = {name: load(path) for name, path in checkpoints.items()}
    pictures = []
    services = dict.fromkeys(IN_PROCESS if in_process else stage.service_name for stage in learners)
    for service in services:
        pictures += draw(trees[service], folder.path, alone=len(learners) == 1)
        pictures += _recovery(config, trees[service], folder.path)
    # The last status may have passed unheard; the checkpoints know how it ended.
    measures = _final_measures(config, trees)
    with closing(history.History(folder.history)) as kept:
        kept.append(seconds, measures)
    curves = history.read(folder.history)
    if curves:
        pictures.append(plots.save(plots.learning(curves), folder.path / "learning_curve.png"))
    lost: Counter[str] = Counter()
    for tree in trees.values():
        lost.update(tree["lost"])
    return {
        "seconds": round(seconds, 2),
        "frames": trees[names[-1]]["processed"] + 1,
        "lost": dict(lost),
        "measures": measures,
        "unlabelled": _unlabelled(config, trees),
        "pictures": [str(path) for path in pictures],
        "checkpoints": [str(path) for path in checkpoints.values()],
    }


def _final_measures(config: Config, trees: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return position and value of each measure at the end, in the order of the data."""
    found: dict[str, tuple[float, float]] = {}
    for service, tree in trees.items():
        if tree["stage"]:  # a source has no state
            pipeline = pipeline_of(config, None if service == IN_PROCESS else service)
            pipeline.restore(tree["stage"])
            found |= history.measures_in(pipeline.metrics(), tree["processed"] + 1)
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


def _recovery(config: Config, tree: Mapping[str, Any], folder: Path) -> list[Path]:
    """Where the sources are known and heard directly, draw how well each filter has found one of them."""
    from stream_infomax import plots
    from stream_infomax.cli.show import learners
    from stream_infomax.learning.information import amari_distance
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
    for name, (position, value) in summary["measures"].items():
        kind = history.kind_of(name)
        print(f"{name.rpartition('.')[0]}: {kind.title} {kind.text(value)} after {position:,.0f} {kind.position}")
    for name, target in summary.get("unlabelled", {}).items():
        print(f"{name}: no segment had the label {target!r}")
    _list("pictures", summary["pictures"])
    _list("checkpoints", summary["checkpoints"])
    _list("features", [str(save_features)] if save_features else [])


def _list(title: str, paths: list[str]) -> None:
    for i, path in enumerate(paths):
        print(f"{title if i == 0 else '':12}{_near(Path(path))}")


def _near(path: Path) -> Path:
    """Return the path as seen from here where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
