"""How a run is, as tables for people; they fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console, RenderableType
from rich.text import Text

from stream_infomax.frames.ledger import OTHERS, Balance, totals
from stream_infomax.run.standing import Standing
from stream_infomax.settings.printable import printable
from stream_infomax.watch.columns import Column, Row, table
from stream_infomax.watch.service_row import by_reason

WIDTH = 80
# Letters of the name of a stream that are shown: a program that sends chooses it.
NAME = 60
AS_OF = (Column("as of", right=False), Column("frames"))
TERMS = tuple(map(Column, ("accepted", "processed", "aside", "dropped", "in flight")))


def print_standing(title: str, going_on: bool, services: Mapping[str, Standing], *, streams: bool) -> None:
    """Print how a run is; with `streams` each stream of it, too."""
    console = Console(highlight=False)
    width = max(WIDTH, console.width if console.is_terminal else WIDTH)
    state = "goes on" if going_on else "finished" if _all_finished(services) else "stopped"
    print(f"{printable(title)}: {state}")
    for part in _parts(services, streams, width):
        console.print(part, width=width)


def _all_finished(services: Mapping[str, Standing]) -> bool:
    return all(one.finished for one in services.values())


def _parts(services: Mapping[str, Standing], streams: bool, width: int) -> Iterator[RenderableType]:
    yield Text()
    yield from table("service", AS_OF, [_service(name, one) for name, one in services.items()], width)
    balances = [balance for one in services.values() for balance in one.ledger]
    if balances:
        yield Text()
        rows = [row for balance in balances for row in _rows(balance, streams)]
        yield from table("what became of it", TERMS, rows, width)


def _service(name: str, one: Standing) -> Row:
    shown = Text(printable(name))
    if one.problem:
        return Row(shown, [Text(), Text()], [Text(printable(one.problem), "yellow")])
    as_of = "the end" if one.finished else "now" if one.from_ == "status" else "checkpoint"
    found = (("lost", by_reason(one.lost), "red"), ("refused", by_reason(one.refused), ""))
    notes = [Text(f"{word} {counts}", style) for word, counts, style in found if counts]
    return Row(shown, [Text(as_of), Text(f"{one.frame + 1:,}")], notes)


def _rows(balance: Balance, streams: bool) -> Iterator[Row]:
    """Yield the rows of a place: its sum, with why something was set aside or dropped, and its streams."""
    notes = []
    if balance.off:
        notes.append(Text(f"off by {sum(balance.off.values()):+,}", "bold red"))
    for word, terms in (("set aside", balance.aside), ("dropped", balance.dropped)):
        if found := by_reason(totals(terms)):
            notes.append(Text(f"{word} {found}"))
    name = Text(f"{printable(balance.place)} {balance.part}, {balance.unit}", "red" if balance.off else "")
    yield Row(name, list(_cells(balance, None)), notes)
    if streams and len(balance.accepted) > 1:
        largest = sorted(balance.accepted, key=lambda stream: (stream == OTHERS, -balance.accepted[stream], stream))
        for stream in largest:
            label = "(others)" if stream == OTHERS else printable(stream, NAME)
            yield Row(Text(f"  {label}", "dim"), list(_cells(balance, stream)))


def _cells(balance: Balance, stream: str | None) -> Iterator[Text]:
    """Return what stands under `TERMS`, of one stream or of all."""

    def of(term: Mapping[str, int]) -> int:
        return sum(term.values()) if stream is None else term.get(stream, 0)

    for number, count in enumerate(
        (
            of(balance.accepted),
            of(balance.processed),
            sum(map(of, balance.aside.values())),
            sum(map(of, balance.dropped.values())),
            of(balance.in_flight),
        )
    ):
        yield Text(f"{count:,}" if count or number < 2 else "–", "red" if count and number == 3 else "")
