"""A summary as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stream_infomax.frames.event import event_line
from stream_infomax.frames.ledger import Balance
from stream_infomax.run.summary import Accuracies, LevelScore, Summary
from stream_infomax.settings.printable import printable
from stream_infomax.watch.board import clock
from stream_infomax.watch.kinds import KINDS

# The newest of the events; run.json has more.
SHOWN_EVENTS = 8
WIDTH = 80


def print_summary(summary: Summary, save_features: Path | None = None, ended: str = "finished") -> None:
    """Print a summary, and where the features are."""
    for line in lines(summary, save_features, ended):
        print(printable(line))


def lines(summary: Summary, save_features: Path | None = None, ended: str = "finished") -> Iterator[str]:
    """Return a summary line by line; the run has `ended` in this way."""
    losses = _losses(summary.lost) or "none lost"
    yield f"{ended} after {clock(summary.seconds)}: {summary.frames:,} frames, {losses}"
    if summary.unforeseen:
        yield f"not allowed by the policy: {_losses(summary.unforeseen)}"
    for balance in summary.ledger:
        if balance.off:
            yield f"the ledger does not balance: {balance.name}: {sum(balance.off.values()):+,} {balance.unit}"
    if summary.left_out:
        text = ", ".join(f"{count:,} {what}" for what, count in summary.left_out.items())
        yield from textwrap.wrap(f"left out: {text}", WIDTH, subsequent_indent="    ")
    if summary.forked:
        yield f"forked from {summary.forked}"
    for measure in summary.measures:
        kind = KINDS[measure.kind]
        if measure.stage not in summary.scores:
            better = f", {kind.better} is better" if kind.better else ""
            after = f"{measure.position:,} {kind.over}"
            name = f"{measure.stage}, {measure.level}" if measure.level else measure.stage
            yield f"{name}: {kind.title} {kind.text(measure.value)} after {after}{better}"
    for name, levels in summary.scores.items():
        yield f"{name}: accuracy, each segment before its label is learnt"
        yield from _table(levels)
    if len(summary.events) > SHOWN_EVENTS:
        yield f"{len(summary.events) - SHOWN_EVENTS} earlier events are in run.json"
    for event in summary.events[-SHOWN_EVENTS:]:
        yield from textwrap.wrap(event_line(event), WIDTH, subsequent_indent="    ")
    for name, target in summary.unlabelled.items():
        yield f"{name}: no segment had the label {target!r}"
    for name, reasons in summary.set_aside.items():
        text = ", ".join(f"{n:,} ({printable(reason)})" for reason, n in reasons.items())
        of = sum(sum(balance.accepted.values()) for balance in summary.ledger if _is_stage(balance, name))
        yield from textwrap.wrap(f"{name}: of {of:,} rows not learnt from {text}", WIDTH, subsequent_indent="    ")
    for name, why in summary.idle.items():
        yield f"{name}: ends {why}"
    for name, n_rows in summary.warming_up.items():
        text = f"{name}: no basis, its warm-up was not over after {n_rows:,} rows: it has learnt nothing, nor has what "
        text += "reads it; more data or a shorter `warmup` would help"
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    if summary.undrawn:
        yield f"no pictures: {summary.undrawn}"
    for name, counts in summary.sinks.items():
        yield f"{name}: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"
    yield from _paths("pictures", summary.pictures)
    yield from _paths("checkpoints", summary.checkpoints)
    yield from _paths("features", [str(save_features)] if save_features else [])


def _is_stage(balance: Balance, name: str) -> bool:
    return balance.part == "stage" and balance.place == name


def _losses(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} frames lost ({reason})" for reason, count in lost.items() if count)


def _table(levels: Mapping[str, LevelScore]) -> Iterator[str]:
    """Return the accuracy of each level, and below it the baselines."""
    *_, last = levels.values()
    rows = [["", f"last {last.recent.n:,}", "kappa", f"all {last.overall.n:,}", "kappa"]]
    for level, score in levels.items():
        # A level whose rows come later has had fewer segments.
        few = f" of {score.overall.n:,}" if score.overall.n != last.overall.n else ""
        rows.append([printable(level, 40), *_cells(score.recent), *_cells(score.overall, few)])
    rows.append(["baseline: no change", _share(last.recent.no_change), "", _share(last.overall.no_change), ""])
    rows.append(
        ["baseline: majority class", _share(last.recent.majority_class), "", _share(last.overall.majority_class), ""]
    )
    rows.append(["baseline: chance", _share(last.chance), "", _share(last.chance), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for level, *cells in rows:
        row = "".join(f"   {cell:{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield f"  {level:{widths[0]}}{row}".rstrip()
    yield "  kappa: kappa-temporal, from 0 (as good as no change) to 1 (always right)"


def _cells(of: Accuracies, few: str = "") -> list[str]:
    return [_share(of.accuracy) + few, "–" if of.kappa_temporal is None else f"{of.kappa_temporal:.2f}"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _paths(title: str, paths: Sequence[str]) -> Iterator[str]:
    for i, path in enumerate(paths):
        yield f"{title if i == 0 else '':12}{_near(Path(path))}"


def _near(path: Path) -> Path:
    """Return the path as seen from here where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
