"""What does the journal of a live source cost per frame, in time and in bytes?

Frames of three kinds are written as a live source writes them: a message is in the file when the call returns. The
time is that of the call, the encoding of the frame not included, which a frame that is published costs anyway. Bytes
are those of the finished files, beyond the values themselves, and beyond the frame as it is sent.
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from common import RESULTS, machine, write_table  # first: it pins the threads

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.journal.journal import Journal
from stream_infomax.journal.mending import parts_in
from stream_infomax.journal.reading import PartReader
from stream_infomax.journal.settings import JournalSettings

KINDS = {
    "sensor, 10 rows of 3": (10, 3),
    "sound, 20 ms at 16 kHz": (320, 1),
    "picture, 160 x 120": (160 * 120, 1),
}
SECONDS = {"a second": 1.0, "each frame": 0.0}


def frames(shape: tuple[int, int], n: int):
    """Yield frames with random values."""
    rows = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
    first = Frame("device", 0, "2026-01-01T00:00:00.000Z", time=1.8e9, rate=16000.0)
    for offset in range(n):
        arrays = {"source": Array(rows[offset % 16], ("time", "channel"))}
        yield msgspec.structs.replace(first, offset=offset, arrays=arrays, time=first.time + offset / 50)


def measured(folder: Path, name: str, shape: tuple[int, int], flush: float, n: int) -> dict[str, str]:
    """Write and read frames of a kind, and return a row of the table."""
    journal = Journal(folder, "log", JournalSettings(enabled=True, flush_seconds=flush, keep=0))
    took, sent = [], 0
    for frame in frames(shape, n):
        parts = wire.encode(frame)
        sent += sum(map(len, parts))
        begin = time.perf_counter()
        journal.append(frame, parts)
        took.append(time.perf_counter() - begin)
    journal.close()
    size = sum(path.stat().st_size for path in parts_in(folder))
    begin = time.perf_counter()
    read = sum(1 for path in parts_in(folder) for _ in PartReader(path).entries())
    reading = (time.perf_counter() - begin) / read
    shutil.rmtree(folder)
    p50, p99, worst = np.quantile(took, [0.5, 0.99, 1.0]) * 1e6
    return {
        "frame": name,
        "flushed after": next(text for text, seconds in SECONDS.items() if seconds == flush),
        "frames": f"{n:,}",
        "written, µs: median": f"{p50:.1f}",
        "p99": f"{p99:.1f}",
        "slowest": f"{worst:.0f}",
        "read, µs": f"{reading * 1e6:.1f}",
        "bytes beyond the values": f"{size / n - 4 * np.prod(shape):.0f}",
        "beyond the frame": f"{(size - sent) / n:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=50_000, help="of each kind (a tenth where each is flushed)")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, shape in KINDS.items():
        for flush in SECONDS.values():
            n = given.frames if flush else given.frames // 10
            n = min(n, 2**30 // (4 * int(np.prod(shape))))
            with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
                rows.append(measured(Path(folder) / "journal", name, shape, flush, n))
            print(rows[-1], flush=True)
    write_table("journal_cost", "The cost of a journal", rows, f"{machine()}.")


if __name__ == "__main__":
    main()
