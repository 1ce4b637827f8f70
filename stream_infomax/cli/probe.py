"""``stream-infomax probe``: what a linear classifier reads from every level of a run, or of two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.settings import Changes
from stream_infomax.settings.printable import as_json

if TYPE_CHECKING:
    from stream_infomax.run.probing import Probed


def probe(
    checkpoint: Path,
    *,
    data: Path,
    against: Path | None = None,
    target: str = "",
    leave_out: str = "",
    folds: Annotated[int, Parameter(show_default=True)] = 5,
    json: Path | None = None,
    set: Changes = (),  # noqa: A002
) -> int:
    """Fit linear probes on segments that are encoded, not learnt from; print their accuracy on others, level by level.

    Every level is pooled to mean and deviation over a segment. `input` is what the contrastive modules are given;
    `input+last` is the same beside output and context of the last module, `input+all` beside all modules.

    Beside each level that contrastive modules give stands its twin with the weights from before they learnt; with
    `against` the same level of the other run, and by how much the first one is better, with the 95 % interval over
    the groups that were tested.

    Parameters
    ----------
    checkpoint
        A run's folder, or a checkpoint in it: the newest of every service is taken.
    data
        What the run's source reads here instead: a folder of recordings or pictures with labels.
    against
        Another run, which is tested on the same segments; both sources have to be set alike, but for their seeds.
    target
        The label to name; by default that of the run's classifier.
    leave_out
        A label: each of its values is tested in turn by a probe that never saw it (for example speaker).
    folds
        Without `leave_out`: parts of the segments that are tested in turn.
    json
        A file for the same as JSON, with the accuracy in every group.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there; more threads are slower here, and round differently
    from stream_infomax.run.probing import compared, probed

    run = probed(checkpoint, data, set)
    other = None if against is None else compared(run, probed(against, data, set), target)
    target = target or run.target
    if not target:
        raise ConfigError("--target: the run has no classifier that names one; name the label")
    if json is not None:
        try:
            json.touch()
        except OSError as error:  # said before the minutes that probes take
            raise ConfigError(f"--json {json}: {error.strerror}") from error
    found = _shown(run, other, target, leave_out, folds)
    if json is not None:
        json.write_text(as_json(found) + "\n", encoding="utf-8")
    return 0


def _shown(run: Probed, other: Probed | None, target: str, leave_out: str, folds: int) -> dict[str, Any]:
    """Print one run beside itself untrained, or beside another one, level by level; return the same as tables."""
    from stream_infomax.run import probe_text as text
    from stream_infomax.run.probing import chosen, encode, read_off

    runs = [run] if other is None else [run, other]
    one, two = encode(run), encode(run, untrained=True) if other is None else encode(other)
    test = chosen((one, two), target, leave_out, folds)
    print(text.heading(test, target, leave_out or f"{folds} folds"))
    names = ("learnt", "untrained") if other is None else ("A", "B")
    for line in (text.legend(*runs), *text.columns(run, other)):
        if line:
            print(line)
    print(f"{'the most frequent':{text.WIDTH}}{text.most_frequent(test):{10 if other is None else 8}.1f}")
    tables = []
    for level, mine, its in read_off(one, two, test):
        print(text.alone(level, mine, its) if other is None else text.beside(level, mine, its, test), flush=True)
        tables.append(text.as_table(level, mine, its, test, names))
    return {
        "runs": [str(side.place) for side in runs],
        "target": target,
        "tested by": leave_out or f"{folds} folds",
        "segments": len(test.segments),
        "the most frequent": text.most_frequent(test),
        "levels": tables,
    }
