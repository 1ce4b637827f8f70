"""What does it cost to be scraped by Prometheus? Time and bytes of a scrape, and what greedy scrapers take from a run.

Time and bytes at 1, 10 and 100 services: a source and learners in a row, as their statuses say it, four times a second
each, with all that /proc says of a process; asked for over HTTP, compressed as Prometheus does. The first scrape is not
counted, and none is answered from the page before.

A run in one process, where learning and scraping share an interpreter: its frames a second while nobody scrapes, with
a scrape every second (15 s are usual), and with eight clients that ask again and again while eight others never say
the rest of their request. Each in turn, several times over, so that a machine that slows down does so for all.

    python benchmarks/scrape.py                       two minutes, on a machine that does nothing else
    python benchmarks/scrape.py --rounds 1 --seconds 2      whether it runs, without a table
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import gzip
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import machine, write_table  # first: it pins the threads

from stream_infomax.frames.buckets import BOUNDS, Buckets
from stream_infomax.frames.ledger import Balance
from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.transport.messages import Status
from stream_infomax.watch import http, metrics
from stream_infomax.watch.http import MOST, Server
from stream_infomax.watch.tally import Layout, Tally

SERVICES = (1, 10, 100)
EVERY = 0.25
KINDS: tuple[Kind, ...] = ("objective", "entropy", "information")
CONFIG = """
[run]
folder = "run"
metrics = "127.0.0.1:0"

[source]
kind = "synthetic"
n_sources = 64
frames = 10000000

[[stage]]
name = "learner"
kind = "learner"
"""
SCRAPERS = {"nobody": (0, 0.0, 0), "every second": (1, 1.0, 0), "8 greedy, 8 stuck": (8, 0.0, 8)}


def layout(services: list[str], folder: Path) -> Layout:
    return Layout(
        run="0123456789abcdef",
        folder=folder,
        upstream=dict(zip(services, ("", *services), strict=False)),
        names=frozenset(services),
        learning=frozenset(services[1:] or services),
        pausing=frozenset(services[1:] or services),
        checkpoint_every=dict.fromkeys(services, 512),
    )


def balance(name: str, part: str, n: int) -> Balance:
    aside = {"not finite": {"a": n}, "silent": {"a": n}} if part == "stage" else {}
    unit = "rows" if part == "stage" else "frames"
    terms = {"accepted": {"a": 3 * n}, "processed": {"a": n}, "in_flight": {}, "aside": aside, "dropped": {}}
    return Balance(place=name, part=part, unit=unit, **terms)  # type: ignore[arg-type]


def status(name: str, n: int, started: float) -> Status:
    """Return what a learner's service says after n frames."""
    buckets = Buckets([n] * (len(BOUNDS) + 1), float(n))
    measures = [Measure(name, "", kind, 100.0 / (n + 1), 256 * n) for kind in KINDS]
    return Status(
        name=name,
        run="0123456789abcdef",
        log="a",
        processed=n,
        newest=n,
        committed={},
        finished=False,
        log_frames=100,
        log_bytes=1 << 20,
        log_fill=0.1,
        dropped=0,
        expected=0,
        lost={"gone": n, "queue": n},
        refused={"nonsense": n},
        frames=n,
        rows=256 * n,
        events=[],
        step_p50=0.001,
        step_p99=0.01,
        total_p50=0.001,
        total_p99=0.01,
        started=started,
        last_frame=time.time(),
        checkpoint=n - 9,
        last_checkpoint=time.time(),
        step_seconds=buckets,
        latency_seconds=buckets,
        ledger=[balance(name, part, n) for part in ("input", "stage", "log")],
        measures=measures,
        counts={name: {"rows": 256.0 * n, "updates": float(n), "shortened": float(n)}},
    )


