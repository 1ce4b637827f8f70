"""One thread of BLAS while learning: more are slower for products of these sizes, and each number rounds differently.

The variable STREAM_INFOMAX_BLAS_THREADS says another number. Those of BLAS itself do not: schedulers of clusters and
joblib set them for whatever they start.
"""

from __future__ import annotations

import functools
import math
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Generic, TypeVar

from threadpoolctl import ThreadpoolController

from stream_infomax.settings.error import SettingError

VARIABLE = "STREAM_INFOMAX_BLAS_THREADS"
# Where all of these are 1, as in the processes of a run, nothing is left to do.
OF_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
IS_ONE = VARIABLE not in os.environ and all(os.environ.get(name) == "1" for name in OF_BLAS)
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
                self.own.limit = _controller().limit(limits=wanted(), user_api="blas")
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
    return nullcontext() if IS_ONE or multiplications < FEW else _limit.held()


def _forked() -> None:
    global _limit
    _limit = _Limit()  # the threads that were inside are not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


Result = TypeVar("Result")


class Beside(Generic[Result]):
    """A call that is under way in a thread of its own, beside whoever made it.

    Parameters
    ----------
    function, arguments
        What is called. Its products are to round as those of the caller: see `possible`.
    """

    # Elsewhere the limit, which is the whole process's, would let the caller wait for the thread.
    possible = IS_ONE
    # Those that a fork has to wait for: in the child their threads would be gone, and what they hold locked for ever.
    under_way: ClassVar[weakref.WeakSet[Beside[Any]]] = weakref.WeakSet()

    def __init__(self, function: Callable[..., Result], *arguments: Any) -> None:
        self._found: list[Result] = []
        self._thread = threading.Thread(target=lambda: self._found.append(function(*arguments)))
        self.under_way.add(self)
        self._thread.start()

    def result(self) -> Result | None:
        """Wait for what it returns; None where it failed."""
        self._thread.join()
        self.under_way.discard(self)
        return self._found[0] if self._found else None


def _before_fork() -> None:
    for beside in list(Beside.under_way):
        beside.result()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


@functools.cache
def wanted() -> int:
    """Return the number of threads to learn with.

    Raises
    ------
    SettingError
        Where the variable that says it is no whole number above 0.
    """
    text = os.environ.get(VARIABLE, "1")
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise SettingError(VARIABLE, text, "a whole number >= 1")
    return int(text)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
