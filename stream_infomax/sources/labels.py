"""Labels of files: by a pattern over their path, and by the lines of a CSV file. Labels of arrays, as text."""

from __future__ import annotations

import csv
import logging
import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.inventory import listed

log = logging.getLogger(__name__)

# The name of a table of labels that is noticed, though never used unasked.
BESIDE = "labels.csv"
NO_FILE = "lines of labels_csv that name no file"


class Labels:
    """Labels of a file: the named groups of a pattern over its path, and a line of a CSV file.

    Parameters
    ----------
    pattern
        A regular expression.
    csv_path
        A CSV file with a head line; its first column names files by their path below the folder, or by their name.
    root
        The folder: lines may also have the whole path, or the path as seen from the CSV file.
    what
        What the files are, for messages.

    Attributes
    ----------
    without
        How many files got no label, where there are labels at all.

    Raises
    ------
    SettingError
        The pattern is none; the CSV file is missing, or does not say clearly which file has which labels.
    """

    def __init__(self, pattern: str, csv_path: str | Path, root: Path | None = None, what: str = "recording") -> None:
        self.pattern = compile_pattern("labels", pattern)
        self.what = what
        self._csv = str(csv_path)
        self._lines = _read_csv(Path(csv_path), root) if csv_path else {}
        self.without = 0
        # What was given and has fitted no file yet, by its key.
        self._idle = {key: str(value) for key, value in (("labels", pattern), ("labels_csv", csv_path)) if value}
        self._given = dict(self._idle)

    @property
    def lines(self) -> Iterable[str]:
        """What the lines of the CSV file call their files."""
        return self._lines.keys()

    def of(self, segment: str, has_own: object = False) -> dict[str, str]:
        """Return the labels of the file at `segment`, its path below the folder; it may have labels of its own."""
        labels: dict[str, str] = {}
        found = self.pattern.search(segment)
        if found and self.pattern.groupindex:
            labels.update({name: text for name, text in found.groupdict().items() if text is not None})
            self._idle.pop("labels", None)
        for key in keys(segment):
            if key in self._lines:
                labels.update(self._lines[key])
                self._idle.pop("labels_csv", None)
                break
        self.without += bool(self._given) and not labels and not has_own
        return labels

    def check(self, root: Path, example: str, names: Iterable[str] = ()) -> Counter[str]:
        """Look whether pattern and CSV file fit, once the labels of every file have been asked for.

        Parameters
        ----------
        example
            One of the files.
        names
            Of all files that are there, also those that are not used.

        Returns
        -------
        What was left out.

        Raises
        ------
        SettingError
            Where pattern or CSV file fitted no file.
        """
        for key, value in self._idle.items():
            what = "a pattern found in" if key == "labels" else "a file whose first column has"
            raise SettingError(
                key,
                value,
                f"{what} the path of a {self.what} below the folder, for example in {example!r}; without labels, leave "
                f"{key} away",
                f"fits no {self.what} at {root}",
            )
        there = Counter(key for name in names for key in set(keys(name)))
        lost = [name for name in self._lines if name not in there]
        if lost:
            self._warn(f"{len(lost)} of {len(self._lines)} lines name no file at {root}: {listed(lost)}")
        twice = [name for name in self._lines if there[name] > 1]
        if twice:
            self._warn(f"lines that name several files of the same name: {listed(twice)}")
        if self.without:
            log.warning("%s: %d files have no label", " and ".join(self._given), self.without)
        return Counter({NO_FILE: len(lost)})

    def _warn(self, words: str) -> None:
        log.warning("labels_csv = %r: %s", self._csv, words)


def keys(segment: str) -> tuple[str, str]:
    """Return what a line of a CSV file may call a file by: its path below the folder, or its name."""
    path = unicodedata.normalize("NFC", segment)
    return path, path.rpartition("/")[2]


def beside(root: Path) -> str:
    """Log and return a sentence on the labels that lie in a folder and are not used; empty where there are none."""
    path = (root if root.is_dir() else root.parent) / BESIDE
    if not path.is_file():
        return ""
    sentence = f"{path} is not used; labels_csv = {str(path)!r} takes labels from it"
    log.warning(sentence)
    return sentence


