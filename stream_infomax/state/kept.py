"""Kept: a class declares what it keeps, and its state, its pickles and its copies follow from that."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from stream_infomax.state.file import Tree

PLAIN = (bool, int, float, str)


class Kept:
    """A class whose objects go on from a state, a pickle or a copy with the same bits.

    Pickles and copies hold every attribute. Arrays that are read-only there (joblib's memory maps) become arrays of
    the object's own, so no attribute may be a view of another one.

    Attributes
    ----------
    kept : tuple of str
        The attributes that a state holds, under their names without a leading underscore: arrays, numbers, texts,
        lists, dicts and other `Kept`. The value that an attribute has says what is accepted for it; None accepts
        anything.
    free : dict of str to tuple of int
        Axes of arrays whose length is free; the others have to be as long as they are.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    free: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def state(self) -> Tree:
        """Return everything that `restore` needs: a tree of new arrays and plain values."""
        return {name.lstrip("_"): _given(getattr(self, name)) for name in self.kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned, with arrays of its own.

        Raises
        ------
        KeyError
            Where a key is missing; names it.
        ValueError
            Where a value does not fit; names its key, the value and what is accepted.
        """
        for name in self.kept:
            key = name.lstrip("_")
            if key not in state:
                raise KeyError(f"{key}: missing in the state of {type(self).__name__}")
            setattr(self, name, _taken(getattr(self, name), state[key], key, self.free.get(name, ())))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self).copy()

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        vars(self).update({name: _owned(value) for name, value in attributes.items()})


def _given(value: Any) -> Any:
    """Return what a state holds of an attribute."""
    if isinstance(value, Kept):
        return value.state()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _given(child) for key, child in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_given(child) for child in value]
    return value


def _taken(current: Any, value: Any, key: str, free: tuple[int, ...]) -> Any:
    """Return the attribute for what a state holds of it."""
    if isinstance(current, Kept):
        with within(key):
            current.restore(value)
        return current
    if isinstance(current, np.ndarray):
        return _array(current, value, key, free)
    if isinstance(current, PLAIN):
        kind = type(current)
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        huge = kind is int and not -(2**63) <= value < 2**63 if fits else False
        if not fits or huge or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{key}: {value!r}; accepted is a value like {current!r} ({kind.__name__})")
        return kind(value)
    if isinstance(current, dict | list | tuple | deque):
        if not isinstance(value, dict if isinstance(current, dict) else list | tuple):
            raise ValueError(f"{key}: {value!r}; accepted is a {type(current).__name__}")
        if isinstance(current, Counter) or (current and isinstance(current, dict) and _are_numbers(current)):
            return type(current)(counted(value, key, current))
        new = _given(value)
        return deque(new, current.maxlen) if isinstance(current, deque) else type(current)(new)
    return _given(value)


def _are_numbers(numbers: Mapping[str, Any]) -> bool:
    return all(type(number) is int for number in numbers.values())


def counted(value: Any, key: str = "counts", known: Iterable[str] = ()) -> dict[str, int]:
    """Return counts as a state holds them: whole numbers by name.

    Raises
    ------
    ValueError
        Where they are none, too large to be sent, or one of those is missing that are `known`; names the `key`.
    """
    fits = isinstance(value, dict) and all(type(n) is int and abs(n) < 2**62 for n in value.values())
    if not fits or not set(known) <= value.keys():
        names = f", with {', '.join(known)}" if known else ""
        raise ValueError(f"{key}: {value!r:.200}; accepted are whole numbers by name{names}")
    return dict(value)


def text(value: Any, key: str) -> str:
    """Return a text as a state holds it. Raises ValueError, which names the key, where it is none."""
    if not isinstance(value, str):
        raise ValueError(f"{key}: {value!r:.80}; accepted is a text")
    return value


def _array(current: np.ndarray[Any, Any], value: Any, key: str, free: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return `value` as an array like `current`, whose `free` axes may be of another length."""
    if isinstance(value, np.ndarray) and value.shape == current.shape and value.dtype == current.dtype:
        return np.array(value, order="C")  # as nearly always, and there are many
    accepted = tuple("any" if axis in free else n for axis, n in enumerate(current.shape))
    value = np.asarray(value)
    lengths = tuple("any" if axis in free else n for axis, n in enumerate(value.shape))
    if lengths != accepted or not np.can_cast(value.dtype, current.dtype, "same_kind"):
        shape = ", ".join(map(str, accepted))
        raise ValueError(
            f"{key}: an array of shape {value.shape} and dtype {value.dtype}; accepted is ({shape}), {current.dtype}"
        )
    return np.array(value, current.dtype, order="C")


def _owned(value: Any) -> Any:
    """Return `value` with arrays that can be written to; lists and dicts stay the objects that they are."""
    if isinstance(value, np.ndarray):
        shared = isinstance(value, np.memmap) or not value.flags.writeable
        return np.array(value) if shared else value
    if isinstance(value, list):
        value[:] = [_owned(child) for child in value]
    elif isinstance(value, dict):
        for key, child in value.items():
            value[key] = _owned(child)
    elif type(value) is tuple:
        return tuple(_owned(child) for child in value)
    return value


@contextlib.contextmanager
def within(key: str) -> Iterator[None]:
    """Put `key` before the keys that errors name."""
    try:
        yield
    except (KeyError, ValueError) as error:
        raise type(error)(f"{key}.{error.args[0]}") from error
