"""Journal: parts, what a death leaves, what is forgotten, and a disk that is full."""

import errno
import json
import os
import random
from contextlib import closing

import pytest
from helpers.extras import extra
from helpers.journals import frame, read, settings, write

extra("mcap")
from stream_infomax.frames import wire  # noqa: E402
from stream_infomax.journal import journal as journals  # noqa: E402
from stream_infomax.journal import part as parts  # noqa: E402
from stream_infomax.journal import reserved  # noqa: E402
from stream_infomax.journal.journal import Journal  # noqa: E402
from stream_infomax.journal.mending import parts_in  # noqa: E402


def opened(folder, **changes):
    return closing(Journal(folder, "log", settings(**changes)))


def cut(path, n_bytes):
    path.write_bytes(path.read_bytes()[:n_bytes])


def left_by_a_death(folder, n_frames, **changes):
    """Write a journal that nobody closes; return the bytes of its frames."""
    journal = Journal(folder, "log", settings(**changes))
    messages = write(journal, map(frame, range(n_frames)))
    os.close(journal._writer.file)
    journal._flusher.shutdown()
    return messages


def test_parts_follow_one_another_and_are_found_again(tmp_path):
    with opened(tmp_path) as journal:
        messages = write(journal, map(frame, range(400)))
        assert len(parts_in(tmp_path)) > 2
        assert read(journal, 250) == messages[250:]
    with opened(tmp_path) as journal:
        assert read(journal) == messages
        assert (journal.first, journal.newest) == (0, 399)
        write(journal, [frame(400), frame(410)])  # between them the journal was off
        assert [journal.has(offset) for offset in (0, 400, 401, 409, 410, 411)] == [
            True,
            True,
            False,
            False,
            True,
            False,
        ]
        with pytest.raises(ValueError, match="offset 410 follows 410"):
            journal.append(frame(410), wire.encode(frame(410)))


def test_what_was_written_is_there_after_a_death(tmp_path):
    messages = left_by_a_death(tmp_path, 50)
    with opened(tmp_path) as journal:
        assert read(journal) == messages
        write(journal, [frame(50)])
        assert journal.newest == 50
    assert not list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize("seed", range(12))
