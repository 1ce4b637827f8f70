"""History: the learners' curves over a run, kept as a CSV file that survives restarts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("seconds", "learner", "rows", "updates", "objective", "entropy")


class History:
    """Appends a line whenever a learner has learnt from more rows.

    Parameters
    ----------
    path
        The CSV file; what is in it stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, float] = {}
        past = read(path) if path.exists() else {}
        # When the last line was written, in seconds since the start of the run.
        self.seconds = max((columns["seconds"][-1] for columns in past.values()), default=0.0)
        self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._file)
        if path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)

    def append(self, seconds: float, learner: str, metrics: Mapping[str, float]) -> None:
        """Write a learner's ``rows``, ``updates``, ``objective`` and ``entropy`` unless nothing is new."""
        if metrics["rows"] == self._rows.get(learner):
            return
        self._rows[learner] = metrics["rows"]
        numbers = (metrics[name] for name in COLUMNS[2:])
        self._writer.writerow([f"{seconds:.2f}", learner, *(f"{number:.9g}" for number in numbers)])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> dict[str, dict[str, list[float]]]:
    """Return, for each learner, the columns ``seconds``, ``rows``, ``updates``, ``objective`` and ``entropy``.

    A last line that a crash cut off is left out.
    """
    history: dict[str, dict[str, list[float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if None in line.values():
                continue
            columns = history.setdefault(line["learner"], {name: [] for name in COLUMNS if name != "learner"})
            for name, values in columns.items():
                values.append(float(line[name]))
    return history
