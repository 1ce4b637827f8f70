"""The dialect of a CSV file: what separates its cells, its decimal sign, and where its rows begin."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from stream_infomax.sources.table_columns import MAX_COLUMNS, NO_VALUE, distinct, unit_of

# Lines that are looked at; less where they are long.
LINES = 200
LOOKED_AT = 16 << 20
# In the order in which they are preferred; no delimiter is white space.
DIALECTS = [
    *((delimiter, ".") for delimiter in (",", ";", "\t", "|", "")),
    *((delimiter, ",") for delimiter in (";", "\t", "|", "")),
]


class Dialect(msgspec.Struct, kw_only=True):
    """How the lines of a file are read, and what its head says."""

    delimiter: str
    decimal: str
    # Where the first row begins, in bytes, and how many lines come before the head and the rows.
    start: int = 0
    before: int = 0
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    numeric: tuple[bool, ...] = ()
    aside: frozenset[int] = frozenset()
    # What a line of full length has of the delimiter.
    separators: int = 0

    def fits(self, line: bytes) -> bool:
        """Return whether a line has as many cells as the table has columns."""
        if self.delimiter and b'"' not in line:
            return line.count(self.delimiter.encode()) == self.separators
        return len(self.cells(line)) == self.separators + 1

    def cells(self, line: bytes) -> list[str]:
        """Return the cells of a line without white space around them; none where its quotes make no sense."""
        text = decoded(line).strip() if not self.delimiter else decoded(line).strip("\r\n ")
        if '"' in text:
            try:
                return [cell.strip() for cell in next(csv.reader([text], delimiter=self.delimiter or " ", strict=True))]
            except (csv.Error, StopIteration):
                return []
        return [cell.strip() for cell in text.split(self.delimiter)] if self.delimiter else text.split()

    def number(self, cell: str) -> float | None:
        """Return the number in a cell, NaN where it says that there is none, None where it is no number."""
        if cell.lower() in NO_VALUE:
            return math.nan
        try:
            return None if "_" in cell else float(cell.replace(",", ".") if self.decimal == "," else cell)
        except ValueError:
            return None


def decoded(line: bytes) -> str:
    """Return a line as text: UTF-8, else Latin-1, in which every byte is a letter."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def sniff(path: Path, delimiter: str, decimal: str, longest: int) -> Dialect:
    """Return the dialect of a file, found out from its first lines.

    Raises
    ------
    ValueError
        Where no column of numbers can be seen.
    """
    places, lines = _first_lines(path, longest)
    tried = [one for one in DIALECTS if delimiter in ("", one[0]) and decimal in ("", one[1])]
    if delimiter and not tried:
        tried = [(delimiter, decimal or ".")]
    best, score = None, 0.0
    for one in tried:
        dialect = Dialect(delimiter=one[0], decimal=one[1])
        table = [dialect.cells(line) for line in lines]
        value = _score(dialect, table)
        if value > score:
            best, score, best_table = dialect, value, table
    if best is None:
        for sign in (decimal,) if decimal else (".", ","):
            dialect = Dialect(delimiter=delimiter or "\t", decimal=sign)
            best_table = [dialect.cells(line) for line in lines]
            if any(_is_number(dialect, cell) for row in best_table for cell in row if len(row) == 1):
                best = dialect
                break
    if best is None:
        raise ValueError("no column of numbers in its first lines; accepted is a table with a row a line")
    return _with_head(best, best_table, lines, places)


def _first_lines(path: Path, longest: int) -> tuple[list[int], list[bytes]]:
    """Return the first lines that are not empty, without a byte-order mark, and where each begins."""
    places: list[int] = []
    lines: list[bytes] = []
    with path.open("rb") as file:
        mark = file.read(4)
        if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError("it is in UTF-16; accepted is UTF-8")
        place = 3 if mark[:3] == b"\xef\xbb\xbf" else 0
        file.seek(place)
        begin = place
        while len(lines) < LINES and place - begin < LOOKED_AT and (line := file.readline(longest)):
            if b"\0" in line:
                raise ValueError("it is no text")
            if len(line) == longest and not line.endswith(b"\n"):
                raise ValueError(
                    f"one of its first lines is longer than {longest >> 20} MiB; accepted are tables with a row a "
                    "line, not with a channel a line"
                )
            if b"\r" in line.rstrip(b"\r\n"):
                raise ValueError("its lines end in a carriage return alone; accepted are line feeds")
            widest = max(line.count(sign) for sign in b",;\t| ") + 1
            if widest > MAX_COLUMNS:
                raise ValueError(
                    f"one of its first lines has {widest:,} cells; accepted are at most {MAX_COLUMNS:,}, with a row a "
                    "line, not a channel a line"
                )
            if line.strip(b" \r\n"):  # tabs may be cells
                places.append(place)
                lines.append(line)
            place += len(line)
    return places, lines


