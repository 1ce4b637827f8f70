"""What does the live page cost: its process, a viewer's line, memory over a day, and the pipeline that is watched?

Four questions, about ten minutes:

* at 1, 10 and 100 services that say what real ones say (50 frames of 20 ms and 4 statuses a second each): the share of
  a core that the page's process takes, with a viewer and with none, the bytes a second that the viewer is sent, and
  how long it is until the first picture;
* memory of the page's process and of the browser while the page takes 10⁶ frames that stand for 24 h of a stream, sent
  as fast as it takes them, and refreshes ten times as often as it does;
* how many frames a second a pipeline makes that is as fast as it can be, without a page, with one that nobody looks at,
  with a viewer elsewhere (a browser that takes only what nobody else needs), and with a browser on the same machine:
  in turns, over one run;
* latency from source to published feature of a live pipeline, without a page and with one that is looked at, in turns.

The browser is Debian's Chromium without a window, driven by selenium.

    python benchmarks/page.py [--share 1]
"""

import common  # isort: skip  (pins threads)
import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import zmq
from page_common import (
    Line,
    begun,
    browser,
    look,
    memory,
    processes,
    publish,
    running,
    seconds_of,
    serve_counting,
)
from selenium import webdriver

from stream_infomax.transport import messages
from stream_infomax.transport.tap import FRAME, STATUS

CLI = ("-m", "stream_infomax.cli")
SERVICES = (1, 10, 100)
# Of the day: services, frames of all, seconds of stream time, seconds that it takes, milliseconds of a refresh.
DAY_SERVICES, DAY_FRAMES, DAY, DAY_TAKES, DAY_EVERY = 4, 10**6, 86_400, 200, 50
LOOKS = (0.1, 0.25, 0.5, 0.75, 1.0)
# Seconds of one turn, and of what comes before one counts.
TURN, SETTLE, TURNS = 8.0, 3.0, 4
LATENCY_TURN, LATENCY_TURNS = 30.0, 2
GOALS = "at most 3 % of a core watched, 0.3 % unwatched, 30 kB/s a viewer"
PIPELINE = """
[run]
folder = "run"

[source]
kind = "synthetic"
n_sources = 64
rows = {rows}
frames = 1000000000
{pace}

[[stage]]
name = "learner"
kind = "learner"
"""
FAST = PIPELINE.format(rows=256, pace="")
LIVE = PIPELINE.format(rows=5, pace='rate = 250.0\npace = "live"')


@contextmanager
def page(folder: Path) -> Iterator[tuple[psutil.Process, str, float]]:
    """Start the page of a run; give its process, its address, and the seconds until it was there."""
    start = time.monotonic()
    with running(*CLI, "page", folder) as (process, url):
        yield psutil.Process(process.pid), url, time.monotonic() - start


def cost(n_services: int, driver: webdriver.Chrome, seconds: float) -> dict[str, object]:
    """Return a line of the first table."""
    with tempfile.TemporaryDirectory(prefix="page") as name, ExitStack() as stack:
        folder = Path(name) / "run"
        begun(folder, n_services)
        stack.enter_context(running(__file__, "--publish", folder))
        process, url, served = stack.enter_context(page(folder))
        time.sleep(SETTLE)
        unwatched = _share(seconds, process)
        first = look(driver, url)
        time.sleep(SETTLE)
        line = Line(driver)
        line.received()
        of_browser = processes(driver)
        before = seconds_of(*of_browser)
        watched = _share(seconds, process)
        total, sent = line.received()
        found = {
            "services": n_services,
            "core, no viewer, %": f"{100 * unwatched:.1f}",
            "core, one viewer, %": f"{100 * watched:.1f}",
            "kB/s to the viewer": f"{sent / seconds / 1e3:.1f}",
            "kB/s before compression": f"{total / seconds / 1e3:.1f}",
            "page is there, s": f"{served:.1f}",
            "first picture, s": f"{first:.2f}",
            "core, browser, %": f"{100 * (seconds_of(*of_browser) - before) / seconds:.0f}",
        }
        driver.get("about:blank")
    return found


def _share(seconds: float, process: psutil.Process) -> float:
    before = seconds_of(process)
    time.sleep(seconds)
    return (seconds_of(process) - before) / seconds


def day(driver: webdriver.Chrome, share: float) -> tuple[list[dict[str, object]], int]:
    """Return the table of memory over a day, and how many frames the page took."""
    total, seconds = round(share * DAY_FRAMES / DAY_SERVICES), share * DAY_TAKES
    rows = []
    with tempfile.TemporaryDirectory(prefix="page") as name, ExitStack() as stack:
        folder = Path(name) / "run"
        begun(folder, DAY_SERVICES)
        server, url = stack.enter_context(running(__file__, "--serve", folder))
        look_at = psutil.Process(server.pid)
        driver.get(url)
        publisher, _ = stack.enter_context(running(__file__, "--publish", folder, "--total", total, "--takes", seconds))
        start = time.monotonic()
        for part in LOOKS:
            time.sleep(max(0.0, start + part * seconds - time.monotonic()))
            found = memory(look_at, driver)
            rows.append(
                {"of the day": f"{part:.0%}", **{f"{name}, MB": f"{value:.1f}" for name, value in found.items()}}
            )
            driver.get_log("performance")  # the driver keeps what it tells until it is asked
        publisher.wait()
        time.sleep(SETTLE)
        server.terminate()
        assert server.stdout is not None
        taken = int(server.stdout.read().split()[-1])
    return rows, taken


