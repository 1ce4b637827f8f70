"""What `page.py` measures with: services that only say that they run, a page, and a browser that looks at it."""

import common  # isort: skip  # noqa: F401  (pins threads)
import base64
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import zmq
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service as Driver

from stream_infomax.configuration.load import convert
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Account
from stream_infomax.frames.measure import Measure
from stream_infomax.page.server import COMPRESSION
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.place import place_of
from stream_infomax.service.status import Meter
from stream_infomax.transport import messages
from stream_infomax.transport.messages import Status
from stream_infomax.transport.sockets import send
from stream_infomax.transport.tap import SAMPLED, Tap

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"}
CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
# A frame has 20 ms; of sound at 16 kHz those are 5 rows of 64 samples.
FRAMES_A_SECOND, STATUSES_A_SECOND, ROWS, K = 50, 4, 5, 64
# Frames between two bases of a learner: at 250 rows a second, 5 % more rows after 4 minutes.
BASIS_EVERY = 500
LOG = "0123456789abcdef"
# Bytes around a message on the line.
HEAD = 4


def begun(folder: Path, n_services: int) -> None:
    """Make the folder of a run with a source and learners, of which none is there."""
    source = {"kind": "synthetic", "n_sources": K, "rows": ROWS, "frames": 10**9, "rate": 250.0}
    stages = [{"name": f"learner{number}", "kind": "learner"} for number in range(1, n_services)]
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.begin(convert({"run": {"folder": str(folder)}, "source": source, "stage": stages}), in_process=False)


class Pretended:
    """A service that does nothing, and says what one says that works.

    Parameters
    ----------
    name, run
        Of the service, and the id of the run.
    tap
        Where it says it.
    """

    def __init__(self, name: str, run: str, tap: Tap) -> None:
        self.name, self.tap = name, tap
        self._run, self._log = run, LOG
        self._meter = Meter()
        self._account = Account(name, "stage")
        self._rng = np.random.default_rng(len(name))
        self._events: list[Event] = []

    def frame(self, offset: int, seconds: float) -> Output:
        """Return what the service makes of a frame that begins after so many seconds of stream time."""
        rows = self._rng.standard_normal((ROWS, K)).astype(np.float32)
        frame = Frame("source", offset, "", {self.name: Array(rows, ("time", "component"))}, time=seconds, rate=250.0)
        now = time.time()
        self._meter.count(frame, now - 0.001, now - 0.002)
        self._account.accept("source", ROWS)
        self._account.process("source", ROWS)
        return Output(frame, self._log, now - 0.002)

    def publish(self, output: Output, everything: bool) -> None:
        """Send a frame to viewers, of whom the tap has some only, or all."""
        if everything:
            head = messages.encode(messages.Sent(self._log, output.frame.offset, time.time(), output.origin))
            send(self.tap.socket, (SAMPLED, head, *output.parts))
        else:
            self.tap.frame(output)

    def basis(self, offset: int) -> None:
        """Say with what the frames from an offset on are encoded."""
        if self.name == "source":
            return
        mixing = np.linalg.qr(self._rng.standard_normal((K, K)))[0].astype(np.float32)
        ones = np.ones(K, np.float32)
        self.tap.basis(
            Basis(
                stage=self.name, encoder="e", version=f"{offset:012x}", offset=offset, output="potential",
                amplitude=1.0, mean=np.zeros(K), components=mixing.T.copy(), mixing=mixing, beta=ones, bias=0 * ones,
                axes=("sample",), shape=(K,),
            )
        )  # fmt: skip

    def happen(self, offset: int) -> None:
        """Say that something happened."""
        text = f"rows are {1 + self._rng.random():.2f} times as long as before over 6 blocks"
        self._events = [*self._events, Event(stage=self.name, position=offset * ROWS, kind="change", text=text)][-16:]

    def status(self, offset: int) -> None:
        """Say how the service is."""
        position = ROWS * (offset + 1)
        values = {"objective": 90 + 1e6 / (position + 1e4), "entropy": 1.8, "information": 300.0}
        measures = [] if self.name == "source" else [Measure(self.name, "", k, v, position) for k, v in values.items()]
        told = Status(
            name=self.name,
            run=self._run,
            log=self._log,
            processed=offset,
            newest=offset,
            committed={"next": offset},
            finished=False,
            log_frames=8,
            log_bytes=10_000,
            log_fill=0.1,
            dropped=0,
            lost={},
            refused={},
            expected=0,
            counts={},
            ledger=[self._account.balance({})],
            measures=measures,
            events=self._events,
            checkpoint=offset,
            last_checkpoint=time.time(),
            **self._meter.read()._asdict(),
        )
        self.tap.status(told)