def test_a_torn_or_damaged_end_costs_only_what_it_hits(tmp_path, monkeypatch, caplog, seed):
    """As after the death of a machine: the file ends anywhere, or pages of its end never reached the disk."""
    monkeypatch.setattr(parts, "CHUNK", 2048)
    messages = left_by_a_death(tmp_path, 60, part="1 MiB")
    (path,) = parts_in(tmp_path)
    content = bytearray(path.read_bytes())
    generator = random.Random(seed)
    at = generator.randrange(len(content) // 2, len(content))
    if seed % 2:
        content[at:] = bytes(len(content) - at)  # zeros
    else:
        del content[at:]
    path.write_bytes(content)
    with opened(tmp_path) as journal:
        kept = read(journal)
        assert kept == messages[: len(kept)]
        assert 25 <= len(kept) <= 60
        assert bool(list(tmp_path.glob("*.damaged"))) == ("no whole record" in caplog.text or "checksum" in caplog.text)
        write(journal, [frame(journal.newest + 1)])
        assert len(read(journal)) == len(kept) + 1


def test_damage_in_the_middle_costs_one_frame(tmp_path, caplog):
    with opened(tmp_path, part="1 MiB") as journal:
        messages = write(journal, map(frame, range(30)))
    (path,) = parts_in(tmp_path)
    content = path.read_bytes()
    at = content.index(messages[12][1])
    path.write_bytes(content[: at + 5] + b"!" + content[at + 6 :])
    with opened(tmp_path) as journal:
        assert journal.has(12)
        assert read(journal) == messages[:12] + messages[13:]
        assert "frame 12: its checksum is wrong" in caplog.text
        assert not journal.has(12)  # so nobody is promised it


def test_the_journal_of_another_run_is_refused(tmp_path):
    with opened(tmp_path) as journal:
        write(journal, [frame(0)])
    with pytest.raises(ValueError, match="holds the journal of another run"):
        Journal(tmp_path, "other", settings())


def test_the_oldest_parts_go_when_there_are_too_many_bytes_but_none_that_somebody_needs(tmp_path):
    with opened(tmp_path, keep="100 KiB") as journal:
        write(journal, map(frame, range(800)))
        assert journal.first == 0, "nobody has committed anything"
        journal.commit(199)
        assert 0 < journal.first <= 200
        journal.commit(799)
        assert sum(path.stat().st_size for path in parts_in(tmp_path)) < 100 << 10
        assert journal.counts()["journal parts removed"] > 2
        assert read(journal, 0)[0] == wire.encode(frame(journal.first))


def test_parts_go_when_they_are_too_old(tmp_path, monkeypatch):
    now = 10**18
    monkeypatch.setattr(journals.time, "time_ns", lambda: now)
    with opened(tmp_path, keep_seconds=100.0) as journal:
        write(journal, map(frame, range(400)))
        now += 101 * 10**9
        write(journal, [frame(400)])
        journal.commit(400)
        assert journal.first > 200


@pytest.fixture
def disk(monkeypatch):
    """A disk whose room is set by tests, in bytes."""

    class Disk:
        room = 1 << 40

    pwrite = os.pwrite

    def write_some(file, content, offset):
        written = pwrite(file, bytes(content)[: max(0, Disk.room)], offset)
        Disk.room -= written
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    monkeypatch.setattr(parts.os, "pwrite", write_some)
    return Disk


@pytest.mark.parametrize("room", [0, 10, 60, 150, 4000])
def test_a_full_disk_leaves_the_file_whole(tmp_path, disk, caplog, monkeypatch, room):
    monkeypatch.setattr(journals, "RETRY", 0.0)
    with opened(tmp_path) as journal:
        messages = write(journal, map(frame, range(5)))
        disk.room = room
        offset = 5
        while journal.append(frame(offset), wire.encode(frame(offset))):
            messages.append(wire.encode(frame(offset)))
            offset += 1
        assert journal.full == "No space left on device"
        assert journal.counts()["journal full"] == 1
        assert not journal.append(frame(offset), wire.encode(frame(offset)))
        assert caplog.text.count("nothing is accepted until there is room") == 1
        assert read(journal) == messages
        disk.room = 1 << 40
        messages += write(journal, [frame(offset)])
        assert not journal.full
        assert f"frames are written from {offset} on" in caplog.text
        assert read(journal) == messages
    with opened(tmp_path) as journal:
        assert read(journal) == messages


def test_so_much_as_a_part_stays_free(tmp_path):
    with opened(tmp_path, part=1 << 50) as journal:
        assert not journal.append(frame(0), wire.encode(frame(0)))
        assert journal.full == "less than 1048576 GiB is free on the disk"
        assert not parts_in(tmp_path)


def test_a_disk_that_fails_is_no_disk_that_is_full(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path, flush_seconds=0.0) as journal:
        write(journal, [frame(0)])
        with monkeypatch.context() as patched:
            patched.setattr(journals.os, "fdatasync", fail)
            with pytest.raises(OSError, match="Input/output"):
                journal.append(frame(1), wire.encode(frame(1)))


def test_flushing_goes_on_beside_the_stream(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(journals, "_flush", lambda file, path: (os.close(file), flushed.append(path)))
    with opened(tmp_path, flush_seconds=1e-9) as journal:
        write(journal, [frame(0)])
        while journal.due() == 0.0 and not flushed:
            journal.attend()
        journal._flushing.result()
        assert flushed == parts_in(tmp_path)
        journal.attend()
        assert journal.due() == float("inf")


@pytest.fixture
def life(monkeypatch, tmp_path_factory):
    """Names the life of the machine."""
    place = tmp_path_factory.mktemp("machine") / "boot_id"
    place.write_text("one\n")
    monkeypatch.setattr(reserved, "BOOT", place)
    return place


def test_after_a_death_of_the_machine_no_offset_is_given_that_somebody_may_have(tmp_path, life):
    left_by_a_death(tmp_path, 50)
    with opened(tmp_path) as journal:
        assert journal.following == 50, "the process died: what it wrote is there"
        write(journal, map(frame, range(50, 60)))
    life.write_text("two\n")
    with opened(tmp_path) as journal:
        assert journal.following == 60, "it was closed, and all of it was on the disk"
    left_by_a_death(tmp_path / "other", 50)
    (path,) = parts_in(tmp_path / "other")
    cut(path, path.stat().st_size // 2)
    life.write_text("three\n")
    with opened(tmp_path / "other") as journal:
        assert journal.newest < 49
        assert 50 <= journal.following <= 100
        assert write(journal, [frame(journal.following)])


def test_a_machine_of_which_nothing_is_known_has_died(tmp_path, life):
    life.unlink()
    left_by_a_death(tmp_path, 50)
    with opened(tmp_path) as journal:
        assert journal.following > 50


def test_offsets_are_reserved_before_frames_are_published_under_them(tmp_path):
    with opened(tmp_path) as journal:
        for offset in range(200):
            write(journal, [frame(offset)])
            assert json.loads((tmp_path / reserved.NAME).read_bytes())["next"] > offset


def test_what_is_spare_stays_free_beside_a_part(tmp_path):
    journal = Journal(tmp_path, "log", settings(), spare=1 << 50)
    assert not journal.append(frame(0), wire.encode(frame(0)))
    assert journal.full == "less than 1048576 GiB is free on the disk"
    journal.close()
