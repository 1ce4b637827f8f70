"""Beside: the page of a run as a process beside it, whose death never hurts the run."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from stream_infomax.run.folder import PAGE_LOG, RunFolder
from stream_infomax.run.program import module
from stream_infomax.service.parent import PARENT
from stream_infomax.settings.printable import printable
from stream_infomax.state.regular import open_regular

# Seconds until the page has an address, and until it has said good-bye to those who look at it.
START, END = 30.0, 5.0


@contextmanager
def page_beside(folder: RunFolder) -> Iterator[None]:
    """Serve the page of a run meanwhile, and say where.

    Parameters
    ----------
    folder
        Of the run.
    """
    log = folder.path / PAGE_LOG
    over = Event()
    with open_regular(log, "ab", follow=False) as errors:
        child = subprocess.Popen(
            module("stream_infomax.cli", "page", str(folder.path), "--child"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONUTF8": "1", PARENT: str(os.getpid())},
            # Ctrl-C in a terminal reaches all processes of a group; the run ends the page, after its last words.
            start_new_session=True,
        )
    try:
        if address := _first_line(child):
            print(f"page: {printable(address)}", flush=True)
            Thread(target=_await, args=(child, over, folder), daemon=True).start()
        else:
            print(f"no page: it could not be started; {printable(str(log))} says why", file=sys.stderr, flush=True)
        yield
    finally:
        over.set()
        child.terminate()
        try:
            child.wait(END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _await(child: subprocess.Popen[bytes], over: Event, folder: RunFolder) -> None:
    """Say where the page ends before the run is over."""
    code = child.wait()
    if not over.is_set():
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        again = f"`stream-infomax page {folder.path}` serves another one"
        words = f"the page has ended ({how}; see {folder.path / PAGE_LOG}); the run goes on; {again}"
        print(printable(words), file=sys.stderr, flush=True)


def _first_line(child: subprocess.Popen[bytes]) -> str:
    """Return what a process says first, empty where it ends before."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], START)
    return child.stdout.readline().decode(errors="replace").strip() if ready else ""
