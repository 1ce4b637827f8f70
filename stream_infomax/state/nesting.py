"""How deep maps and lists from outside lie in one another, looked at before they are decoded.

Decoders call themselves for each level: whoever sends brackets within brackets would use up the stack.
"""

from __future__ import annotations

import re

import numpy as np

# No message and no file of this package has more than a dozen.
DEEPEST = 64
# More values than any header, request or status has; to look at so many takes some milliseconds.
MOST_VALUES = 1 << 16

# What may begin a map or a list in MessagePack. Within texts and numbers these bytes mean something else.
_BEGIN = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_OTHERS = bytes(set(range(256)).difference(_BEGIN))
# How many bytes follow the first one of a value; of texts and the like, how many say how long it is.
_FOLLOW = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FOLLOW |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_LENGTH = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
# One that nobody closes goes on to the end.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class NestedError(ValueError):
    """A message that is nested too deep to be decoded."""

    def __init__(self) -> None:
        super().__init__(f"nested deeper than {DEEPEST} levels, or of more than {MOST_VALUES:,} values")


def check_packed(message: bytes | memoryview) -> None:
    """Raise NestedError where MessagePack is nested too deep; what is no MessagePack passes, as its decoder says so.

    Examples
    --------
    >>> check_packed(b"\\x91" * 1000 + b"\\xc0")
    Traceback (most recent call last):
    stream_infomax.state.nesting.NestedError: nested deeper than 64 levels, or of more than 65,536 values
    """
    held = message if isinstance(message, bytes) else bytes(message)
    if len(held.translate(None, _OTHERS)) > DEEPEST and _is_deep(held):
        raise NestedError


def _is_deep(message: bytes) -> bool:
    """Return whether the values in a message are nested too deep, or too many."""
    left = [1]  # values that are missing in each of the maps and lists that are open
    place = 0
    for _ in range(MOST_VALUES):
        while left and not left[-1]:
            left.pop()
        if not left or place >= len(message):
            return False
        left[-1] -= 1
        first = message[place]
        place += 1
        if 0x80 <= first < 0xA0:
            left.append((first & 15) * (2 if first < 0x90 else 1))
        elif 0xDC <= first < 0xE0:
            size = 4 if first & 1 else 2
            left.append(int.from_bytes(message[place : place + size]) * (1 if first < 0xDE else 2))
            place += size
        elif 0xA0 <= first < 0xC0:
            place += first & 31
        elif first in _LENGTH:
            size = _LENGTH[first]
            place += size + (0xC7 <= first < 0xCA) + int.from_bytes(message[place : place + size])
        else:
            place += _FOLLOW.get(first, 0)
        if len(left) > DEEPEST + 1:
            return True
    return True


def check_json(text: bytes) -> None:
    """Raise NestedError where JSON is nested too deep; what is no JSON passes, as its decoder says so.

    Examples
    --------
    >>> check_json(b'{"a": "[[[["}')
    """
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return
    signs = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    opened = (signs == ord("[")) | (signs == ord("{"))
    closed = (signs == ord("]")) | (signs == ord("}"))
    if np.cumsum(opened.astype(np.int64) - closed).max(initial=0) > DEEPEST:
        raise NestedError
