"""What is seen of the threads of BLAS while something learns: to be run in a process of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from threadpoolctl import threadpool_info

from stream_infomax.learning.threads import one_thread

Seen = tuple[list[int], list[int], list[int]]  # before, inside and afterwards


def blas() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def observed(scene: Callable[..., list[int]], *given: object) -> Seen:
    import numpy  # noqa: F401

    before = blas()
    return before, scene(*given), blas()


def nested() -> list[int]:
    seen = []
    try:
        with one_thread():
            seen += blas()
            with one_thread():
                seen += blas()
            seen += blas()
            raise ZeroDivisionError
    except ZeroDivisionError:
        return seen


def few() -> list[int]:
    with one_thread(1000):
        return blas()


def side_by_side(first: str) -> list[int]:
    """Two threads of the program, of which the one that came first leaves first."""
    inside, leave, seen = threading.Event(), threading.Event(), []

    def learn() -> None:
        with one_thread():
            inside.set()
            assert leave.wait(10)
            seen.extend(blas())

    other = threading.Thread(target=learn)
    if first == "other":
        other.start()
        assert inside.wait(10)
        threading.Timer(0.2, leave.set).start()
        with one_thread():
            time.sleep(0.4)
            seen += blas()
    else:
        with one_thread():
            other.start()
            assert inside.wait(10)
            threading.Timer(0.2, leave.set).start()
    other.join()
    return seen


def many() -> list[int]:
    seen: list[int] = []
    stop = threading.Event()

    def learn() -> None:
        while not stop.is_set():
            with one_thread(), one_thread():
                seen.extend(blas())

    others = [threading.Thread(target=learn) for _ in range(4)]
    for other in others:
        other.start()
    time.sleep(0.5)
    stop.set()
    for other in others:
        other.join(10)
    assert len(seen) > 20
    return seen
