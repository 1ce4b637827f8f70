"""Labels of files: by a pattern over their path, and by the lines of a CSV file."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from stream_infomax.settings.error import SettingError


class Labels:
    """Labels of a file: the named groups of a pattern over its path, and a line of a CSV file."""

    def __init__(self, pattern: str, csv_path: str | Path) -> None:
        self.pattern = compile_pattern("labels", pattern)
        self.lines = _read_csv(Path(csv_path)) if csv_path else {}
        # What was given and has fitted no file yet, by its key.
        self._idle = {key: str(value) for key, value in (("labels", pattern), ("labels_csv", csv_path)) if value}

    def of(self, segment: str) -> dict[str, str]:
        """Return the labels of the file at `segment`, its path below the folder."""
        labels: dict[str, str] = {}
        found = self.pattern.search(segment)
        if found and self.pattern.groupindex:
            labels.update({name: text for name, text in found.groupdict().items() if text is not None})
            self._idle.pop("labels", None)
        line = self.lines.get(segment) or self.lines.get(segment.rpartition("/")[2])
        if line:
            labels.update(line)
            self._idle.pop("labels_csv", None)
        return labels

    def check(self, root: Path, example: str) -> None:
        """Raise SettingError where the pattern or the CSV file fitted no recording; one of them is the `example`."""
        for key, value in self._idle.items():
            what = "a pattern found in" if key == "labels" else "a file whose first column has"
            raise SettingError(
                key,
                value,
                f"{what} the path of a recording below the folder, for example in {example!r}; without labels, leave "
                f"{key} away",
                f"fits no recording at {root}",
            )


def compile_pattern(key: str, pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern. Raises SettingError where it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SettingError(key, pattern, "a regular expression", str(error)) from error


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        raise SettingError("labels_csv", str(path), "a CSV file", "no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingError("labels_csv", str(path), "a CSV file in UTF-8", str(error)) from error
    if len(head) < 2:
        raise SettingError(
            "labels_csv", str(path), "a head line with a column of file names and one of labels", f"its head is {head}"
        )
    return {line[0]: dict(zip(head[1:], line[1:], strict=False)) for line in lines if line}
