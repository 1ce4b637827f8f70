"""Journals for tests: frames, and folders of parts written from them."""

import numpy as np

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.journal.settings import JournalSettings
from stream_infomax.settings.record import make


def frame(offset, stream="mic", dtype="float32", **changes):
    """Return frame number `offset`: ten rows of two values, a tenth of a second."""
    rows = np.random.default_rng(offset).normal(size=(10, 2)) * 100
    array = Array(rows.astype(dtype), ("time", "channel"))
    given = {"segment": "one", "time": 100 + offset / 10, "rate": 100.0, **changes}
    return Frame(stream, offset, arrays={"source": array}, **given)


def label(offset, stream="mic"):
    return Frame(stream, offset, "one", labels={"word": "größer"})


def settings(**changes):
    return make(JournalSettings, {"enabled": True, "flush_seconds": 60.0, "part": "32 KiB", **changes})


def write(journal, frames, notes=b""):
    """Write frames; return their bytes."""
    written = []
    for one in frames:
        written.append(wire.encode(one))
        assert journal.append(one, written[-1], notes)
    return written


def read(journal, start=0):
    """Return the bytes of the frames from an offset on."""
    return [[bytes(part) for part in entry.parts] for entry in journal.entries(start)]
