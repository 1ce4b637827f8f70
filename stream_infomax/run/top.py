"""Top: several runs, watched in a terminal, as plain lines or as JSON."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.live import Live

from stream_infomax.frames.event import event_line
from stream_infomax.run.followed import Followed
from stream_infomax.service.signals import stop_signals
from stream_infomax.settings.printable import as_json, printable
from stream_infomax.watch.overview import Overview
from stream_infomax.watch.report import report

# Seconds between two pictures, two plain lines and two lines of JSON.
DRAW, LINE, JSON = 0.5, 2.0, 1.0
# Letters of a run's name before a plain line.
NAME = 40


def watch(runs: Sequence[Followed], *, json: bool, plain: bool) -> None:
    """Show how runs are, until a signal, the key q, or, without a terminal, the end of all of them."""
    asyncio.run(_watch(runs, json=json, plain=plain))


async def _watch(runs: Sequence[Followed], *, json: bool, plain: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, over.set)
    following = [asyncio.create_task(run.follow()) for run in runs]
    for task in following:
        task.add_done_callback(lambda task: over.set())  # one that ends by itself has failed
    try:
        if json:
            await _print(runs, _as_json, JSON, over)
        elif plain:
            await _print(runs, _Lines(), LINE, over)
        else:
            await _draw(runs, over)
    finally:
        for task in following:
            task.cancel()
        ended = await asyncio.gather(*following, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _draw(runs: Sequence[Followed], over: asyncio.Event) -> None:
    live = Live(Overview(runs), console=Console(), auto_refresh=False, screen=True, vertical_overflow="crop")
    with ExitStack() as stack:
        stack.enter_context(_keys(over))
        stack.enter_context(live)
        while not over.is_set():
            live.refresh()
            await _until(over, DRAW)


async def _print(runs: Sequence[Followed], told: Callable[[Followed], str], every: float, over: asyncio.Event) -> None:
    """Print what there is to say of each run, until all have finished."""
    while not over.is_set():
        await _until(over, every)
        for run in runs:
            if line := told(run):
                print(line, flush=True)
        if all(run.state == "finished" for run in runs):
            return


async def _until(over: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        pass


def _as_json(run: Followed) -> str:
    return as_json(report(run.place.name, run.place.run or "", run.state, run.problem, run.board))


class _Lines:
    """What is new of a run: its events, and a line that says how it is."""

    def __init__(self) -> None:
        self._said: dict[int, str] = {}

    def __call__(self, run: Followed) -> str:
        title = run.board.title
        events = [printable(f"{title}: {event_line(event)}") for event in run.board.untold()]
        head = f"{title if len(title) <= NAME else f'…{title[1 - NAME :]}'}: {run.state}"
        line = f"{title}: {run.problem}" if run.problem else run.board.line(head)
        new = [line] if self._said.get(id(run)) != line else []
        self._said[id(run)] = line
        return "\n".join([*events, *new])


@contextmanager
def _keys(over: asyncio.Event) -> Iterator[None]:
    """Listen to the keyboard, where there is one: q ends it all."""
    if not sys.stdin.isatty():
        yield
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()

    def pressed() -> None:
        if not (keys := os.read(number, 64)) or b"q" in keys.lower():  # nothing: the terminal is closed
            over.set()

    tty.setcbreak(number)
    loop.add_reader(number, pressed)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
