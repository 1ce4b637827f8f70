"""Errors of states on disk. They stand apart from what needs numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a tree leads to that is not the one that is expected: keys are missing, and values are of other types.
_UNFIT = (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError, MemoryError)


class StateFileError(ValueError):
    """A state that cannot be read or written: names the file and the reason."""


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Raise ValueError, which names `what`, for whatever a saved state leads to that does not fit.

    A file can be whole and hold another tree than this version writes. All that comes of it is a sentence.

    Examples
    --------
    >>> with fitting("the state of 'learner'"):
    ...     {}["basis"]
    Traceback (most recent call last):
    ValueError: the state of 'learner': another version wrote it (KeyError: 'basis')
    """
    try:
        yield
    except StateFileError:  # it names what it is about
        raise
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    except _UNFIT as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what}: another version wrote it ({reason})") from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise StateFileError, which names the file, where what it holds does not fit; as `fitting`."""
    try:
        with fitting(str(path)):
            yield
    except StateFileError:
        raise
    except ValueError as error:
        raise StateFileError(str(error)) from error
