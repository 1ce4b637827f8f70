"""Run tortures, each in a process of its own, and say what each showed: ``make torture``, or from the checkout

    PYTHONPATH=tests:benchmarks .venv/bin/python -m torture [NAME …] [--share 0.1] [--seed N]

Without names all of them. The table goes to benchmarks/results/torture.md (of those that are named, in their full
length only); a row that is there is replaced by one of at least its share. The exit code is 1 where one failed.
"""

import common  # isort: skip  (pins threads)
import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from torture.frame import LeftOutError, Torture, Trial, tortures

LAST_WORDS = 30
TABLE = common.RESULTS / "torture.csv"
Row = dict[str, str]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m torture", description="Runs tortures, all or those named.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a torture; --list names them")
    parser.add_argument("--share", type=float, default=1.0, help="of the full length, above 0 (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="from which everything random follows (default 0)")
    parser.add_argument("--list", action="store_true", help="name the tortures and end")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.share <= 0:
        parser.error(f"--share {given.share}: must be above 0")
    if unknown := set(given.names) - set(tortures()):
        parser.error(f"no torture is called {', '.join(sorted(unknown))}; there are {', '.join(tortures())}")
    return given


def here(torture: Torture, share: float, seed: int) -> None:
    """Run one in this process; a line of JSON on stdout says how far it is, the last one how it ended."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what is printed by others is no line of this protocol

    def say(**words: object) -> None:
        stdout.write(json.dumps(words) + "\n")

    folder = Path(tempfile.mkdtemp(prefix="torture"))
    try:
        showed = torture.run(Trial(folder, seed, share, lambda done, total: say(done=done, total=total)))
        say(outcome="held", showed=showed)
    except LeftOutError as reason:
        say(outcome="left out", showed=str(reason))
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is its end)
        traceback.print_exc()
        say(outcome="FAILED", showed=f"{type(error).__name__}: {error}".splitlines()[0])
        raise SystemExit(1) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lines_of(torture: Torture, share: float, seed: int, words: Path) -> Iterator[dict[str, object]]:
    """Run one in a process group of its own, ended when its minutes are over; yield what it says."""
    command = [sys.executable, "-m", "torture", torture.name, "--here", "--share", str(share), "--seed", str(seed)]
    with words.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)

    def end() -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    late = threading.Timer(60 * torture.minutes, end)
    late.start()
    try:
        assert child.stdout is not None
        for line in child.stdout:
            yield json.loads(line)
        child.wait()
        if child.returncode == -signal.SIGKILL:
            yield {"outcome": "FAILED", "showed": f"killed; it has {torture.minutes:g} minutes"}
    finally:
        late.cancel()
        end()
        child.wait()


def tried(torture: Torture, share: float, seed: int, progress: Progress, words: Path) -> Row:
    """Run one and return its row of the table."""
    begin = time.monotonic()
    bar = progress.add_task(torture.name, total=None)
    end: Mapping[str, object] = {"outcome": "FAILED", "showed": "it ended without a word"}
    for said in lines_of(torture, share, seed, words):
        if "outcome" in said:
            end = said
        else:
            progress.update(bar, completed=int(str(said["done"])), total=int(str(said["total"])))
    progress.remove_task(bar)
    seconds = time.monotonic() - begin
    row = {"torture": torture.name, "question": torture.question, "outcome": str(end["outcome"])}
    row |= {"what it showed": str(end["showed"]), "share": f"{share:g}", "seed": str(seed), "seconds": f"{seconds:.0f}"}
    return row


def write(rows: list[Row]) -> None:
    """Put rows into the table; those of tortures that are no more go."""
    there = {}
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            there = {row["torture"]: row for row in csv.DictReader(file) if row["torture"] in tortures()}
    for row in rows:
        old = there.get(row["torture"])
        if old is None or float(row["share"]) >= float(old["share"]):
            there[row["torture"]] = {**row, "code": common.code()}
    codes = {name: row["code"] for name, row in sorted(there.items())}
    common.write_table("torture", "Tortures", [there[name] for name in codes], f"{common.machine('pyzmq')}.", codes)


def main() -> None:
    """Run, show, write."""
    given = arguments()
    chosen = [torture for name, torture in tortures().items() if not given.names or name in given.names]
    if given.list:
        for torture in chosen:
            print(f"{torture.name}: {torture.question}")
        return
    if given.here:
        here(chosen[0], given.share, given.seed)
        return
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows = []
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console) as progress:
        for torture in chosen:
            words = Path(folder) / torture.name
            row = tried(torture, given.share, given.seed, progress, words)
            rows.append(row)
            console.print(
                f"{row['outcome']}: {row['torture']} ({row['seconds']} s): {row['what it showed']}",
                markup=False,
                soft_wrap=True,
            )
            if row["outcome"] == "FAILED":
                last = words.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_WORDS:]
                console.print("\n".join(last), markup=False, soft_wrap=True)
    if not given.names or given.share >= 1:
        write(rows)
    raise SystemExit(any(row["outcome"] == "FAILED" for row in rows))


if __name__ == "__main__":
    main()
