"""Mutations: what becomes of the bytes of messages and files where somebody means no good."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

Parts = list[bytes]

# Between the parts of a message where a whole one is one text of bytes.
BORDER = b"\xfe\xed\xbe\xef"
NUMBERS = (b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8)
# Openings of MessagePack and JSON that announce more than there is, or lie within one another.
CLAIMS = (
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"\x91" * 900 + b"\xc0", b"\x81\xa1x" * 900 + b"\xc0", b"[" * 900, b'{"a":' * 900),
    *(b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xcb\x7f\xf0\0\0\0\0\0\0", b"\xc1", b"\xd9\x02\xff\xfe", b"\xa3\xed\xa0\x80"),
)
VALUES = (
    *(0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 1e300, float("nan"), float("inf")),
    *("", "a", "\x1b[2J\x07", "\u202e", "x" * 2000, "é" * 300, b"", b"\0" * 9, None, True, [], {}, [[]], {"a": 1}),
)


def joined(parts: Sequence[bytes]) -> bytes:
    """Return the parts of a message as one text of bytes."""
    return BORDER.join(parts)


def split(content: bytes) -> Parts:
    """Return the parts of a message that `joined` has made one."""
    return content.split(BORDER)


def mutated(generator: random.Random, seeds: Sequence[Parts]) -> Parts:
    """Return a message that was one of `seeds` before something happened to it, or several things."""
    parts = list(generator.choice(seeds))
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        if generator.random() < 0.15 or not parts:
            parts = _rearranged(generator, parts, seeds)
            continue
        place = 0 if generator.random() < 0.7 else generator.randrange(len(parts))
        change = _tree if generator.random() < 0.4 else changed
        parts[place] = change(generator, parts[place])
    return parts


def changed(generator: random.Random, content: bytes) -> bytes:
    """Return bytes of which some were changed, cut out, put in or doubled."""
    start = generator.randrange(len(content) + 1)
    stop = min(len(content), start + generator.choice((0, 1, 1, 2, 4, 8, 64)))
    return generator.choice(CHANGES)(generator, content, start, stop)


def damaged(generator: random.Random, content: bytes) -> bytes:
    """Return a file after something happened to it, mostly at its head and its end."""
    for _ in range(generator.choice((1, 1, 2, 5, 30))):
        if generator.random() < 0.4 or len(content) < 2000:
            content = changed(generator, content)
            continue
        head = generator.random() < 0.7
        edge = content[:1200] if head else content[-1200:]
        edge = changed(generator, edge)
        content = edge + content[1200:] if head else content[:-1200] + edge
    return content


Change = Callable[[random.Random, bytes, int, int], bytes]
CHANGES: tuple[Change, ...] = (
    lambda generator, content, start, stop: content[:start] + generator.randbytes(stop - start) + content[stop:],
    lambda generator, content, start, stop: content[:start] + content[stop:],
    lambda generator, content, start, stop: content[:stop] + content[start:],
    lambda generator, content, start, stop: content[:start],
    lambda generator, content, start, stop: content[:start] + generator.choice(NUMBERS) + content[stop:],
    lambda generator, content, start, stop: content[:start] + generator.choice(CLAIMS) + content[stop:],
    lambda generator, content, start, stop: (
        content[:start] + bytes([content[start] ^ 1 << generator.randrange(8)]) + content[start + 1 :]
        if start < len(content)
        else content
    ),
)


def _rearranged(generator: random.Random, parts: Parts, seeds: Sequence[Parts]) -> Parts:
    """Return a message with a part too many, too few, or one of another message."""
    kind = generator.randrange(4)
    if kind == 0 or not parts:
        return [*parts, generator.randbytes(generator.choice((0, 1, 40)))]
    if kind == 1:
        return parts[: generator.randrange(len(parts))]
    if kind == 2:
        return generator.sample(parts, len(parts))
    return [*parts[:1], *generator.choice(seeds)[1:]]


def _tree(generator: random.Random, content: bytes) -> bytes:
    """Return MessagePack in which a value has become another one; other bytes are changed as such."""
    try:
        tree = msgspec.msgpack.decode(content)
        return msgspec.msgpack.encode(replaced(generator, tree))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return changed(generator, content)


def replaced(generator: random.Random, tree: object, values: Sequence[object] = VALUES) -> object:
    """Return a tree of maps and lists in which a value, somewhere, is another one, is missing or there twice."""
    if not isinstance(tree, dict | list) or not tree or generator.random() < 0.1:
        return generator.choice(values)
    if isinstance(tree, list):
        place = generator.randrange(len(tree))
        kind = generator.random()
        if kind < 0.1:
            return tree[:place] + tree[place + 1 :]
        if kind < 0.2:
            return [*tree, tree[place]]
        return [*tree[:place], replaced(generator, tree[place], values), *tree[place + 1 :]]
    key = generator.choice(list(tree))
    kind = generator.random()
    if kind < 0.1:
        return {other: value for other, value in tree.items() if other != key}
    if kind < 0.15:
        return {**tree, generator.choice(("", "x", "name", "\x1b[2J")): tree[key]}
    return {**tree, key: replaced(generator, tree[key], values)}
