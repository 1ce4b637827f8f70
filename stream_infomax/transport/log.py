"""OutputLog: the bounded log of a service's output frames, with offsets and committed readers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from stream_infomax.frames.ledger import Account
from stream_infomax.state.kept import counted, text

Policy: TypeAlias = Literal["wait", "drop-oldest"]


class Entry(NamedTuple):
    """A frame's bytes under its offset, when the source first had it (0: not known), and its stream."""

    offset: int
    parts: Sequence[bytes]
    size: int
    origin: float
    stream: str = ""


def _offset_of(entry: Entry) -> int:
    return entry.offset


class OutputLog:
    """Frames that named readers have not committed yet, oldest first.

    Offsets grow; some may be missing (a log above dropped them). A log without readers keeps nothing. In `wait` it
    is `full` once it holds `max_frames` frames or `max_bytes` bytes, and whoever fills it waits; the frame that
    crosses the byte bound is kept, so that one larger than the bound passes alone. In `drop-oldest` it is never full:
    it forgets its oldest frames instead, never the newest.

    Parameters
    ----------
    readers
        The names that may read and must commit.
    max_frames, max_bytes
        The bounds, each at least 1.
    policy
        What happens when they are reached.
    name
        Of the service whose log it is.

    Attributes
    ----------
    account
        Counts what becomes of the frames that whoever appends them has accepted.
    sent
        The last offset that each reader has been sent; who sends says so. What is pushed out behind all of them is gone
        only for a reader that dies before it commits.
    """

    def __init__(
        self,
        readers: Iterable[str] = (),
        *,
        max_frames: int = 1024,
        max_bytes: int = 64 << 20,
        policy: Policy = "wait",
        name: str = "",
    ) -> None:
        if max_frames < 1 or max_bytes < 1:
            raise ValueError(f"a log holds at least 1 frame and 1 byte, got {max_frames} and {max_bytes}")
        if policy not in ("wait", "drop-oldest"):
            raise ValueError(f"policy {policy!r}; accepted are 'wait' and 'drop-oldest'")
        self.max_frames = max_frames
        self.max_bytes = max_bytes
        self.policy = policy
        self.account = Account(name, "log", "frames")
        # The last offset that was appended or passed over, and whether none will follow.
        self.newest = -1
        self.finished = False
        # Frames that drop-oldest has pushed out before every reader had been sent them.
        self.dropped = 0
        self.n_bytes = 0
        self._entries: deque[Entry] = deque()
        self._committed = dict.fromkeys(readers, -1)
        self._lowest = -1
        self.sent = dict.fromkeys(self._committed, -1)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def readers(self) -> tuple[str, ...]:
        """The names that may read."""
        return tuple(self._committed)

    @property
    def committed(self) -> Mapping[str, int]:
        """The last offset that each reader has committed, -1 for none."""
        return self._committed

    @property
    def full(self) -> bool:
        """Whether the next frame has to wait."""
        return self.policy == "wait" and (len(self._entries) >= self.max_frames or self.n_bytes >= self.max_bytes)

    @property
    def drained(self) -> bool:
        """Whether the log has ended and every reader has committed all of it."""
        return self.finished and all(offset >= self.newest for offset in self._committed.values())

    def settled(self) -> int:
        """Return the last offset that nobody waits for: every reader has committed it, or it was pushed out."""
        return self._entries[0].offset - 1 if self._entries else self.newest

    def append(self, offset: int, parts: Sequence[bytes], origin: float = 0.0, stream: str = "") -> None:
        """Add a frame of a stream.

        Raises
        ------
        ValueError
            Where the offset does not grow, or the log is full.
        """
        if offset <= self.newest:
            raise ValueError(f"offset {offset} follows {self.newest}; offsets of a log grow")
        if not self._committed or offset <= self._lowest:
            self.newest = offset
            self.account.process(stream)
            return
        if self.full:
            raise ValueError(f"the log is full ({len(self._entries)} frames, {self.n_bytes} bytes)")
        self.newest = offset
        size = sum(map(len, parts))
        if self.policy == "drop-oldest":
            while self._entries and (len(self._entries) >= self.max_frames or self.n_bytes + size > self.max_bytes):
                was_sent = self._entries[0].offset <= min(self.sent.values())
                self.account.drop(self._forget_oldest(), "log full, but sent" if was_sent else "log full")
                self.dropped += not was_sent
        self._entries.append(Entry(offset, parts, size, origin, stream))
        self.n_bytes += size

    def finish(self, newest: int) -> None:
        """End the log: `newest` is its last offset, whether a frame came of it or not."""
        self.newest = max(self.newest, newest)
        self.finished = True

    def commit(self, reader: str, offset: int) -> None:
        """Take note that `reader` needs nothing up to `offset` any more, and forget what nobody needs.

        A reader may be further than the log, which then computes again what it had lost. Raises KeyError for an
        unknown reader.
        """
        if offset <= self._committed[reader]:
            return
        self._committed[reader] = offset
        self._lowest = min(self._committed.values())
        while self._entries and self._entries[0].offset <= self._lowest:
            self.account.process(self._forget_oldest())

    def at_or_after(self, offset: int) -> Entry | None:
        """Return the first frame held from `offset` on, None where there is none."""
        entries = self._entries
        if not entries or offset > entries[-1].offset:
            return None
        index = offset - entries[0].offset
        if index <= 0:
            return entries[0]
        if index < len(entries) and entries[index].offset == offset:
            return entries[index]
        # Offsets are missing, so the frame stands before that index.
        return entries[bisect_left(entries, offset, hi=min(index, len(entries)), key=_offset_of)]

    def rewind(self, offset: int) -> None:
        """Forget all frames, so that the next one may be `offset`: a seekable source reads them again."""
        for entry in self._entries:
            self.account.set_aside(entry.stream, "to be read again")
        self._entries.clear()
        self.n_bytes = 0
        self.newest = offset - 1
        self.finished = False
        for reader, committed in self._committed.items():
            self._committed[reader] = min(committed, self.newest)
        self._lowest = min(self._committed.values(), default=-1)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the readers' positions and the frames they may still ask for."""
        return {
            "newest": self.newest,
            "committed": dict(self._committed),
            "frames": pack([(entry.offset, entry.parts) for entry in self._entries]),
            "streams": [entry.stream for entry in self._entries],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` returned. A reader that is new starts with the frames there are."""
        self._entries.clear()
        self.n_bytes = 0
        self.newest = counted({"newest": state["newest"]}, "newest")["newest"]
        committed = counted(state["committed"], "committed")
        for reader in self._committed:
            self._committed[reader] = committed.get(reader, -1)
        self._lowest = min(self._committed.values(), default=-1)
        streams = [text(stream, "streams") for stream in state["streams"]]
        for (offset, parts), stream in zip(unpack(state["frames"]), streams, strict=True):
            if self._committed and offset > self._lowest:
                size = sum(map(len, parts))
                self._entries.append(Entry(offset, parts, size, 0.0, stream))
                self.n_bytes += size
            else:
                self.account.process(stream)

    def in_flight(self) -> Counter[str]:
        """Return how many frames of each stream are held."""
        return Counter(entry.stream for entry in self._entries)

    def _forget_oldest(self) -> str:
        """Return the stream of the frame that is forgotten."""
        entry = self._entries.popleft()
        self.n_bytes -= entry.size
        return entry.stream


def pack(frames: Sequence[tuple[int, Sequence[bytes]]]) -> dict[str, Any]:
    """Return frames (offset and parts) as three arrays: offsets, lengths of the parts, all bytes in a row."""
    parts = [part for _, frame in frames for part in frame]
    return {
        "offsets": np.array([offset for offset, _ in frames], dtype=np.int64),
        "counts": np.array([len(frame) for _, frame in frames], dtype=np.int64),
        "lengths": np.array([len(part) for part in parts], dtype=np.int64),
        "bytes": np.frombuffer(b"".join(parts), dtype=np.uint8),
    }


def unpack(packed: Mapping[str, Any]) -> list[tuple[int, list[bytes]]]:
    """Return the frames that `pack` was given. Raises ValueError or KeyError for what it never returns."""
    offsets, counts, lengths = (_whole_numbers(packed, name) for name in ("offsets", "counts", "lengths"))
    content = np.asarray(packed["bytes"])
    fits = content.ndim == 1 and content.dtype == np.uint8 and lengths.sum() == len(content)
    if not fits or len(offsets) != len(counts) or counts.sum() != len(lengths):
        raise ValueError("packed frames that do not fit one another")
    blob = memoryview(content.data)
    ends = np.cumsum(lengths).tolist()
    parts = [bytes(blob[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    frames = []
    position = 0
    for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
        frames.append((offset, parts[position : position + count]))
        position += count
    return frames


def _whole_numbers(packed: Mapping[str, Any], name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return one of the arrays of numbers of packed frames."""
    numbers = np.asarray(packed[name])
    if numbers.ndim != 1 or numbers.dtype != np.int64 or (numbers < 0).any():
        raise ValueError(f"packed frames whose {name} are no whole numbers")
    return numbers
