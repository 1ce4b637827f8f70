"""CSV: a row a line, whatever separates its cells, read from any row on without ever holding the file.

A line that is not as long as the others, and a cell that is no number, come out as NaN: rows keep their place.
"""

from __future__ import annotations

import datetime
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from stream_infomax.sources.table_columns import NO_VALUE, Values
from stream_infomax.sources.table_dialect import Dialect, sniff

# Bytes of a line; no table has longer ones.
LINE = 4 << 20
# Rows between two places that are known, and rows read at once; fewer where they are long.
EVERY = 4096
BLOCK = 4 << 20


class CsvTable:
    """A CSV file whose lines were counted once; see `Reader`.

    Parameters
    ----------
    path
        The file.
    delimiter, decimal
        What separates cells, and the decimal sign; empty: found out.

    Raises
    ------
    ValueError
        Where there is no column of numbers, or a line is too long.
    """

    rate = 0.0
    clock: int | None = None
    constants: Mapping[str, str] = {}

    def __init__(self, path: Path, delimiter: str, decimal: str) -> None:
        self.path = path
        self.dialect: Dialect = sniff(path, delimiter, decimal, LINE)
        self.names, self.units = self.dialect.names, self.dialect.units
        self.numeric, self.aside = self.dialect.numeric, self.dialect.aside
        self.rows = 0
        self._places = array("Q")
        n_ragged = self._count()
        if not self.rows:
            raise ValueError("it has no row of numbers")
        self.left_out: Mapping[str, int] = {"lines before the table": self.dialect.before, "ragged lines": n_ragged}

    def _count(self) -> int:
        """Note where every so many rows begin, and return the number of lines of another length."""
        n_ragged = 0
        with self.path.open("rb") as file:
            file.seek(self.dialect.start)
            place = self.dialect.start
            while line := file.readline(LINE):
                if len(line) == LINE and not line.endswith(b"\n"):
                    raise ValueError(
                        f"row {self.rows} is longer than {LINE >> 20} MiB; accepted are tables with a row a line, not "
                        "with a channel a line"
                    )
                if line.strip(b" \r\n"):
                    if self.rows % EVERY == 0:
                        self._places.append(place)
                    self.rows += 1
                    n_ragged += not self.dialect.fits(line)
                place += len(line)
        return n_ragged

    def _lines(self, start: int = 0, stop: int | None = None) -> Iterator[list[bytes]]:
        """Yield the lines of rows in blocks of bounded size."""
        stop = self.rows if stop is None else min(stop, self.rows)
        if start >= stop:
            return
        with self.path.open("rb") as file:
            file.seek(self._places[start // EVERY])
            for _ in range(start % EVERY):
                self._line(file)
            while start < stop:
                lines: list[bytes] = []
                size = 0
                while len(lines) < min(EVERY, stop - start) and size < BLOCK:
                    line = self._line(file)
                    if not line:  # the file has become shorter
                        break
                    lines.append(line)
                    size += len(line)
                if not lines:
                    return
                yield lines
                start += len(lines)

    @staticmethod
    def _line(file: IO[bytes]) -> bytes:
        line = file.readline(LINE)
        while line and not line.strip(b" \r\n"):
            line = file.readline(LINE)
        return line

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some columns."""
        for lines in self._lines(start, stop):
            values = self._fast(lines, columns)
            yield self._slow(lines, columns, counts) if values is None else values

    def _fast(self, lines: list[bytes], columns: Sequence[int]) -> Values | None:
        """Return the numbers of plain lines, None where one of them is not plain."""
        dialect = self.dialect
        if not dialect.delimiter or any(b'"' in line or not dialect.fits(line) for line in lines):
            return None
        text = b"".join(lines).decode("latin-1").replace("\r", "")
        if dialect.decimal == ",":
            text = text.replace(",", ".")
        text = text.rstrip("\n")
        for filled in (str, self._filled):
            with suppress(ValueError):
                plain = filled(text).split("\n")
                values = np.loadtxt(plain, np.float64, None, dialect.delimiter, usecols=tuple(columns), ndmin=2)
                return values if len(values) == len(lines) else None
        return None

    def _filled(self, text: str) -> str:
        """Return lines with a word for no value in their empty cells."""
        sign, word = self.dialect.delimiter, "nan"
        text = f"\n{text}\n"
        for before, after in ((sign, sign), (sign, sign), ("\n", sign), (sign, "\n")):
            text = text.replace(before + after, before + word + after)
        return text[1:-1]

    def _slow(self, lines: list[bytes], columns: Sequence[int], counts: Counter[str]) -> Values:
        values = np.full((len(lines), len(columns)), np.nan)
        for row, line in enumerate(lines):
            cells = self.dialect.cells(line)
            if len(cells) != len(self.names):
                continue
            for place, column in enumerate(columns):
                number = self.dialect.number(cells[column])
                if number is None:
                    counts["cells that are no number"] += 1
                else:
                    values[row, place] = number
        return values

    def _column(self, column: int) -> Iterator[list[str | None]]:
        """Yield the cells of a column; None where the line is ragged."""
        for lines in self._lines():
            found: list[str | None] = []
            for line in lines:
                cells = self.dialect.cells(line)
                found.append(cells[column] if len(cells) == len(self.names) else None)
            yield found

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the texts of a column; a ragged line goes on with that before it."""
        last = ""
        for cells in self._column(column):
            texts = []
            for cell in cells:
                last = last if cell is None else "" if cell.lower() in NO_VALUE else cell
                texts.append(last)
            yield texts

    def times(self, column: int) -> Iterator[Values]:
        """Yield a column as seconds."""
        for cells in self._column(column):
            yield np.array([math.nan if cell is None else self._seconds(cell) for cell in cells])

    def _seconds(self, cell: str) -> float:
        number = self.dialect.number(cell)
        return seconds(cell) if number is None else number


def seconds(text: str) -> float:
    """Return the seconds of a date from 1970 on, without a zone as UTC; NaN where it is none."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
