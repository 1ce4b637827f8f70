"""Labels of files: by a pattern over their path, and by the lines of a CSV file."""

from __future__ import annotations

import csv
import re
from pathlib import Path


class Labels:
    """Labels of a file: the named groups of a pattern over its path, and a line of a CSV file."""

    def __init__(self, pattern: str, csv_path: str | Path) -> None:
        self.pattern = compile_pattern("labels", pattern)
        if pattern and not self.pattern.groupindex:
            raise ValueError(
                f"labels = {pattern!r} names no group; accepted is for example '(?P<digit>[0-9])_(?P<speaker>[a-z]+)_'"
            )
        self.lines = _read_csv(Path(csv_path)) if csv_path else {}
        self._csv_name = str(csv_path)
        # What was given and has fitted no file yet.
        self._idle: set[str] = set()
        if pattern:
            self._idle.add(f"labels = {pattern!r}")
        if csv_path:
            self._idle.add(self._csv_name)

    def of(self, segment: str) -> dict[str, str]:
        """Return the labels of the file at `segment`, its path below the folder."""
        labels: dict[str, str] = {}
        found = self.pattern.search(segment)
        if found and self.pattern.groupindex:
            labels.update({name: text for name, text in found.groupdict().items() if text is not None})
            self._idle.discard(f"labels = {self.pattern.pattern!r}")
        line = self.lines.get(segment) or self.lines.get(segment.rpartition("/")[2])
        if line:
            labels.update(line)
            self._idle.discard(self._csv_name)
        return labels

    def check(self, root: Path) -> None:
        """Raise ValueError where the pattern or the CSV file fitted no file at all."""
        for what in sorted(self._idle):
            raise ValueError(f"{what} fits no recording at {root}; it is matched against the path below the folder")


def compile_pattern(key: str, pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern. Raises ValueError, naming the setting `key`, where it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key} = {pattern!r} is not a regular expression: {error}") from error


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"labels_csv = {str(path)!r}: no such CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a UTF-8 CSV file: {error}") from error
    if len(head) < 2:
        raise ValueError(f"{path} has the head {head}; accepted is one with a column of file names and one of labels")
    return {line[0]: dict(zip(head[1:], line[1:], strict=False)) for line in lines if line}