@contextmanager
def pipeline(folder: Path, config: str) -> Iterator[Path]:
    """Start a pipeline; give its run folder."""
    (folder / "pipeline.toml").write_text(config)
    arguments = ("run", folder / "pipeline.toml", "--set", f"run.folder={folder / 'run'}", "--plain")
    with running(*CLI, *arguments) as (process, _):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("learner: running"):
                break
        yield folder / "run"


@contextmanager
def tap(folder: Path, topic: bytes) -> Iterator["zmq.Socket[bytes]"]:
    """Listen to the learner."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, 100_000)
        socket.connect(f"ipc://{folder}/learner.tap")
        socket.subscribe(topic)
        yield socket


def rate(socket: "zmq.Socket[bytes]", seconds: float) -> float:
    """Return the frames a second that the learner makes from now on."""
    while socket.poll(0):
        socket.recv_multipart()
    first = last = messages.decode_status(socket.recv_multipart()[1])
    begin = end = time.monotonic()
    while end < begin + seconds:
        last = messages.decode_status(socket.recv_multipart()[1])
        end = time.monotonic()
    return (last.frames - first.frames) / (end - begin)


def throughput(quiet: webdriver.Chrome, loud: webdriver.Chrome, turns: int) -> list[dict[str, object]]:
    """Return the table of what a pipeline makes."""
    viewers = {"no page": None, "nobody looks": None, "a viewer elsewhere": quiet, "a browser here": loud}
    rates: dict[str, list[float]] = {name: [] for name in viewers}
    with (
        tempfile.TemporaryDirectory(prefix="page") as name,
        pipeline(Path(name), FAST) as folder,
        tap(folder, STATUS) as socket,
    ):
        while messages.decode_status(socket.recv_multipart()[1]).newest < 100:  # over its warm-up
            pass
        for _ in range(turns):
            for kind, driver in viewers.items():
                with ExitStack() as stack:
                    if kind != "no page":
                        _, url, _ = stack.enter_context(page(folder))
                        if driver is not None:
                            look(driver, url)
                            stack.callback(driver.get, "about:blank")
                    time.sleep(SETTLE)
                    rates[kind].append(rate(socket, TURN))
    return [_compared(kind, found, rates["no page"]) for kind, found in rates.items()]


def _compared(kind: str, found: list[float], without: list[float]) -> dict[str, object]:
    shares = [1 - one / other for one, other in zip(found, without, strict=True)]
    return {
        "page": kind,
        "frames/s (median)": f"{statistics.median(found):,.0f}",
        "from … to": f"{min(found):,.0f} … {max(found):,.0f}",
        "slower by, median of turns": f"{statistics.median(shares):+.1%}",
    }


def latencies(driver: webdriver.Chrome, seconds: float, turns: int) -> list[dict[str, object]]:
    """Return the table of how long a frame takes."""
    found: dict[str, list[float]] = {"no page": [], "a viewer elsewhere": []}
    with (
        tempfile.TemporaryDirectory(prefix="page") as name,
        pipeline(Path(name), LIVE) as folder,
        tap(folder, FRAME) as socket,
    ):
        for _ in range(turns):
            for kind, into in found.items():
                with ExitStack() as stack:
                    if kind != "no page":
                        _, url, _ = stack.enter_context(page(folder))
                        look(driver, url)
                        stack.callback(driver.get, "about:blank")
                    time.sleep(SETTLE)
                    into += _latencies(socket, seconds)
    return [
        {
            "page": kind,
            "frames": len(values),
            **{f"p{share}, ms": f"{np.percentile(values, share):.2f}" for share in (50, 90, 99)},
            "maximum, ms": f"{max(values):.2f}",
        }
        for kind, values in found.items()
    ]


def _latencies(socket: "zmq.Socket[bytes]", seconds: float) -> list[float]:
    while socket.poll(0):
        socket.recv_multipart()
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if socket.poll(500):
            sent = messages.decode_sent(socket.recv_multipart()[1])
            found.append(1000 * (sent.sent - sent.origin))
    return found


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the time and the frames, to try it out")
    parser.add_argument("--publish", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--total", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--takes", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        publish(arguments.publish, arguments.total, arguments.takes, DAY)
        return
    if arguments.serve:
        serve_counting(arguments.serve, DAY_EVERY)
        return
    share = arguments.share
    with browser() as loud:
        costs = [cost(n_services, loud, max(3.0, 15.0 * share)) for n_services in SERVICES]
        common.write_table("page", "What the page costs", costs, f"{_machine()}. Goals: {GOALS}.")
        over_a_day, taken = day(loud, share)
    note = f"{_machine()}. {taken:,} frames taken, {1000 / DAY_EVERY:g} refreshes a second."
    common.write_table("page_memory", "Memory while a page takes a day of frames", over_a_day, note)
    with browser() as loud, browser(quiet=19) as quiet:
        rates = throughput(quiet, loud, max(1, round(share * TURNS)))
        common.write_table("page_throughput", "A pipeline as fast as it can be, with a page", rates, _machine())
        delays = latencies(quiet, max(5.0, share * LATENCY_TURN), max(1, round(share * LATENCY_TURNS)))
        common.write_table("page_latency", "Source to published feature, with a page", delays, _machine())


def _machine() -> str:
    return f"{common.machine('bokeh', 'pyzmq')}, load {os.getloadavg()[0]:.1f} at the end"


if __name__ == "__main__":
    main()
