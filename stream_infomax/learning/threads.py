"""One thread of BLAS while learning: more are slower for products of these sizes, and each number rounds differently.

Whoever has set one of the variables below has decided, and is left alone.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

_lock = threading.Lock()
_inside = 0  # so many are learning, in threads of the program
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep NumPy's products to one thread, and give back what was there before; some 10 µs."""
    if any(os.environ.get(name) for name in VARIABLES):
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            # Twice: where another thread of the program set it, threadpoolctl takes it from that one first.
            for _ in range(2):
                _limit.restore_original_limits()


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
