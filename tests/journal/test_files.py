"""The files of a journal: other programs read them, and the very bytes come back."""

import io
import tracemalloc
from contextlib import closing

import numpy as np
import pytest
from helpers.extras import extra
from helpers.journals import frame, label, read, settings, write

extra("mcap")
import lz4.frame  # noqa: E402
import zstandard  # noqa: E402
from mcap.data_stream import RecordBuilder  # noqa: E402
from mcap.exceptions import EndOfFile  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap.records import Chunk  # noqa: E402
from mcap.stream_reader import StreamReader  # noqa: E402
from mcap.writer import CompressionType, Writer  # noqa: E402
from mcap_ros2.decoder import DecoderFactory  # noqa: E402

from stream_infomax.frames import wire  # noqa: E402
from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.journal.journal import Journal  # noqa: E402
from stream_infomax.journal.mending import parts_in  # noqa: E402
from stream_infomax.journal.reading import PartReader  # noqa: E402

DTYPES = sorted(wire.DTYPES)


def mixed():
    """Frames of two streams, of all types, of several arrays, empty ones, and a label."""
    frames = [frame(offset, dtype=dtype) for offset, dtype in enumerate(DTYPES)]
    n = len(frames)
    several = {
        "a b": Array(np.arange(3, dtype=np.uint8)[:, None], ("time", "channel")),
        "a_b": Array(np.arange(5.0)[:, None], ("time", "channel")),
        "none": Array(np.zeros((0, 2)), ("time", "channel")),
        "header": Array(np.arange(2, dtype=np.int64)[:, None], ("time", "channel")),
    }
    frames += [
        Frame("Gerät 2", n, "s", several, time=1e9, rate=3.0, labels={"x": "y"}),
        label(n + 1),
        frame(n + 2, last=True, end=True),
    ]
    return frames


@pytest.fixture
def written(tmp_path):
    """A folder with the parts of mixed frames, and the bytes of these."""
    journal = Journal(tmp_path, "log", settings())
    messages = write(journal, mixed(), b"note")
    journal.close()
    return tmp_path, messages


def test_the_very_bytes_come_back(written):
    folder, messages = written
    with closing(Journal(folder, "log", settings())) as journal:
        assert read(journal) == messages
        assert read(journal, 4) == messages[4:]
        assert {entry.note for entry in journal.entries()} == {b"note"}
        assert (journal.first, journal.newest) == (0, len(messages) - 1)


def test_a_reader_of_ros_messages_shows_the_arrays_as_numbers(written):
    folder, messages = written
    (path,) = parts_in(folder)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        shown = [(one.channel.topic, one.decoded_message) for one in reader.iter_decoded_messages()]
        summary = reader.get_summary()
    assert summary.statistics.message_count == len(messages) == len(shown)
    frames = mixed()
    for (topic, message), given, parts in zip(shown, frames, messages, strict=True):
        assert bytes(message.header) == parts[0]
        assert topic == (given.stream if given.arrays else "mic/labels")
        fields = [name for name in message.__slots__ if name not in ("crc", "header", "note")]
        if not given.arrays:
            assert (message.segment, message.labels) == ("one", '{"word": "größer"}')
            continue
        for name, array in zip(fields, given.arrays.values(), strict=True):
            values = getattr(message, name)
            values = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else np.array(values)
            np.testing.assert_array_equal(values.astype(array.data.dtype), array.data.ravel())


def test_while_it_is_written_any_reader_reads_what_is_there(tmp_path):
    with closing(Journal(tmp_path, "log", settings(part="10 MiB"))) as journal:
        for offset in range(3000):  # more than a chunk
            write(journal, [frame(offset)])
        (path,) = parts_in(tmp_path)
        content = path.read_bytes()
        records = StreamReader(io.BytesIO(content), validate_crcs=True).records
        n = 0
        with pytest.raises(EndOfFile):  # it has no end yet
            for record in records:
                n += type(record).__name__ == "Message"
        assert n == 3000
        assert [entry.frame.offset for entry in PartReader(path).entries(2990)] == list(range(2990, 3000))


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4, CompressionType.NONE])
def test_a_copy_by_another_program_is_read(written, tmp_path, compression):
    folder, messages = written
    (path,) = parts_in(folder)
    copy = tmp_path / "copy.mcap"
    with path.open("rb") as file, copy.open("wb") as out:
        reader = make_reader(file)
        writer = Writer(out, compression=compression, use_chunking=compression is not CompressionType.NONE)
        writer.start()
        for about in reader.iter_metadata():
            writer.add_metadata(about.name, about.metadata)
        numbers = {}
        for schema, channel, message in reader.iter_messages():
            if channel.id not in numbers:
                made = writer.register_schema(schema.name, schema.encoding, schema.data)
                given = (channel.topic, channel.message_encoding, made, channel.metadata)
                numbers[channel.id] = writer.register_channel(*given)
            at = (message.log_time, message.data, message.publish_time, message.sequence)
            writer.add_message(numbers[channel.id], *at)
        writer.finish()
    reader = PartReader(copy)
    assert [[bytes(part) for part in entry.parts] for entry in reader.entries()] == messages
    assert reader.closed
    assert not reader.damage


def test_what_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "a.mcap"
    path.write_bytes(b"RIFF and so on")
    with pytest.raises(ValueError, match="no MCAP file"):
        PartReader(path)
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.finish()
    with pytest.raises(ValueError, match="no journal of stream_infomax"):
        PartReader(path)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none of these"])
@pytest.mark.parametrize("said", [100, 200 << 20])
def test_a_chunk_that_unpacks_to_more_than_it_says_or_than_there_may_be_is_passed_over(written, compression, said):
    folder, messages = written
    (path,) = parts_in(folder)
    packed = {"zstd": zstandard.compress, "lz4": lz4.frame.compress}.get(compression, bytes.lstrip)(bytes(100 << 20))
    chunk = Chunk(compression, packed, 0, 0, 0, said)
    builder = RecordBuilder()
    chunk.write(builder)
    bomb = builder.end()
    content = path.read_bytes()
    at = content.index(b"\x0f" + (4).to_bytes(8, "little"))  # where the data end
    path.write_bytes(content[:at] + bomb + content[at:])
    reader = PartReader(path)
    tracemalloc.start()
    assert len(list(reader.entries())) == len(messages)
    assert tracemalloc.get_traced_memory()[1] < 5 * len(bomb) + (1 << 20)
    tracemalloc.stop()
    assert "a chunk that cannot be unpacked" in reader.damage[0]
