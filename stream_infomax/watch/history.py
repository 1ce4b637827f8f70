"""What a run's learning is followed by: the measures, and History, a CSV file of them that survives restarts."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

COLUMNS = ("seconds", "measure", "position", "value")
# For each measure, named "stage.kind", its columns "seconds", "position" and "value".
Curves: TypeAlias = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Kind:
    """A kind of measure: what it is called, its unit, what it is drawn over, and how it is written."""

    title: str
    unit: str
    position: str
    form: str
    # The kind that it is drawn beside, because it is there to be compared with.
    beside: str = ""

    def text(self, value: float) -> str:
        """Return the value with its unit."""
        return "–" if math.isnan(value) else f"{value:{self.form}}{'' if self.form.endswith('%') else f' {self.unit}'}"


# By the last part of a metric's name.
KINDS = {
    "objective": Kind("objective", "nats", "rows", ".2f"),
    "entropy": Kind("coefficient entropy", "bits", "rows", ".3f"),
    "information": Kind("information", "bits", "rows", ".1f"),
    "score": Kind("contrast score", "nats", "frames", ".2f"),
    "window": Kind("named rightly of late", "share", "frames", ".1%"),
    "baseline": Kind("named without looking", "share", "frames", ".1%", beside="window"),
}


def kind_of(measure: str) -> Kind:
    """Return the kind of a measure, for example of "learner.objective"."""
    return KINDS[measure.rpartition(".")[2]]


def measures_in(metrics: Mapping[str, float], n_frames: int) -> dict[str, tuple[float, float]]:
    """Return the measures among a service's metrics, each with its position and its value.

    Parameters
    ----------
    metrics
        By names like "learner.objective"; values that are not finite are passed over.
    n_frames
        The position of measures that are drawn over frames; the others find theirs under "stage.rows".
    """
    found = {}
    for name, value in metrics.items():
        stage, _, last = name.rpartition(".")
        if last in KINDS and math.isfinite(value):
            position = metrics[f"{stage}.rows"] if KINDS[last].position == "rows" else n_frames
            found[name] = (float(position), value)
    return found


class History:
    """Appends a line whenever a measure has moved on.

    Parameters
    ----------
    path
        The CSV file; what is in it stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        past = read(path) if path.exists() else {}
        # When the last line was written, in seconds since the start of the run.
        self.seconds = max((columns["seconds"][-1] for columns in past.values()), default=0.0)
        self._positions = {measure: columns["position"][-1] for measure, columns in past.items()}
        self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):  # a full disk or a crash cut a line off
            self._file.write("\r\n")
        self._writer = csv.writer(self._file)
        if path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)

    def append(self, seconds: float, measures: Mapping[str, tuple[float, float]]) -> None:
        """Write positions and values. Where a restart computes again what is known already, it is passed over."""
        for measure, (position, value) in measures.items():
            if position > self._positions.get(measure, 0.0):
                self._positions[measure] = position
                self._writer.writerow([f"{seconds:.2f}", measure, f"{position:.0f}", f"{value:.9g}"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Curves:
    """Return the curves in a history. A last line that a crash cut off is left out."""
    curves: Curves = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if not line["value"] or line["measure"].rpartition(".")[2] not in KINDS:
                continue
            columns = curves.setdefault(line["measure"], {"seconds": [], "position": [], "value": []})
            for name, values in columns.items():
                values.append(float(line[name]))
    return curves
