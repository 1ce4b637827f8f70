"""A live source that keeps a journal, on a disk that is full, and after the death of a machine."""

import os
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from helpers.extras import needs
from helpers.faults import fault, see
from helpers.journals import Life, push, until

from faults.scenarios import small_disk
from stream_infomax.service.signals import Signals

needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")
pytestmark = needs("mcap")


@pytest.fixture
def device(context, tmp_path):
    socket = context.socket(zmq.PUSH)
    socket.connect(f"ipc://{tmp_path}/device")
    return socket


def filled(life: Life, device, folder: Path, caplog) -> str:
    """Run a source on a small disk that is full for a while; return what it said."""
    with closing(Signals()) as signals, life.opened(signals) as loop:
        push(device, range(3))
        until(loop, 2)
        filler = folder / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        loop.feed.journal._end_part()  # the next frame begins another
        push(device, range(3, 6))
        while not loop.feed.journal.full:
            loop.turn()
        filler.unlink()
        push(device, range(6, 9), end=True)
        assert loop.run()
    return caplog.text


@fault("journal stop")
@needs_mounts
def test_a_full_disk_stops_the_source_until_there_is_room(tmp_path, device, caplog):
    with small_disk(tmp_path / "source", 800):
        life = Life(tmp_path, log_bytes=128 << 10, part=128 << 10)
        see("journal stop", filled(life, device, tmp_path / "source", caplog))
        assert "there is room again, frames are written from 3 on" in caplog.text
        assert life.kept() == [(n, n) for n in range(9)]


@fault("journal drop")
@needs_mounts
def test_a_full_disk_costs_the_journal_where_that_was_said(tmp_path, device, caplog):
    with small_disk(tmp_path / "source", 800):
        life = Life(tmp_path, log_bytes=128 << 10, part=128 << 10, on_full="drop")
        see("journal drop", filled(life, device, tmp_path / "source", caplog))
        assert life.kept() == [(n, n) for n in range(9)]


@fault("journal torn")
def test_the_end_of_a_file_that_never_reached_the_disk(tmp_path, device, caplog):
    life = Life(tmp_path)
    with closing(Signals()) as signals:
        with life.opened(signals) as loop:
            push(device, range(20))
            until(loop, 19)
        (path,) = (tmp_path / "source/journal").glob("part-*")
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
        with life.opened(signals) as loop:
            see("journal torn", caplog.text)
            there = loop.feed.journal.newest + 1
            assert 5 < there < 15
            push(device, range(20, 25), end=True)
            assert loop.run()
    assert [number for _, number in life.kept()] == [*range(there), *range(20, 25)]
