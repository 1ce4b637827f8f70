"""Compiling: how a kernel is compiled by numba, and where the machine code is kept between two starts."""

from __future__ import annotations

import contextlib
import functools
import pickle
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])

# What unpickling and loading a file that is damaged may raise.
DAMAGED = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


def kernel(**options: Any) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function and keeps its machine code (`njit` with a cache).

    Where no folder can be written, it is compiled again in each process, with one warning. A cache file that is
    damaged is replaced.

    Parameters
    ----------
    **options
        Those of :func:`numba.njit`.
    """

    def decorated(function: Function) -> Function:
        compiled = njit(**options)(function)
        if compiled is function:  # NUMBA_DISABLE_JIT
            return function
        try:
            compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
        except RuntimeError:  # numba has found no folder that can be written
            _warn_of_no_cache("neither the package's folder nor the user's cache folder can be written")
        return compiled  # type: ignore[no-any-return]

    return decorated


class _Cache(FunctionCache):
    """numba's cache of a function, without which all works as well."""

    _cache_file: Any

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled before, None where there is nothing or it is damaged."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (OSError, *DAMAGED) as error:
            warnings.warn(
                f"{self.cache_path}: a file of numba's cache is damaged ({type(error).__name__}: {error}); "
                "its kernel is compiled again",
                RuntimeWarning,
                stacklevel=2,
            )
        with contextlib.suppress(OSError):
            self._cache_file.flush()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, where the disk takes it."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as error:
            _warn_of_no_cache(f"{self.cache_path}: {error.strerror or error}")


@functools.cache  # once in a process for each reason
def _warn_of_no_cache(reason: str) -> None:
    warnings.warn(
        f"compiled kernels cannot be kept: {reason}. Each start compiles them again (seconds); "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )
