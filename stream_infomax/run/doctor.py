"""Doctor: what is installed, what this machine can do, and what is wrong with it, in plain words."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import zmq

from stream_infomax import __version__
from stream_infomax.configuration.load import Config
from stream_infomax.run.inputs import listed
from stream_infomax.settings.extras import EXTRAS, MissingExtraError, installed

Verdict: TypeAlias = Literal["", "ok", "careful", "wrong"]
PACKAGES = ("numpy", "numba", "pyzmq", "msgspec", "safetensors", "soundfile")
# What `adjtimex` returns where nothing keeps the clock right.
TIME_ERROR = 5
# Before this was written.
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
PINGS = 500
# How much faster than the data it has to be: a machine that is busier for a moment still keeps up.
ROOM = 1.5


class Finding(NamedTuple):
    """One thing that was looked at; `verdict` is empty where there is nothing to judge."""

    title: str
    verdict: Verdict
    text: str


def look(config: Config | None, seconds: float) -> Iterator[Finding]:
    """Yield what is found, one after the other.

    Parameters
    ----------
    config
        Measured too, where it is given.
    seconds
        How long that is measured.
    """
    yield from _machine()
    yield from _packages()
    yield _kernels()
    yield _clock()
    yield from _sockets()
    yield _inputs()
    yield _disk(Path(config.run.folder) if config else Path())
    if config is not None:
        yield _rate(config, seconds)


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, {cores} cores, {memory:.1f} GiB of memory"
    yield Finding("version", "", f"stream_infomax {__version__}, Python {platform.python_version()}")
    yield Finding("machine", "", system)


def _packages() -> Iterator[Finding]:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield Finding("packages", "", f"{versions}, libzmq {zmq.zmq_version()}")
    extras: dict[str, list[str]] = {}
    for package, extra in EXTRAS.items():
        extras.setdefault(extra, [])
        if not installed(package):
            extras[extra].append(package)
    there = [extra for extra, missing in extras.items() if not missing]
    lacking = [extra for extra, missing in extras.items() if missing]
    yield Finding("extras", "", f"installed: {', '.join(sorted(there)) or 'none'}")
    if lacking:
        names = ",".join(sorted(lacking))
        yield Finding("", "", f'not installed: {names.replace(",", ", ")}; pip install "stream_infomax[{names}]"')


def _kernels() -> Finding:
    """Say whether compiled kernels can be kept."""
    try:
        from stream_infomax.learning.kernels import compile_kernels

        begun = time.perf_counter()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            compile_kernels()
        taken = time.perf_counter() - begun
    except ImportError as error:
        return Finding("kernels", "wrong", f"numba cannot be loaded: {error}; only the stage `encoder` works without")
    if said:
        return Finding("kernels", "careful", str(said[0].message))
    return Finding("kernels", "ok", f"compiled and kept; loading them takes {taken:.1f} s")


def _clock() -> Finding:
    """Look for a clock that runs wrong, that jumps, or that nobody sets."""
    begun = time.time(), time.monotonic()
    time.sleep(0.2)
    apart = abs((time.time() - begun[0]) - (time.monotonic() - begun[1]))
    if begun[0] < EARLIEST:
        return Finding("clock", "wrong", f"it says {datetime.fromtimestamp(begun[0], UTC):%Y-%m-%d %H:%M} UTC; set it")
    if apart > 0.01:
        return Finding("clock", "wrong", f"it jumped by {apart:.3f} s within 0.2 s: times of frames would, too")
    if sys.platform == "linux" and ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) == TIME_ERROR:
        text = "nothing keeps it in step with others (NTP); times of two machines cannot be compared"
        return Finding("clock", "careful", text)
    return Finding("clock", "ok", "it runs evenly")


def _sockets() -> Iterator[Finding]:
    """Send messages there and back, over both kinds of sockets."""
    with tempfile.TemporaryDirectory() as folder:
        times = {"Unix socket": _ping(f"ipc://{folder}/ping"), "TCP": _ping("tcp://127.0.0.1:*")}
    found = ", ".join(f"{name} {1e6 * median:.0f} µs (99 %: {1e6 * p99:.0f})" for name, (median, p99) in times.items())
    slow = max(p99 for _, p99 in times.values()) > 0.005
    text = f"there and back: {found}"
    yield Finding("sockets", "careful" if slow else "ok", text + ("; this machine is busy" if slow else ""))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        yield Finding("", "careful", f"{soft} open files are allowed (ulimit -n); many devices need more, up to {hard}")
    if not zmq.has("curve"):
        yield Finding("", "careful", "libzmq was built without CURVE: connections cannot be encrypted")


def _ping(address: str) -> tuple[float, float]:
    """Return the median and the 99th percentile of seconds there and back."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind(address)
        other.connect(one.getsockopt_string(zmq.LAST_ENDPOINT))
        times = []
        for _ in range(PINGS):
            begun = time.perf_counter()
            one.send(b"ping")
            other.send(other.recv())
            one.recv()
            times.append(time.perf_counter() - begun)
    times.sort()
    return times[PINGS // 2], times[PINGS * 99 // 100]


def _inputs() -> Finding:
    """Return how many inputs there are of each kind that can be looked for."""
    found = [f"{len(there)} {title.partition(' (')[0]}" for title, there, problem in listed() if not problem]
    return Finding("inputs", "", f"{', '.join(found)}; stream-infomax devices lists them")


def _disk(folder: Path) -> Finding:
    """Write, sync and remove a file where the run folder is or will be."""
    place = folder.absolute()
    while not place.is_dir():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            begun = time.perf_counter()
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            taken = time.perf_counter() - begun
    except OSError as error:
        return Finding("disk", "wrong", f"{place} cannot be written: {error.strerror}")
    free = shutil.disk_usage(place).free / 2**30
    verdict: Verdict = "careful" if free < 1 or taken > 0.5 else "ok"
    return Finding("disk", verdict, f"{place}: {free:.1f} GiB free; a checkpoint of 1 MiB takes {1e3 * taken:.0f} ms")


def _rate(config: Config, seconds: float) -> Finding:
    from stream_infomax.run.sustained import sustained

    try:
        found = sustained(config, seconds)
    except (ValueError, MissingExtraError) as error:
        return Finding("rate", "wrong", str(error))
    data = "noise in place of the data" if found.noise else "its own data"
    text = f"{found.frames:,.0f} frames, {found.rows:,.0f} rows a second on one core, with {data}"
    if not found.warm:
        text += "; the warm-up was not over"
    if not found.times:
        return Finding("rate", "ok", text)
    text += f": {found.times:,.1f} times as fast as they come; slowest frame {1e3 * found.slowest:.1f} ms"
    if found.times < 1:
        return Finding("rate", "wrong", f"{text}. That is too slow; fewer components or a larger hop make it faster")
    return Finding("rate", "ok" if found.times > ROOM else "careful", text)
