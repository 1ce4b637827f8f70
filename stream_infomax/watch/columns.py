"""Tables for terminals in which no word and no number is cut off, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.text import Text

GAP = 2
# The room that a name has at least, before columns are left out.
SHORTEST = 9


@dataclass(frozen=True)
class Column:
    """One column of numbers or words.

    Attributes
    ----------
    title
        Stands above.
    right
        Whether cells stand at its right edge.
    rank
        Where there is no room for all, the highest goes first; 0 always stays.
    least
        The width that it has at least, so that a table that is drawn again stands still.
    """

    title: str
    right: bool = True
    rank: int = 0
    least: int = 0


@dataclass(frozen=True)
class Row:
    """A name, what stands in its columns, and lines below.

    Attributes
    ----------
    name
        Has a line of its own where it is longer than the column of names.
    cells
        One for each column.
    notes
        Whole sentences; each is wrapped between words.
    """

    name: Text
    cells: Sequence[Text]
    notes: Sequence[Text] = ()


def table(head: str, columns: Sequence[Column], rows: Sequence[Row], width: int) -> Iterator[RenderableType]:
    """Yield the lines of a table of `width` columns.

    Parameters
    ----------
    head
        Stands above the names.
    columns, rows
        What there is to show.
    width
        Of the terminal.
    """
    widths = [
        max((column.least, len(column.title), *(row.cells[number].cell_len for row in rows)))
        for number, column in enumerate(columns)
    ]
    shown = _shown(columns, widths, width - SHORTEST)
    room = max(SHORTEST, width - sum(widths[number] + GAP for number in shown))
    heading = Row(Text(head, "dim"), [Text(column.title, "dim") for column in columns])
    names = [row.name.cell_len for row in (heading, *rows)]
    room = max((length for length in names if length <= room), default=0)

    def line(name: Text, cells: Sequence[Text]) -> Text:
        parts = [_padded(name, room, right=False)]
        parts += [_padded(cells[number], widths[number], columns[number].right) for number in shown]
        joined = Text(" " * GAP).join(parts)
        joined.rstrip()  # what reaches beyond the terminal would be wrapped
        return joined

    for row in (heading, *rows):
        if row.name.cell_len > room:
            yield row.name
            if any(row.cells[number] for number in shown):
                yield line(Text(), row.cells)
        else:
            yield line(row.name, row.cells)
        for note in row.notes:
            yield indented(note, 2)


def height(console: Console, options: ConsoleOptions, parts: Sequence[RenderableType]) -> int:
    """Return how many lines something takes."""
    return sum(len(console.render_lines(part, options, pad=False)) for part in parts)


def indented(text: Text, by: int) -> Padding:
    """Return a text that is wrapped between words, with so many blanks before each line."""
    return Padding(text, (0, 0, 0, by), expand=False)


def _shown(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the columns that have room together."""
    shown = list(range(len(columns)))
    for number in sorted(shown, key=lambda number: -columns[number].rank):
        if columns[number].rank and sum(widths[number] + GAP for number in shown) > room:
            shown.remove(number)
    return shown


def _padded(text: Text, width: int, right: bool) -> Text:
    padded = text.copy()
    blanks = max(0, width - text.cell_len)
    if right:
        padded.pad_left(blanks)
    else:
        padded.pad_right(blanks)
    return padded
