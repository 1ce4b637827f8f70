"""Summary: what came of a fleet, put together from its shards: one ledger, and one count of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from stream_infomax.configuration.load import convert
from stream_infomax.fleet.folder import newest_of, services_of, shard_folders
from stream_infomax.frames.ledger import Balance, ByStream
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.standing import Standing, saved, standing
from stream_infomax.run.summary import Summary, has_begun, saved_summary, summarise

# The name under which what all shards have done stands.
ALL = "all shards"
# Of a fleet of which no shard has begun.
NOTHING = Summary(
    seconds=0.0,
    frames=0,
    lost={},
    left_out={},
    set_aside={},
    measures=[],
    scores={},
    unlabelled={},
    warming_up={},
    pictures=[],
    checkpoints=[],
    undrawn="",
)


def summarise_fleet(run: Path, seconds: float) -> Summary:
    """Return what came of a fleet that has finished or was stopped.

    Ledger and counts are sums over the shards. Measures, scores, pictures and checkpoints are those of the shard whose
    learner has the newest round; the scores of a classifier are each shard's own.
    """
    found = {name: _of_shard(folder) for name, folder in shard_folders(run).items()}
    begun = {name: summary for name, summary in found.items() if summary is not None}
    newest = begun.get(newest_of(run).name) or next(iter(begun.values()), NOTHING)
    every = [*begun.values()]
    scores = {
        f"{stage}, shard {name}": levels for name, summary in begun.items() for stage, levels in summary.scores.items()
    }
    return replace(
        newest,
        seconds=round(seconds, 2),
        frames=sum(summary.frames for summary in every),
        lost=_sum(summary.lost for summary in every),
        unforeseen=_sum(summary.unforeseen for summary in every),
        ledger=one_ledger(summary.ledger for summary in every),
        set_aside=_sums(summary.set_aside for summary in every),
        idle={stage: why for summary in every for stage, why in summary.idle.items()},
        left_out=_sum(summary.left_out for summary in every),
        measures=[measure for measure in newest.measures if measure.stage not in newest.scores],
        scores=scores,
        unlabelled=_in_all([summary.unlabelled for summary in every]),
        warming_up=_sum(summary.warming_up for summary in every),
        sinks=_sums(summary.sinks for summary in every),
    )


def standings(run: Path) -> tuple[bool, dict[str, Standing]]:
    """Return whether a fleet goes on, and how each shard is; under `ALL`, the last, how all are together."""
    going_on, found = False, {}
    for name, folder in shard_folders(run).items():
        if folder.held:
            goes_on, services = standing(folder)
        else:
            goes_on, services = False, {service: saved(folder, service) for service in services_of(folder)}
        going_on |= goes_on
        ledger = [balance for one in services.values() for balance in one.ledger]
        found[f"shard {name}"] = replace([*services.values()][-1], ledger=ledger)
    every = [*found.values()]
    together = Standing(
        from_="status" if going_on else "checkpoint",
        frame=sum(one.frame + 1 for one in every) - 1,
        finished=all(one.finished for one in every),
        lost=_sum(one.lost for one in every),
        refused=_sum(one.refused for one in every),
        ledger=one_ledger(one.ledger for one in every),
    )
    return going_on, {**{name: replace(one, ledger=[]) for name, one in found.items()}, ALL: together}


def one_ledger(ledgers: Iterable[Iterable[Balance]]) -> list[Balance]:
    """Return the sums of several ledgers, place by place."""
    found: dict[tuple[str, str, str], Balance] = {}
    for balance in (balance for ledger in ledgers for balance in ledger):
        key = balance.place, balance.part, balance.unit
        found[key] = _added(found[key], balance) if key in found else balance
    return [balance.folded() for balance in found.values()]


def _of_shard(folder: RunFolder) -> Summary | None:
    """Return what came of a shard; None where it has not begun."""
    if folder.summary() is not None:
        return saved_summary(folder)
    config = convert(folder.record.config, str(folder.path))
    alone = folder.record.in_process
    return summarise(config, folder, 0.0, alone) if has_begun(config, folder, alone) else None


def _added(one: Balance, other: Balance) -> Balance:
    return replace(
        one,
        accepted=_sum((one.accepted, other.accepted)),
        processed=_sum((one.processed, other.processed)),
        aside=_sums((one.aside, other.aside)),
        dropped=_sums((one.dropped, other.dropped)),
        in_flight=_sum((one.in_flight, other.in_flight)),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> ByStream:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)


def _sums(tables: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    found: dict[str, list[Mapping[str, int]]] = {}
    for table in tables:
        for key, counts in table.items():
            found.setdefault(key, []).append(counts)
    return {key: _sum(counts) for key, counts in found.items()}


def _in_all(tables: list[dict[str, str]]) -> dict[str, str]:
    return {key: text for table in tables[:1] for key, text in table.items() if all(key in other for other in tables)}