def compile_pattern(key: str, pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern. Raises SettingError where it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SettingError(key, pattern, "a regular expression", str(error)) from error


def texts(labels: npt.NDArray[Any]) -> list[str | None]:
    """Return an array of labels (n,) as texts; None where there is no label: NaN, no date, an empty text.

    Whole numbers are written without a point, whatever their type: 3 and 3.0 are the same class. Bytes are UTF-8.

    Raises
    ------
    ValueError
        Where they are neither numbers nor texts, or no UTF-8.
    """
    if labels.dtype.kind not in "biufSUTMO":
        raise ValueError(f"labels of type {labels.dtype}; accepted are numbers, texts and dates")
    return [_text(label) for label in labels.tolist()]


def _text(label: Any) -> str | None:
    if label is None or label != label:  # NaN
        return None
    if isinstance(label, bytes):
        try:
            label = label.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"the label {label!r} is not UTF-8") from error
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, str | int | float) and not hasattr(label, "isoformat"):
        raise ValueError(f"the label {label!r} is a {type(label).__name__}; accepted are numbers, texts and dates")
    return str(label).strip() or None


def _read_csv(path: Path, root: Path | None) -> dict[str, Mapping[str, str]]:
    """Return the labels by the name of a file."""
    if not path.is_file():
        raise _refused(path, "a CSV file", "no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, "a CSV file in UTF-8", str(error)) from error
    lines = [(number, line) for number, line in lines if any(line)]
    head = _head(path, lines)
    found: dict[str, Mapping[str, str]] = {}
    first: dict[str, int] = {}
    for number, line in lines[1:]:
        if len(line) < len(head) or any(line[len(head) :]):
            raise _refused(
                path, "lines as long as the head", f"line {number} has {len(line)} cells, the head {len(head)}"
            )
        if not line[0]:
            raise _refused(path, "a file's name in the first column of every line", f"line {number} has none")
        name = _normal(line[0], path, root)
        labels = {column: text for column, text in zip(head[1:], line[1:], strict=False) if column and text}
        if found.setdefault(name, labels) != labels:
            raise _refused(
                path,
                "one set of labels a file",
                f"lines {first[name]} and {number} give {name!r} different labels",
            )
        first.setdefault(name, number)
    return found


def _head(path: Path, lines: list[tuple[int, list[str]]]) -> list[str]:
    """Return the names of the columns; those behind the last one that is named are empty in every line."""
    head = lines[0][1] if lines else []
    while head and not head[-1]:
        head = head[:-1]
    if len(head) < 2:
        raise _refused(
            path,
            "a head line with a column of file names and one of labels, divided by commas",
            f"its head is {head}",
        )
    double = [name for name, count in Counter(head).items() if count > 1 and name]
    if double or not all(head[1:]):
        wrong = f"has the column {double[0]!r} twice" if double else f"has a column without a name: {head}"
        raise _refused(path, "columns with names of their own", f"its head {wrong}")
    return head


def _normal(name: str, csv_path: Path, root: Path | None) -> str:
    r"""Return a file's name as the lines of a CSV file are looked up: without ``./`` and ``\``, below the folder."""
    spellings = (name, name.replace("\\", "/"))
    if root is not None:
        folder = (root if root.is_dir() else root.parent).absolute()
        for base in (folder, csv_path.absolute().parent):
            for spelling in spellings:
                path = Path(os.path.normpath(base / spelling))
                if os.path.lexists(path) and (inside := _below(path, folder)):
                    return unicodedata.normalize("NFC", inside)
    return unicodedata.normalize("NFC", posixpath.normpath(spellings[-1]))


def _below(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder that it is in, also by another way; empty where it is not."""
    folder = Path(os.path.normpath(folder))
    for file, place in ((path, folder), (path.parent.resolve() / path.name, folder.resolve())):
        if file.is_relative_to(place):
            return file.relative_to(place).as_posix()
    return ""


def _refused(path: Path, accepted: str, reason: str) -> SettingError:
    return SettingError("labels_csv", str(path), accepted, reason)