def get(url: str, packed: bool = False) -> bytes:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"} if packed else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def scraped(n: int, seconds: float) -> dict[str, object]:
    """Return time and bytes of a scrape of so many services."""
    names = [f"service{number:03d}" for number in range(n)]
    metrics.FRESH, http.BETWEEN = -1.0, 0.0  # each page is made, and at once
    with tempfile.TemporaryDirectory() as folder, Server("127.0.0.1", 0) as server:
        tally = Tally(layout(names, Path(folder)))
        tally.pids = lambda: dict.fromkeys(names, os.getpid())
        server.pages = {"/metrics": metrics.Exposition(tally).page}
        over = threading.Event()

        def say() -> None:
            started, frames = time.time(), 0
            while not over.is_set():
                frames += 25
                for name in names:
                    tally.update(name, status(name, frames, started))
                over.wait(EVERY)

        for name in names:
            tally.change(name, "running", 0)
        teller = threading.Thread(target=say)
        teller.start()
        url = f"{server.url}/metrics"
        get(url)
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end or len(times) < 10:
            start = time.perf_counter()
            page = get(url, packed=True)
            times.append(time.perf_counter() - start)
        over.set()
        teller.join()
        page = gzip.decompress(page) if page[:2] == b"\x1f\x8b" else page
        series = sum(not line.startswith(b"#") for line in page.splitlines())
    times.sort()
    return {
        "services": n,
        "series": series,
        "bytes": f"{len(page):,}",
        "compressed": f"{len(gzip.compress(page, 1)):,}",
        "ms, median": f"{1e3 * statistics.median(times):.1f}",
        "ms, 99 %": f"{1e3 * times[int(0.99 * (len(times) - 1))]:.1f}",
    }


@contextmanager
def run(folder: Path) -> Iterator[str]:
    """Start a run in one process; yield where its metrics are, once it learns."""
    folder.mkdir()
    (folder / "a.toml").write_text(CONFIG)
    command = [*(sys.executable, "-m", "stream_infomax.cli", "run"), "a.toml", "--in-process", "--plain"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = next(line for line in process.stdout if line.startswith("metrics: "))
            threading.Thread(target=process.stdout.read, daemon=True).start()  # or it would wait for us
            url = line.split()[1]
            while frames(url) < 500:
                time.sleep(0.2)
            yield url
        finally:
            process.kill()


def frames(url: str) -> float:
    """Return the frames that a run has done."""
    start = b'stream_infomax_frames_total{service="in-process"} '
    found = [line for line in get(url).splitlines() if line.startswith(start)]
    return float(found[0].rsplit(b" ", 1)[1]) if found else 0.0


@contextmanager
def scraping(url: str, askers: int, pause: float, stuck: int) -> Iterator[None]:
    """Have clients ask, in a process of their own, and others never say the rest of what they ask."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    program = (
        "import sys, threading, time, urllib.request\n"
        "def ask():\n"
        "    while True:\n"
        "        try: urllib.request.urlopen(sys.argv[1], timeout=20).read()\n"
        "        except OSError: pass\n"
        "        time.sleep(float(sys.argv[3]))\n"
        "for _ in range(int(sys.argv[2])): threading.Thread(target=ask, daemon=True).start()\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, url, str(askers), str(pause)]
    with ExitStack() as stack, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        for _ in range(min(stuck, MOST - 2)):
            client = stack.enter_context(socket.create_connection((host, int(port))))
            client.sendall(b"GET /metr")
        try:
            yield
        finally:
            process.kill()


def slowed(rounds: int, seconds: float) -> list[dict[str, object]]:
    """Return the frames a second of a run under each kind of scraper."""
    rates: dict[str, list[float]] = {kind: [] for kind in SCRAPERS}
    with tempfile.TemporaryDirectory() as folder, run(Path(folder) / "a") as url:
        for _ in range(rounds):
            for kind, (askers, pause, stuck) in SCRAPERS.items():
                with scraping(url, askers, pause, stuck):
                    before, start = frames(url), time.monotonic()
                    time.sleep(seconds)
                    rates[kind].append((frames(url) - before) / (time.monotonic() - start))
    alone = statistics.median(rates["nobody"])
    return [
        {
            "who scrapes": kind,
            "frames a second, median": f"{statistics.median(found):,.0f}",
            "least … most": f"{min(found):,.0f} … {max(found):,.0f}",
            "of those with nobody": f"{statistics.median(found) / alone:.1%}",
        }
        for kind, found in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    sizes = [scraped(n, arguments.seconds) for n in SERVICES]
    shares = slowed(arguments.rounds, arguments.seconds)
    if arguments.rounds < 3:
        print(*sizes, *shares, sep="\n")
        return
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    note = f"{machine('prometheus-client')}; {load}; a page over HTTP on this machine, statuses coming meanwhile."
    write_table("scrape", "A scrape by the number of services", sizes, note)
    note = f"{machine('prometheus-client')}; {load}; {arguments.rounds} rounds of {arguments.seconds:g} s each in turn."
    write_table(
        "scrape_run", "What scrapers take from a run in one process (64 × 64, frames of 256 rows)", shares, note
    )


if __name__ == "__main__":
    main()