def publish(folder: Path, total: int, seconds: float, span: float) -> None:
    """Be all services of a run.

    Parameters
    ----------
    folder
        As `begun` made it.
    total
        Frames of each service, after which it ends; 0: for ever, at the rate of a real one.
    seconds
        In which all of them are sent, whether a viewer needs them or not.
    span
        Seconds of stream time that they stand for.
    """
    place = place_of(folder)
    context = zmq.Context()
    services = [Pretended(name, place.run or "", Tap(context, address)) for name, address in place.taps.items()]
    print("READY", flush=True)
    rate = total / seconds if total else FRAMES_A_SECOND
    statuses = max(1, round(rate / STATUSES_A_SECOND) if not total else 3)
    begin = time.monotonic()
    offset = 0
    while not total or offset < total:
        time.sleep(max(0.0, begin + offset / rate - time.monotonic()))
        for service in services:
            service.tap.attend()
            output = service.frame(offset, offset * (span / total if total else 1 / FRAMES_A_SECOND))
            service.publish(output, everything=bool(total))
            if offset % BASIS_EVERY == 0:
                service.basis(offset)
            if total and offset % 1000 == 999:
                service.happen(offset)
            if offset % statuses == 0:
                service.status(offset)
        offset += 1


def serve_counting(folder: Path, every_ms: int) -> None:
    """Serve the page of a run, refreshed so often; print how many frames it took, when it ends."""
    from stream_infomax.page import document, watched
    from stream_infomax.run.page import serve

    document.EVERY_MS = every_ms
    take, taken = watched.Watched.frame, 0

    def counted(self: watched.Watched, service: str, frame: Frame) -> None:
        nonlocal taken
        taken += 1
        take(self, service, frame)

    watched.Watched.frame = counted
    serve(place_of(folder), "127.0.0.1", 0)
    print(taken, flush=True)


@contextmanager
def running(*command: object, quiet: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a program of Python; give its process and its first line; end it after the block."""
    line = ["nice", "-n", str(quiet), sys.executable, "-P", *map(str, command)]
    with subprocess.Popen(line, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def browser(quiet: int = 0) -> Iterator[webdriver.Chrome]:
    """Give a Chromium without a window, at this priority; 19 takes only what nobody else needs."""
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.add_argument("--js-flags=--expose-gc")
    options.add_argument("--enable-precise-memory-info")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = Driver(CHROMEDRIVER)
    before = os.nice(0)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        for process in processes(driver):
            process.nice(max(before, quiet))
        yield driver
    finally:
        driver.quit()


def processes(driver: webdriver.Chrome) -> list[psutil.Process]:
    """Return all processes of a browser."""
    parent = psutil.Process(driver.service.process.pid)
    return parent.children(recursive=True)


PICTURE = """
const document_ = window.Bokeh && Bokeh.documents && Bokeh.documents[0];
const state = document.getElementById("state");
return Boolean(document_ && document_.is_idle && state && state.textContent.trim().startsWith("frame"));
"""


def look(driver: webdriver.Chrome, url: str) -> float:
    """Open the page; return the seconds until its figures and texts are there."""
    start = time.monotonic()
    driver.get(url)
    while not driver.execute_script(PICTURE):
        if time.monotonic() > start + 60:
            raise SystemExit(f"{url}: no picture after 60 s")
        time.sleep(0.01)
    return time.monotonic() - start


class Line:
    """What a browser's page is sent over its connection.

    The browser tells what the messages hold; what went over the line is what they take when they are compressed as the
    server does it.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        self._deflate = zlib.compressobj(COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS, COMPRESSION)

    def received(self) -> tuple[int, int]:
        """Return the bytes of the messages since the last time, and what went over the line."""
        total = sent = 0
        for entry in self._driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.webSocketFrameReceived":
                response = message["params"]["response"]
                payload = response["payloadData"]
                content = payload.encode() if response["opcode"] == 1 else base64.b64decode(payload)
                packed = self._deflate.compress(content) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                total += len(content)
                sent += len(packed) - 4 + HEAD  # what ends each flush does not go
        return total, sent


def seconds_of(*found: psutil.Process) -> float:
    """Return the seconds of a processor that processes have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in found)


def memory(process: psutil.Process, driver: webdriver.Chrome) -> dict[str, float]:
    """Return the megabytes of the server, of the browser, and of the page's JavaScript."""
    driver.execute_script("window.gc && gc()")
    heap = driver.execute_script("return performance.memory.usedJSHeapSize")
    own = [one.memory_full_info().pss for one in processes(driver)]
    return {"server": process.memory_info().rss / 1e6, "browser": sum(own) / 1e6, "script": heap / 1e6}
