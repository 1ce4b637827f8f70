"""Recorder: keeps what a service publishes. Parts on disk while it runs, of which one NPZ file can be made at the end.

A part is written before it is committed, so that whatever is killed, every frame ends up in the file once.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame
from stream_infomax.service.loop import FAREWELL
from stream_infomax.service.process import guard
from stream_infomax.service.signals import Signals
from stream_infomax.state import file as state_file
from stream_infomax.state.numbered import next_number, numbered
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.log import pack, unpack
from stream_infomax.transport.sockets import LINGER_MS

_NAME = re.compile(r"part-([0-9]+)\.safetensors")
PART_FRAMES = 512
PART_BYTES = 64 << 20


class FrameStore:
    """Frames in a folder, in parts.

    Parameters
    ----------
    folder
        Made where it is missing; what it holds is continued.

    Attributes
    ----------
    next
        The offset after the last one on disk.
    log_id
        The log that they come from.
    finished
        Whether the stream had ended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next = 0
        self.log_id = ""
        self.finished = False
        self._frames: list[tuple[int, list[bytes]]] = []
        self._n_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        parts = self._paths()
        if parts:
            newest = state_file.load(parts[-1])
            self.next, self.log_id, self.finished = newest["next"], newest["log"], newest["finished"]

    @property
    def due(self) -> bool:
        """Whether enough has come together for a part."""
        return len(self._frames) >= PART_FRAMES or self._n_bytes >= PART_BYTES

    def add(self, frame: Frame) -> None:
        """Keep a frame until the next `flush`; one that is on disk already is passed over."""
        if frame.offset < self.next:
            return
        parts = wire.encode(frame)
        self._frames.append((frame.offset, parts))
        self._n_bytes += sum(map(len, parts))

    def flush(self, following: int, finished: bool = False) -> None:
        """Write what came since the last time.

        Parameters
        ----------
        following
            The offset that is expected next.
        finished
            Whether the stream ends here.

        Raises
        ------
        StateFileError
            Where the disk does not take it.
        """
        if following == self.next and finished == self.finished:
            return
        tree = {"log": self.log_id, "next": following, "finished": finished, "frames": pack(self._frames)}
        number = next_number(numbered(self.folder, _NAME), 0)
        state_file.save(self.folder / f"part-{number:06d}.safetensors", tree)
        self._frames.clear()
        self._n_bytes = 0
        self.next = following
        self.finished = finished

    def frames(self) -> Iterator[Frame]:
        """Yield the frames on disk."""
        for path in self._paths():
            for _, parts in unpack(state_file.load(path)["frames"]):
                yield wire.decode(parts)

    def _paths(self) -> list[Path]:
        return [path for _, path in numbered(self.folder, _NAME)]


