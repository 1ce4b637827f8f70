"""PartWriter: one MCAP file, which any reader can read at any time while it is written.

Messages stand in chunks. The chunk that is open is written in place: a message goes behind those before, then the head
of the chunk is written again. So whatever dies, the file ends with a whole message or with a torn one behind it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC

from stream_infomax.frames.frame import Frame
from stream_infomax.journal.message import (
    ENCODING,
    LABELS,
    SCHEMA_ENCODING,
    Form,
    about_arrays,
    channel_of,
    encode,
    form_of,
)
from stream_infomax.state.file import sync_folder

# Bytes with which a chunk is complete.
CHUNK = 256 << 10
# Channels of a file: their numbers have 16 bits.
MOST_CHANNELS = 60_000
# What a file says of itself.
ABOUT = "stream_infomax"
FORMAT = "1"

_HEAD = struct.Struct("<BQQQQIIQ")  # of a chunk that is not compressed
_MESSAGE = struct.Struct("<BQHIQQ")


class _Channel(NamedTuple):
    number: int
    form: Form


class PartWriter:
    """One file of a journal.

    Parameters
    ----------
    path
        The file; none of that name is there.
    log, first
        The id of the log, and the offset of the first frame.

    Attributes
    ----------
    size
        Its bytes so far.
    newest
        When its newest frame came, in nanoseconds.
    n_frames
        Its frames.

    Raises
    ------
    OSError
        Where it cannot be made.
    """

    def __init__(self, path: Path, log: str, first: int) -> None:
        self.path = path
        self.first = first
        self.n_frames = 0
        self.size = 0
        self.newest = 0
        self._channels: dict[tuple[Any, ...], _Channel] = {}
        self._schemas: dict[Form, int] = {}
        self._records: list[McapRecord] = []  # of schemas and channels, for the summary
        self._counts: Counter[int] = Counter()
        self._oldest = 0
        self._chunks: list[ChunkIndex] = []
        # Of the chunk that is open: where it begins, its bytes, their checksum, when its first frame came, and of each
        # channel time and place of each message, in turn.
        self._start = self._length = self._crc = self._begun = 0
        self._messages: dict[int, list[int]] = {}
        about = Metadata(name=ABOUT, metadata={"format": FORMAT, "log": log, "first": str(first)})
        head = MCAP0_MAGIC + _bytes(Header(profile="", library="stream_infomax"))
        self._about = MetadataIndex(offset=len(head), length=len(_bytes(about)), name=ABOUT)
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._write(head + _bytes(about))
            sync_folder(path.parent)
        except OSError:
            os.close(self.file)
            path.unlink()
            raise

    @property
    def crowded(self) -> bool:
        """Whether it takes no more streams."""
        return len(self._channels) >= MOST_CHANNELS

    @property
    def begins_chunk(self) -> bool:
        """Whether the next frame begins a chunk."""
        return not self._messages

    def add(self, frame: Frame, parts: Sequence[bytes], note: bytes, came: int) -> None:
        """Write a frame behind those before.

        Parameters
        ----------
        frame, parts
            The frame, and its bytes.
        note
            What the source has to remember with it.
        came
            When it came, in nanoseconds; not before those before it.

        Raises
        ------
        OSError
            Where the disk does not take it; the file is what it was before.
        """
        key = channel_of(frame)
        channel = self._channels.get(key)
        records: list[McapRecord] = []
        if channel is None:
            channel, records = self._described(frame)
        data = encode(channel.form, frame, parts, note)
        told = b"".join(map(_bytes, records))
        measured = round(frame.time * 1e9) if 0 <= frame.time < 2**33 else came
        message = _MESSAGE.pack(
            Opcode.MESSAGE, 22 + len(data), channel.number, frame.offset & 0xFFFFFFFF, came, measured
        )
        begins = self.begins_chunk
        start = self.size if begins else self._start
        content = b"".join((told, message, data))
        length = self._length + len(content)
        before = self.size
        try:
            self._write(bytes(_HEAD.size) + content if begins else content)
            os.pwrite(self.file, _head(length, self._begun or came, came, 0), start)
        except OSError:
            os.ftruncate(self.file, before)
            self.size = before
            raise
        if records:
            self._channels[key] = channel
            self._records += records
            for record in records:
                if isinstance(record, Schema):
                    self._schemas[channel.form] = record.id
        self._start, self._begun, self._crc = start, self._begun or came, zlib.crc32(content, self._crc)
        self._messages.setdefault(channel.number, []).extend((came, self._length + len(told)))
        self._length = length
        self._counts[channel.number] += 1
        self._oldest = self._oldest or came
        self.newest = came
        self.n_frames += 1
        if length >= CHUNK:
            self._end_chunk()

    def close(self) -> None:
        """Write the index behind the messages, and let go of the file.

        Raises
        ------
        OSError
            Where the disk does not take it; the file is as it was, without an index.
        """
        if self.file < 0:
            return
        try:
            self._end_chunk()
            before = self.size
            try:
                self._write(self._summary())
            except OSError:
                os.ftruncate(self.file, before)
                raise
            os.fdatasync(self.file)
        finally:
            os.close(self.file)
            self.file = -1

    def _described(self, frame: Frame) -> tuple[_Channel, list[McapRecord]]:
        """Return the channel of a frame, and what tells a reader of it."""
        form = form_of(frame)
        records: list[McapRecord] = []
        schema = self._schemas.get(form)
        if schema is None:
            schema = len(self._schemas) + 1
            definition = form.definition().encode()
            records.append(Schema(id=schema, data=definition, encoding=SCHEMA_ENCODING, name=form.schema))
        number = len(self._channels) + 1
        topic = frame.stream if form.names else frame.stream + LABELS
        about = {"stream": frame.stream, **about_arrays(frame)}
        records.append(Channel(id=number, topic=topic, message_encoding=ENCODING, metadata=about, schema_id=schema))
        return _Channel(number, form), records

    def _end_chunk(self) -> None:
        """Complete the chunk that is open, with its checksum and the places of its messages."""
        if self.begins_chunk:
            return
        places, at = {}, self.size
        content = []
        for number, messages in self._messages.items():
            content.append(_index(number, messages))
            places[number] = at
            at += len(content[-1])
        chunk = ChunkIndex(
            chunk_length=_HEAD.size + self._length,
            chunk_start_offset=self._start,
            compression="",
            compressed_size=self._length,
            message_end_time=self.newest,
            message_index_length=at - self.size,
            message_index_offsets=places,
            message_start_time=self._begun,
            uncompressed_size=self._length,
        )
        before = self.size
        try:
            os.pwrite(self.file, _head(self._length, self._begun, self.newest, self._crc), self._start)
            self._write(b"".join(content))
        except OSError:  # without them it is a chunk all the same
            os.ftruncate(self.file, before)
            self.size = before
            chunk.message_index_offsets, chunk.message_index_length = {}, 0
        self._chunks.append(chunk)
        self._start = self._length = self._crc = self._begun = 0
        self._messages = {}

    def _summary(self) -> bytes:
        """Return what stands behind the messages: where each chunk is, and what the channels are."""
        end = _bytes(DataEnd(data_section_crc=0))
        start = self.size + len(end)
        statistics = Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._chunks),
            message_count=self.n_frames,
            message_end_time=self.newest,
            message_start_time=self._oldest,
            metadata_count=1,
            schema_count=len(self._schemas),
        )
        groups: list[tuple[Opcode, Sequence[McapRecord]]] = [
            (Opcode.SCHEMA, [record for record in self._records if isinstance(record, Schema)]),
            (Opcode.CHANNEL, [record for record in self._records if isinstance(record, Channel)]),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.METADATA_INDEX, [self._about]),
        ]
        summary, offsets = b"", b""
        for group, records in groups:
            content = b"".join(map(_bytes, records))
            offset = SummaryOffset(group_opcode=group, group_start=start + len(summary), group_length=len(content))
            offsets += _bytes(offset) if content else b""
            summary += content
        whole = summary + offsets
        foot = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, start + len(summary))
        footer = Footer(
            summary_start=start, summary_offset_start=start + len(summary), summary_crc=zlib.crc32(whole + foot)
        )
        return end + whole + _bytes(footer) + MCAP0_MAGIC

    def _write(self, content: bytes) -> None:
        """Write behind what is there."""
        view = memoryview(content)
        done = 0
        while done < len(view):
            done += os.pwrite(self.file, view[done:], self.size + done)
        self.size += len(view)


def _head(length: int, begin: int, end: int, crc: int) -> bytes:
    """Return the head of a chunk that holds so many bytes."""
    return _HEAD.pack(Opcode.CHUNK, _HEAD.size - 9 + length, begin, end, length, crc, 0, length)


def _index(channel: int, places: Sequence[int]) -> bytes:
    """Return the record of where the messages of a channel stand in a chunk: time and place of each, in turn."""
    length = 8 * len(places)
    return struct.pack(f"<BQHI{len(places)}Q", Opcode.MESSAGE_INDEX, 6 + length, channel, length, *places)


def _bytes(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]
