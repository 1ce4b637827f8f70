"""PartReader: the frames in one MCAP file, whether it is complete, was cut off, or is damaged."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, Metadata, Schema
from mcap.summary import Summary
from mcap.writer import MCAP0_MAGIC

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.journal.message import LABELS, Form, decode, read_form
from stream_infomax.journal.part import ABOUT, FORMAT

# The most bytes of a compressed chunk, unpacked.
MOST_UNPACKED = 64 << 20
# How much of what is damaged is said.
MOST_WORDS = 20
# Bytes that are read at once.
AHEAD = 1 << 18

_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQII")
_LENGTH = 8
_KNOWN = frozenset(Opcode)


class Entry(NamedTuple):
    """A frame of a journal: itself, its bytes, the source's note, and when it came, in nanoseconds."""

    frame: Frame
    parts: list[bytes | memoryview]
    note: bytes
    nanoseconds: int


class Place(NamedTuple):
    """Which frame stands where: its offset, stream, whether it has arrays, and when it came, in nanoseconds."""

    offset: int
    stream: str
    has_arrays: bool
    came: int


class _Known(NamedTuple):
    form: Form
    stream: str


class _Message(NamedTuple):
    offset: int
    came: int
    data: bytes
    known: _Known


class PartReader:
    """The frames in one MCAP file.

    Parameters
    ----------
    path
        The file; it may be under way.

    Attributes
    ----------
    log, first
        The id of the log and the first offset, as the file says of itself.
    closed
        Whether it is complete, with an index; known when all of it was read.
    damage, n_damaged
        What could not be read, in words; the first of it, and how much there is.

    Raises
    ------
    ValueError
        Where it is no MCAP file, or none with frames.
    OSError
        Where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self.n_damaged = 0
        self.closed = False
        self.log, self.first = "", 0
        self._schemas: dict[int, Form] = {}
        self._channels: dict[int, _Known] = {}
        with path.open("rb") as file:
            if file.read(8) != MCAP0_MAGIC:
                raise ValueError(f"{path}: no MCAP file")
            for opcode, at, length in self._records(file, path.stat().st_size):
                if opcode == Opcode.METADATA and not self.log:
                    file.seek(at)
                    self._take_about(file.read(length))
                elif opcode not in (Opcode.HEADER, Opcode.SCHEMA, Opcode.CHANNEL):
                    break
        if not self.log:
            raise ValueError(f"{path}: no journal of stream_infomax (an MCAP file without the metadata {ABOUT!r})")
        self.damage.clear()

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Yield the frames from the offset `start` on; what is damaged is passed over and noted."""
        for message in self._messages(start):
            try:
                parts, note = decode(message.known.form, message.data)
                frame = wire.decode(parts)
                if frame.offset != message.offset:
                    raise ValueError(f"its offset is {frame.offset}")
            except (ValueError, FrameError) as error:
                self._passed_over(f"frame {message.offset}: {error}")
                continue
            yield Entry(frame, parts, note, message.came)

    def places(self) -> Iterator[Place]:
        """Yield which frames there are, without reading them."""
        for message in self._messages(0, whole=False):
            known = message.known
            yield Place(message.offset, known.stream, bool(known.form.names), message.came)

    def summary(self) -> Summary | None:
        """Return what its index says; None where it has none, or a damaged one."""
        with self.path.open("rb") as file:
            try:
                return SeekingReader(file, record_size_limit=self.path.stat().st_size).get_summary()
            except (McapError, struct.error, ValueError, OverflowError, TypeError, MemoryError):
                return None
            except OSError as error:
                if error.errno != errno.EINVAL:  # the file is too short, or a place in it is none
                    raise
                return None

    def _messages(self, start: int, *, whole: bool = True) -> Iterator[_Message]:
        """Yield the messages from the offset `start` on, with or without their data."""
        self.damage.clear()
        self.n_damaged = 0
        self.closed = False
        with self.path.open("rb", AHEAD) as file:
            file.seek(8)
            yield from self._within(file, self.path.stat().st_size, start, whole)

    def _within(
        self, file: IO[bytes], size: int, start: int, whole: bool, *, packed: bool = False
    ) -> Iterator[_Message]:
        for opcode, at, length in self._records(file, size, packed=packed):
            if opcode == Opcode.MESSAGE and length >= _MESSAGE.size:
                channel, number, came, _ = _MESSAGE.unpack(file.read(_MESSAGE.size))
                offset = self.first + ((number - self.first) & 0xFFFFFFFF)
                known = self._channels.get(channel)
                if known is None:
                    self._passed_over(f"byte {at}: a message of a channel that nobody described")
                elif offset >= start:
                    yield _Message(offset, came, file.read(length - _MESSAGE.size) if whole else b"", known)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._describe(opcode, file.read(length), at)
            elif opcode == Opcode.CHUNK and not packed:
                unpacked = self._unpacked(file.read(length), at)
                yield from self._within(io.BytesIO(unpacked), len(unpacked), start, whole, packed=True)

    def _records(self, file: IO[bytes], size: int, *, packed: bool = False) -> Iterator[tuple[int, int, int]]:
        """Yield kind, place and length of the records from here on, those in chunks that are not compressed too.

        Whoever gets one may read as far in it as they like.
        """
        at = file.tell()
        while at < size:
            head = file.read(_RECORD.size)
            opcode, length = _RECORD.unpack(head) if len(head) == _RECORD.size else (0, 0)
            begin, at = at, at + len(head)
            if opcode == Opcode.DATA_END and not packed:
                self.closed = True
                return
            if opcode == Opcode.CHUNK and length >= _CHUNK.size and at + _CHUNK.size <= size:
                if not _CHUNK.unpack(file.read(_CHUNK.size))[4]:  # the compression has no name
                    at += _CHUNK.size + _LENGTH
                    file.seek(at)
                    continue
                file.seek(at)
            if opcode in _KNOWN and at + length <= size:
                yield opcode, at, length
                at += length
            else:
                following = None if packed else self._chunk_after(begin, size)
                at = size if following is None else following
                self._passed_over(f"byte {begin}: {at - begin} bytes are no whole record")
            file.seek(at)

    def _passed_over(self, text: str) -> None:
        """Note what could not be read."""
        self.n_damaged += 1
        if len(self.damage) < MOST_WORDS:
            self.damage.append(text)

    def _chunk_after(self, place: int, size: int) -> int | None:
        """Return where the next chunk behind a place begins, as the index says, which may be damaged too; None: none.

        Parameters
        ----------
        place
            The place.
        size
            Of the file.
        """
        found = self.summary()
        starts = [chunk.chunk_start_offset for chunk in found.chunk_indexes] if found else []
        return min((start for start in starts if place < start < size), default=None)

    def _unpacked(self, content: bytes, at: int) -> bytes:
        """Return the records in a compressed chunk, nothing where it is damaged."""
        try:
            chunk = Chunk.read(ReadDataStream(io.BytesIO(content)))
            if chunk.uncompressed_size > MOST_UNPACKED:
                raise ValueError(f"{chunk.uncompressed_size} bytes unpacked; accepted are {MOST_UNPACKED}")
            unpacked = _unpack(chunk)
            wrong = chunk.uncompressed_crc and chunk.uncompressed_crc != zlib.crc32(unpacked)
            if wrong or len(unpacked) != chunk.uncompressed_size:
                raise ValueError("its checksum or its size is wrong")
            return unpacked
        except Exception as error:  # noqa: BLE001  (whatever the decompressors raise)
            self._passed_over(f"byte {at}: a chunk that cannot be unpacked: {error}")
            return b""

    def _describe(self, opcode: int, content: bytes, at: int) -> None:
        """Take in a schema or a channel."""
        stream = ReadDataStream(io.BytesIO(content))
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream)
                self._schemas[schema.id] = read_form(schema.data.decode())
            else:
                channel = Channel.read(stream)
                name = channel.metadata.get("stream", channel.topic.removesuffix(LABELS))
                self._channels[channel.id] = _Known(self._schemas[channel.schema_id], name)
        except (McapError, ValueError, KeyError, struct.error) as error:
            self._passed_over(f"byte {at}: {error!r}")

    def _take_about(self, content: bytes) -> None:
        """Take in what the file says of itself. Raises ValueError where it is of another format."""
        try:
            record = Metadata.read(ReadDataStream(io.BytesIO(content)))
            if record.name != ABOUT:
                return
            about = record.metadata
            if about.get("format") != FORMAT:
                raise ValueError(f"format {about.get('format')!r}; accepted is {FORMAT!r}")
            self.log, self.first = about["log"], int(about["first"])
        except (McapError, ValueError, KeyError, struct.error) as error:
            raise ValueError(f"{self.path}: no journal of this version: {error}") from error


def _unpack(chunk: Chunk) -> bytes:
    """Return the bytes in a compressed chunk, no more than it says and one; never what a packed size claims."""
    most = chunk.uncompressed_size + 1
    if chunk.compression == "zstd":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=MOST_UNPACKED).stream_reader(chunk.data) as stream:
            return bytes(stream.read(most))
    if chunk.compression == "lz4":
        import lz4.frame

        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, most))
    raise ValueError(f"compression {chunk.compression!r}; accepted are zstd and lz4")
