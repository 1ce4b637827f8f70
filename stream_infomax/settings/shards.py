"""Shards: which part of the files, or of the frames, of a source one of several runs takes."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, NamedTuple

from msgspec import Meta

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.types import Doc

ACCEPTED = "NUMBER/SHARDS, counted from 0, for example 2/8; or nothing"
ShardText = Annotated[
    str,
    Meta(pattern=r"^([0-9]{1,6}/[0-9]{1,6})?(?!\n)$", title=ACCEPTED),
    Doc(
        "Which shard of the data it takes, `2/8`: the third of eight; empty: all. A file belongs to a shard by a hash "
        "of its path below `path`; what is drawn or made is divided by frames. A fleet sets it."
    ),
]


class Shard(NamedTuple):
    """One of several parts that together are the whole."""

    number: int
    shards: int

    def has(self, key: bytes) -> bool:
        """Return whether what has this name belongs here; the same on every machine and in every order."""
        return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") % self.shards == self.number

    def stretch(self, length: int) -> range:
        """Return which of `length` things in a row belong here: a stretch of them."""
        return range(length * self.number // self.shards, length * (self.number + 1) // self.shards)


WHOLE = Shard(0, 1)


def shard_of(text: str) -> Shard:
    """Return the shard that a setting means. Raises SettingError where there is none of that number."""
    if not text:
        return WHOLE
    number, shards = map(int, text.split("/"))
    if number >= shards:
        raise SettingError("shard", text, ACCEPTED, f"there is no shard {number} of {shards}")
    return Shard(number, shards)