def assemble(store: FrameStore, path: Path, classes: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write the frames on disk as one NPZ file.

    It holds each array under its name, rows first (n_rows, ...), and beside it ``rows/NAME``, the offset of each row's
    frame; for each frame ``frames/offset``, ``frames/stream``, ``frames/segment``, ``frames/time``, ``frames/rate``,
    ``frames/last``, ``frames/encoder``, ``frames/update`` and ``frames/labels`` (as JSON). Rows may become longer on
    the way, as a classifier's do when it meets a new class; the shorter ones before are filled up with NaN.

    Parameters
    ----------
    store
        The frames.
    path
        The file.
    classes
        By the name of a classifier's array: what its columns stand for. It goes to ``classes/NAME``.

    Raises
    ------
    ValueError
        Where the rows of an array change their shape otherwise.
    StateFileError
        Where the disk does not take it.
    """
    rows: dict[str, list[npt.NDArray[Any]]] = {}
    offsets: dict[str, list[npt.NDArray[np.int64]]] = {}
    frames = []
    for frame in store.frames():
        frames.append(frame)
        for name, array in frame.arrays.items():
            if not array.data.size:
                continue  # there was nothing yet
            values = array.data.reshape(array.n_rows, *array.row_shape)
            known = rows.setdefault(name, [])
            if known and not _may_follow(known[-1], values):
                raise ValueError(
                    f"array {name!r} has rows of shape {values.shape[1:]} from offset {frame.offset} on, "
                    f"before {known[-1].shape[1:]}: one file takes one shape"
                )
            known.append(values)
            offsets.setdefault(name, []).append(np.full(len(values), frame.offset))
    arrays: dict[str, Any] = {name: _joined(values) for name, values in rows.items()}
    arrays.update({f"rows/{name}": np.concatenate(values) for name, values in offsets.items()})
    for name, columns in (classes or {}).items():  # one whose first label came after the last row has no column
        if name in rows:
            arrays[f"classes/{name}"] = np.array(columns[: arrays[name].shape[1]], dtype=np.str_)
    arrays["frames/offset"] = np.array([frame.offset for frame in frames], dtype=np.int64)
    arrays["frames/update"] = np.array([frame.update for frame in frames], dtype=np.int64)
    arrays["frames/last"] = np.array([frame.last for frame in frames], dtype=np.bool_)
    for key in ("time", "rate"):
        arrays[f"frames/{key}"] = np.array([getattr(frame, key) for frame in frames], dtype=np.float64)
    for key in ("stream", "segment", "encoder"):
        arrays[f"frames/{key}"] = np.array([getattr(frame, key) for frame in frames], dtype=np.str_)
    labels = [json.dumps(dict(frame.labels), ensure_ascii=False, sort_keys=True) for frame in frames]
    arrays["frames/labels"] = np.array(labels, dtype=np.str_)
    with state_file.replacing(path) as file:
        np.savez(file, **arrays)


def _may_follow(before: npt.NDArray[Any], values: npt.NDArray[Any]) -> bool:
    """Return whether rows have the shape of those before them, or are longer ones of floats."""
    if before.shape[1:] == values.shape[1:]:
        return True
    floats = np.issubdtype(before.dtype, np.floating) and before.dtype == values.dtype
    return bool(floats and before.ndim == values.ndim == 2 and before.shape[1] < values.shape[1])


def _joined(values: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    width = values[-1].shape[-1]
    if all(part.shape[-1] == width for part in values):
        return np.concatenate(values)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in values]
    )


def record(address: str, folder: Path, reader: str) -> int:
    """Keep what the outlet at `address` serves until its stream ends or a signal comes. Returns the exit code.

    Parameters
    ----------
    address
        The outlet.
    folder
        Where the parts lie; a recorder that was killed goes on there.
    reader
        The name to read under, which the service must list among its readers.
    """

    def work(signals: Signals) -> bool:
        store = FrameStore(folder)
        if not store.finished:
            _read(address, store, reader, signals)
        return store.finished

    return guard(reader, work)


def _read(address: str, store: FrameStore, reader: str, signals: Signals) -> None:
    """Read until the end of the stream or a signal."""
    with ExitStack() as stack:
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.destroy, LINGER_MS)
        inlet = Inlet(context, address, reader, store.log_id, store.next)
        poller = zmq.Poller()
        for inlet_socket in (*inlet.sockets, signals.wakeup.fileno()):
            poller.register(inlet_socket, zmq.POLLIN)
        print(f"READY {reader} {address}", flush=True)
        while not signals.stop and not inlet.finished:
            arrival = inlet.receive()
            if arrival is not None:
                store.add(arrival.frame)
            if store.due or (arrival is None and inlet.full):
                _flush(store, inlet)
            elif arrival is None and not inlet.finished:
                inlet.attend()
                poller.poll(math.ceil(1000 * inlet.due()))
        _flush(store, inlet)
        waited = 0.0
        while inlet.finished and not inlet.settled and not signals.stop and waited < FAREWELL:
            pause = inlet.due()
            waited += pause
            poller.poll(math.ceil(1000 * pause))
            inlet.attend()
            inlet.receive()


def _flush(store: FrameStore, inlet: Inlet) -> None:
    store.log_id = inlet.log_id
    store.flush(inlet.next, inlet.finished)
    inlet.commit(inlet.next - 1)


def main() -> int:
    """Record from the command line: ``python -m stream_infomax.service.recorder ADDRESS FOLDER NAME``."""
    parser = argparse.ArgumentParser(description="Keeps what a service publishes.")
    parser.add_argument("address", help="the outlet to read")
    parser.add_argument("folder", type=Path, help="where the parts lie")
    parser.add_argument("reader", metavar="NAME", help="the name to read under, one of the service's readers")
    arguments = parser.parse_args()
    return record(arguments.address, arguments.folder, arguments.reader)


if __name__ == "__main__":
    sys.exit(main())
