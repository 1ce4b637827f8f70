"""One thread of BLAS while learning: more are slower for products of these sizes, and each number rounds differently.

Whoever has set one of the variables below has decided, and is left alone.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from threadpoolctl import ThreadpoolController

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
IS_DECIDED = any(os.environ.get(name) for name in VARIABLES)  # BLAS has read them when it was loaded, too
# OpenBLAS takes one thread for less than 2^18.
FEW = 1 << 17


class _Limit:
    """The limit, which is the whole process's and lasts until the last thread of the program has left.

    Only the thread that set it can take it back. It waits for the others that came in meanwhile; more are let in
    when it is gone.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.own = threading.local()  # what the thread at hand has: whether it is inside, and the limit if it set it
        self.inside = 0
        self.is_ending = False

    @contextmanager
    def held(self) -> Iterator[None]:
        if getattr(self.own, "inside", False):
            yield
            return
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.is_ending)
            self.own.limit = None
            if self.inside == 0:
                self.own.limit = _controller().limit(limits=1, user_api="blas")
                self.own.limit.__enter__()
            self.inside += 1
            self.own.inside = True

    def _leave(self) -> None:
        with self.changed:
            self.own.inside = False
            self.inside -= 1
            if self.own.limit is not None:
                self.is_ending = True
                self.changed.wait_for(lambda: self.inside == 0)
                self.own.limit.__exit__(None, None, None)
                self.is_ending = False
            self.changed.notify_all()


_limit = _Limit()


def one_thread(multiplications: float = math.inf) -> AbstractContextManager[None]:
    """Return a context that keeps NumPy's products to one thread, and gives back what was there before; some 20 µs.

    Parameters
    ----------
    multiplications
        Of the largest product: few enough are done in one thread anyway.
    """
    return nullcontext() if IS_DECIDED or multiplications < FEW else _limit.held()


def _forked() -> None:
    global _limit
    _limit = _Limit()  # the threads that were inside are not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
