"""Journals for tests: frames, folders of parts written from them, and lives of a source that keeps one."""

import numpy as np
from helpers.toys import Device

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.journal.settings import JournalSettings
from stream_infomax.service.process import FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.settings.record import make
from stream_infomax.sinks.store import FrameStore


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


def push(device, numbers, end=False):
    last = list(numbers)[-1]
    for number in numbers:
        device.send_string(f"{number} end" if end and number == last else str(number))


class Life:
    """Lives of a source in this process, with a recorder."""

    def __init__(self, folder, source=None, log_bytes=64 << 20, **journal):
        self.folder = folder
        self.source = source or (lambda: Device(f"ipc://{folder}/device"))
        settings = JournalSettings(enabled=True, **journal)
        self.service = Service(
            name="source",
            outlet="",
            tap=f"ipc://{folder}/tap",
            folder=folder / "source",
            log_bytes=log_bytes,
            journal=settings,
        )

    def opened(self, signals):
        return opened(
            self.service, FromSource(self.source()), Pipeline([]), [FrameStore(self.folder / "kept")], signals
        )

    def kept(self):
        return [(frame.offset, int(frame.labels["number"])) for frame in FrameStore(self.folder / "kept").frames()]


def until(loop, offset):
    while loop.newest < offset:
        loop.turn()


def damaged(path, number):
    """Change a byte in the data of a frame in a part, counted from its first."""
    content = bytearray(path.read_bytes())
    at = content.find(frame(number).arrays["source"].data.tobytes())
    assert at > 0
    content[at] ^= 0xFF
    path.write_bytes(content)