def _is_number(dialect: Dialect, cell: str) -> bool:
    return bool(cell) and (number := dialect.number(cell)) is not None and not math.isnan(number)


def _usual_length(table: Sequence[Sequence[str]]) -> int:
    lengths = Counter(len(row) for row in table if len(row))
    return lengths.most_common(1)[0][0] if lengths else 0


def _score(dialect: Dialect, table: Sequence[Sequence[str]]) -> float:
    """Return the share of lines that are equally long, times that of their cells which are numbers."""
    length = _usual_length(table)
    if length < 2:
        return 0.0
    rows = [row for row in table if len(row) == length]
    n_numbers = sum(_is_number(dialect, cell) for row in rows for cell in row)
    n_filled = sum(cell.lower() not in NO_VALUE for row in rows for cell in row) or 1
    return len(rows) / len(table) * n_numbers / n_filled


def _with_head(
    dialect: Dialect, table: Sequence[Sequence[str]], lines: Sequence[bytes], places: Sequence[int]
) -> Dialect:
    """Return the dialect with the names of the columns, or their numbers, and where the rows begin."""
    length = _usual_length(table)
    first = next(number for number, row in enumerate(table) if len(row) == length)
    head: Sequence[str] = ()
    units: Sequence[str] = ()
    start = first
    if _is_head(dialect, table[first], [row for row in table[first + 1 :] if len(row) == length]):
        head, start = [table[first][0].lstrip("# "), *table[first][1:]], first + 1
        if start < len(table) and _is_units(dialect, table, start, length):
            units, start = table[start], start + 1
    elif first and lines[first - 1].lstrip().startswith(b"#"):  # as numpy.savetxt writes its head
        cells = dialect.cells(lines[first - 1].lstrip().lstrip(b"#"))
        head = cells if len(cells) == length else ()
    rows = [row for row in table[start:] if len(row) == length]
    numeric = tuple(_is_numeric(dialect, [row[i] for row in rows]) for i in range(length))
    if not any(numeric):
        raise ValueError("no column of numbers in its first lines; accepted is a table with a row a line")
    names = tuple(distinct(head or [""] * length))
    units = [unit.strip("[]() ") for unit in units] or [unit_of(name) for name in names]
    counts = bool(head) and not head[0] and _counts_rows([row[0] for row in rows])
    return Dialect(
        delimiter=dialect.delimiter,
        decimal=dialect.decimal,
        start=places[start] if start < len(places) else places[-1] + len(lines[-1]),
        before=first - (1 if head and start == first else 0),
        names=names,
        units=tuple(units),
        numeric=numeric,
        aside=frozenset({0}) if counts else frozenset(),
        separators=length - 1,
    )


def _is_numeric(dialect: Dialect, cells: Sequence[str]) -> bool:
    """Return whether at least half of the cells with something in them are numbers."""
    filled = [cell for cell in cells if cell.lower() not in NO_VALUE]
    return bool(filled) and 2 * sum(_is_number(dialect, cell) for cell in filled) >= len(filled)


def _is_head(dialect: Dialect, first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a line names columns: it has text above numbers, and no numbers but names like 0, 1, 2."""
    numeric = [_is_numeric(dialect, [row[i] for row in rows]) for i in range(len(first))]
    is_text = [bool(cell) and dialect.number(cell) is None for cell in first]
    numbers = [cell for cell in first if _is_number(dialect, cell)]
    whole = all(cell.isdecimal() for cell in numbers) and len(set(numbers)) == len(numbers)
    is_index = not rows and not numbers
    return (any(a and b for a, b in zip(is_text, numeric, strict=True)) and whole) or is_index


def _is_units(dialect: Dialect, table: Sequence[Sequence[str]], place: int, length: int) -> bool:
    """Return whether a line below the head has units: text, and no number, above numbers."""
    row = table[place]
    rows = [other for other in table[place + 1 :] if len(other) == length]
    if len(row) != length or not rows or any(_is_number(dialect, cell) for cell in row):
        return False
    numeric = [_is_numeric(dialect, [other[i] for other in rows]) for i in range(length)]
    return any(is_number and dialect.number(cell) is None for is_number, cell in zip(numeric, row, strict=True))


def _counts_rows(cells: Sequence[str]) -> bool:
    """Return whether cells count on by one, as pandas writes them before each row."""
    return len(cells) > 1 and all(cell.isdecimal() for cell in cells) and _steps(cells) == {1}


def _steps(cells: Sequence[str]) -> set[int]:
    return {int(after) - int(before) for before, after in zip(cells, islice(cells, 1, None), strict=False)}
