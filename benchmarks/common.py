"""What every benchmark shares: pinned threads, the machine's description, tables and the data folder.

Import this module before numpy: it pins the BLAS and numba threads.
"""

# ruff: noqa: E402
import os

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
for _variable in THREAD_VARIABLES:
    os.environ.setdefault(_variable, "1")

import csv
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from digest import BENCHMARKS, ROOT, digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
UNKNOWN = "unknown"  # code that made a run before runs were marked


def data_folder() -> Path:
    """Return the folder that STREAM_INFOMAX_DATA names, or stop with a sentence that says what is missing."""
    value = os.environ.get("STREAM_INFOMAX_DATA")
    if not value or not Path(value).is_dir():
        raise SystemExit("set STREAM_INFOMAX_DATA to the folder that holds natural_images/, fsdd/, … ")
    return Path(value)


def machine(*packages: str) -> str:
    """Describe the machine, the threads and the versions in one line for the head of a table."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    versions = []
    for package in ("numpy", "numba", *packages):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    threads = os.environ["OMP_NUM_THREADS"]
    return f"{model}, {os.cpu_count()} cores, {threads} thread(s), Python {platform.python_version()}, " + ", ".join(
        versions
    )


def code() -> str:
    """Return the digest of the benchmark that runs and of the code that it rests on."""
    return digest(benchmark())


def benchmark() -> Path:
    """Return the script that runs."""
    return Path(str(sys.modules["__main__"].__file__)).resolve()


def write_table(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, object]],
    note: str = "",
    codes: Mapping[str, str] | None = None,
) -> Path:
    """Write rows as results/name.md and results/name.csv, print the table, and return the path of the first.

    Parameters
    ----------
    name, title, rows, note
        The table, and what stands above it.
    codes
        Where a table is made of runs that were kept: the digest of the code of each, by the run's name. Otherwise the
        table is by the code as it is now.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"# {title}", "", note, ""] if note else [f"# {title}", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    lines += ["", made_by(_named(benchmark()), {"": code()} if codes is None else codes)]
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)
    print(path.read_text(encoding="utf-8"))
    return path


def _named(script: Path) -> str:
    """Return the name of a script as it stands under a table: from the checkout on, where it is no benchmark."""
    return script.name if script.parent == BENCHMARKS else script.relative_to(ROOT).as_posix()


def made_by(script: str, codes: Mapping[str, str]) -> str:
    """Return the line under a table that says which code made it, for stale.py to compare."""
    runs: dict[str, list[str]] = {}
    for run, made in codes.items():
        runs.setdefault(made or UNKNOWN, []).append(run)
    if len(runs) == 1:
        return f"Code: {next(iter(runs))}, {script}"
    parts = [f"{made} ({', '.join(names)})" for made, names in runs.items()]
    return f"Code: {'; '.join(parts)}, {script}"


def save_small(figure: "Figure", path: Path, colours: int = 128) -> Path:
    """Save a picture for the documentation with few colours, and print its size; raises ValueError above 400 kB."""
    from PIL import Image

    from stream_infomax.plots import save

    save(figure, path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size / 1e3:.0f} kB")
    if size > 400_000:
        raise ValueError(f"{path} has {size} bytes; pictures of the documentation stay below 400,000")
    return path
