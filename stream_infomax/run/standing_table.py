"""How a run is, as tables for people; they fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from stream_infomax.frames.ledger import OTHERS, Balance, totals
from stream_infomax.run.standing import Standing
from stream_infomax.settings.printable import printable

WIDTH = 80
# Letters of a name that are shown.
NAME = 16
HEADS = ("accepted", "processed", "aside", "dropped", "in flight")


def print_standing(title: str, going_on: bool, services: Mapping[str, Standing], *, streams: bool) -> None:
    """Print how a run is; with `streams` each stream of it, too."""
    console = Console(highlight=False, soft_wrap=True)
    width = max(WIDTH, console.width if console.is_terminal else WIDTH)
    state = "goes on" if going_on else "finished" if _all_finished(services) else "stopped"
    console.print(Text(f"{printable(title)}: {state}"))
    for part in _parts(services, streams):
        console.print(part, width=width)


def _all_finished(services: Mapping[str, Standing]) -> bool:
    return all(one.finished for one in services.values())


def _parts(services: Mapping[str, Standing], streams: bool) -> Iterator[RenderableType]:
    yield _services(services)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("what became of it", min_width=NAME, overflow="fold")
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for one in services.values():
        for balance in one.ledger:
            _add(table, balance, streams)
    yield table
    for one in services.values():
        for balance in one.ledger:
            yield from _reasons(balance)


def _services(services: Mapping[str, Standing]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("service", min_width=9, overflow="ellipsis", no_wrap=True)
    table.add_column("as of")
    table.add_column("frames", justify="right", no_wrap=True)
    table.add_column("lost")
    table.add_column("refused")
    for name, one in services.items():
        if one.problem:
            table.add_row(Text(printable(name, NAME)), Text(printable(one.problem), "yellow"))
            continue
        lost = Text(_by_reason(one.lost), "red") if any(one.lost.values()) else Text("none", "dim")
        table.add_row(
            Text(printable(name, NAME)),
            Text("the end" if one.finished else "now" if one.from_ == "status" else "checkpoint"),
            Text(f"{one.frame + 1:,}"),
            lost,
            Text(_by_reason(one.refused) or "–"),
        )
    return table


def _add(table: Table, balance: Balance, streams: bool) -> None:
    """Add the rows of a place: its sum, and its streams."""
    name = f"{printable(balance.place, NAME)} {balance.part}, {balance.unit}"
    off = sum(balance.off.values())
    table.add_row(Text(name, "red" if balance.off else ""), *_cells(balance, None))
    if balance.off:
        table.add_row(Text(f"  off by {off:+,}", "bold red"))
    if streams and len(balance.accepted) > 1:
        largest = sorted(balance.accepted, key=lambda stream: (stream == OTHERS, -balance.accepted[stream], stream))
        for stream in largest:
            label = "(others)" if stream == OTHERS else printable(stream, NAME)
            table.add_row(Text(f"  {label}", "dim"), *_cells(balance, stream))


def _cells(balance: Balance, stream: str | None) -> Iterator[Text]:
    """Return what stands under `HEADS`, of one stream or of all."""

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


def _reasons(balance: Balance) -> Iterator[Text]:
    """Return why something was set aside or dropped, in a line each."""
    for word, terms in (("set aside", balance.aside), ("dropped", balance.dropped)):
        if found := totals(terms):
            name = f"{printable(balance.place, NAME)} {balance.part}"
            yield Text(f"{name}: {word} {_by_reason(found)} {balance.unit}")


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} ({printable(reason, 40)})" for reason, count in counts.items() if count)
