"""History: every measure of a run in a CSV file that survives restarts, and how each kind of measure is shown."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, get_args

from stream_infomax.frames.measure import Kind, Measure

COLUMNS = ("seconds", "stage", "level", "kind", "position", "value")
# For each curve (stage, level, kind) its columns "seconds", "position" and "value".
Curves: TypeAlias = dict[tuple[str, str, Kind], dict[str, list[float]]]


@dataclass(frozen=True)
class Shown:
    """How a kind of measure is shown: its title, its unit, what it is drawn over, and how it is written."""

    title: str
    unit: str
    position: str
    form: str
    # The kind that it is drawn beside, because it is there to be compared with.
    beside: Kind | None = None

    def text(self, value: float) -> str:
        """Return the value with its unit."""
        return "–" if math.isnan(value) else f"{value:{self.form}}{'' if self.form.endswith('%') else f' {self.unit}'}"


KINDS: dict[Kind, Shown] = {
    "objective": Shown("objective", "nats", "rows", ".2f"),
    "entropy": Shown("coefficient entropy", "bits", "rows", ".3f"),
    "information": Shown("information", "bits", "rows", ".1f"),
    "score": Shown("contrast score", "nats", "frames", ".2f"),
    "accuracy": Shown("accuracy (last 200)", "share", "frames", ".1%"),
    "baseline": Shown("baseline", "share", "frames", ".1%", beside="accuracy"),
}


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
        self._positions = {curve: columns["position"][-1] for curve, columns in past.items()}
        self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):  # a full disk or a crash cut a line off
            self._file.write("\r\n")
        self._writer = csv.writer(self._file)
        if path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)

    def append(self, seconds: float, measures: Iterable[Measure]) -> None:
        """Write measures. Where a restart computes again what is known already, it is passed over."""
        for one in measures:
            if one.position > self._positions.get(one.curve, 0.0):
                self._positions[one.curve] = one.position
                value = f"{one.value:.9g}"
                self._writer.writerow([f"{seconds:.2f}", one.stage, one.level, one.kind, one.position, value])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Curves:
    """Return the curves in a history. A last line that a crash cut off is left out."""
    curves: Curves = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if not line["value"] or line["kind"] not in get_args(Kind):
                continue
            kind: Kind = line["kind"]  # type: ignore[assignment]  # it was looked up
            columns = curves.setdefault(
                (line["stage"], line["level"], kind), {"seconds": [], "position": [], "value": []}
            )
            for name, values in columns.items():
                values.append(float(line[name]))
    return curves
