"""Recordings as tables: every channel is kept, which is what sensors that write WAV or FLAC want."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from stream_infomax.sources.endings import goes_on
from stream_infomax.sources.recordings import LATER_PARTS, decode, measured, reason_of
from stream_infomax.sources.table_columns import Values


class SoundTable:
    """A recording that libsndfile reads; see `Reader`. Full scale is 1, and no channel has a name.

    Raises
    ------
    ValueError
        Where it cannot be read.
    """

    clock: int | None = None
    constants: Mapping[str, str] = {}
    aside: frozenset[int] = frozenset()

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            sound = measured(path)
        except soundfile.LibsndfileError as error:
            raise ValueError(reason_of(error)) from error
        self.rows, self.rate = sound.stored, float(sound.rate)
        self.names = tuple(map(str, range(sound.channels)))
        self.numeric = (True,) * sound.channels
        self.units = ("",) * sound.channels
        self._exact = sound.exact
        self.left_out: Mapping[str, int] = {LATER_PARTS: int(goes_on(path))}

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some channels; where they cannot be sought, all before are decoded."""
        place = start if self._exact else 0
        for block in decode(self.path, place):
            first, last = max(0, start - place), min(len(block), stop - place)
            place += len(block)
            if first < last:
                yield block[first:last, list(columns)].astype(np.float64)
            if place >= stop:
                return

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the numbers of a channel as texts, for recorders that keep a trigger in one."""
        for block in self.blocks([column], 0, self.rows, Counter()):
            yield [f"{value:g}" for value in block[:, 0]]

    def times(self, column: int) -> Iterator[Values]:
        """Yield a channel as seconds."""
        for block in self.blocks([column], 0, self.rows, Counter()):
            yield block[:, 0]
