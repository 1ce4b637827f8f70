"""Offsets that float64 and 32 bits do not hold: each stays what it is, on the wire, on the disk and over a restart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers.extras import needs
from helpers.stepping import step

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Output, Pipeline
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.run.feature_files import write_frames
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.service.process import FromLog, FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.transport import messages
from stream_infomax.transport.observer import Observer
from stream_infomax.watch import history

N = 6
FIRST = [2**32 - 3, 2**53 - 1, 2**63 - 20]


class Endless:
    """A live source that always has a frame, as many as it is told."""

    name = "x"
    sockets: Sequence[Any] = ()

    def __init__(self, n: int) -> None:
        self.lost: Counter[str] = Counter()
        self.left = n

    def open(self) -> None:
        """There is no device."""

    def close(self) -> None:
        """There is no device."""

    @property
    def finished(self) -> bool:
        return self.left == 0

    def due(self) -> float:
        return 0.0

    def receive(self) -> Frame | None:
        if self.finished:
            return None
        self.left -= 1
        rows = np.full((2, 3), self.left, np.float32)
        return Frame("a", arrays={"x": Array(rows, ("time", "channel"))}, end=self.finished, rate=50.0)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """It goes on."""

    def counts(self) -> dict[str, float]:
        return {}


class Heard(Observer):
    """An observer that keeps what it hears, as it travels."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.statuses: list[messages.Status] = []

    def frame(self, output: Output) -> None:
        assert wire.decode(output.parts).offset == output.frame.offset
        self.offsets.append(output.frame.offset)

    def status(self, status: messages.Status) -> None:
        self.statuses.append(messages.decode_status(messages.encode(status)))


def live(folder: Path, n: int, first: int | None = None) -> tuple[Heard, FrameStore]:
    """Run a source, and a learner that reads it; return what the learner's observer heard, and its frames."""
    heard, store = Heard(), FrameStore(folder / "store", "store")
    log, tap = f"ipc://{folder}/outlet", f"ipc://{folder}/tap"
    upper = Service(name="source", outlet=log, tap=tap, folder=folder / "source", readers=("learner",))
    lower = Service(name="learner", outlet="", tap="", folder=folder / "learner")
    learner = LearnerStage("learner", "x", ("x",), budget_ms=1.0)
    with (
        closing(Signals()) as signals,
        opened(upper, FromSource(Endless(n)), Pipeline([]), (), signals) as source,
        opened(lower, FromLog(log), Pipeline([learner]), [store], signals, beside=[heard]) as reader,
    ):
        if first is not None:
            source.feed.seek(first)
            reader.feed.seek(first)
        while not (reader.finished and source.done()):
            step(source)
            step(reader)
        reader.report()
    return heard, store


@pytest.mark.parametrize("first", FIRST)
def test_offsets_stay_what_they_are(tmp_path: Path, first: int) -> None:
    heard, store = live(tmp_path, N, first)
    offsets = list(range(first, first + N))
    assert heard.offsets == offsets
    assert heard.statuses[-1].processed == heard.statuses[-1].newest == offsets[-1]
    assert [frame.offset for frame in store.frames()] == offsets
    saved = Checkpoints(tmp_path / "source").latest()
    assert saved is not None
    assert saved.processed == offsets[-1]
    assert saved.sinks["source"]["committed"] == {"learner": offsets[-1]}

    write_frames(tmp_path / "all.npz", store.frames)
    with np.load(tmp_path / "all.npz") as arrays:
        assert arrays["frames/offset"].tolist() == offsets
        assert arrays["rows/x"].tolist() == np.repeat(offsets, 2).tolist()


@needs("pyarrow")
@pytest.mark.parametrize("first", FIRST)
def test_files_of_columns_hold_them(tmp_path: Path, first: int) -> None:
    import pyarrow.parquet as pq

    frames = [Frame("a", at, arrays={"x": Array(np.ones((1, 2), np.float32), ("time", "channel"))}) for at in (first,)]
    write_frames(tmp_path / "all.parquet", lambda: iter(frames))
    found = [pq.read_table(path).column("offset").to_pylist() for path in tmp_path.rglob("*.parquet")]
    assert found == [[first]]


@pytest.mark.parametrize("position", FIRST)
def test_text_holds_them(tmp_path: Path, position: int) -> None:
    event = Event(stage="learner", position=position, kind="change", text="it changed")
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
    written = history.History(tmp_path / "history.csv")
    written.append(1.0, [Measure("learner", "", "objective", 2.0, position)])
    written.close()
    assert f",{position},".encode() in (tmp_path / "history.csv").read_bytes()
