"""Rolling parts: where they end, what is removed, what is there after a death, and what they take in memory."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.sinks.npz import NpzSink
from stream_infomax.sinks.parquet import ParquetSink
from stream_infomax.state.file import StateFileError


def frame(offset, rows=2, width=3, dtype=np.float32, stream="a", **settings):
    values = np.full((rows, width), offset, dtype)
    settings = {"rate": 4.0, "time": offset * rows / 4.0, **settings}
    return Frame(stream=stream, offset=offset, arrays={"x": Array(values, ("time", "component"))}, **settings)


def work(sink, frames, every=3, finish=True):
    """Let the sink have frames, with a checkpoint after every few; return the last state and its mark."""
    saved = None
    frames = list(frames)
    for number, one in enumerate(frames, 1):
        sink.accept(Output(one, "run"))
        if number % every == 0 or number == len(frames):
            mark = Mark("run", one.offset + 1, finish and number == len(frames))
            saved = sink.save(mark), mark
            sink.committed()
    return saved


def parts(folder):
    """Return offsets and rows of each part in the order of their names."""
    found = []
    for path in sorted(folder.glob("part-*.npz")):
        with np.load(path) as file:
            found.append((list(file["frames/offset"]), file["x"]))
    return found


def offsets(folder):
    return [found for found, _ in parts(folder)]


def made(tmp_path, **settings):
    return NpzSink("sink", tmp_path / "sink", path=str(tmp_path / "parts"), **settings)


def test_a_part_has_so_many_seconds_of_data(tmp_path):
    work(made(tmp_path, part_seconds=1.0), map(frame, range(7)))  # half a second each
    assert offsets(tmp_path / "parts") == [[0, 1], [2, 3], [4, 5], [6]]
    assert sorted(path.name for path in (tmp_path / "parts").iterdir())[1] == "part-000000000000.npz"


def test_seconds_are_those_of_the_stream_that_brought_most(tmp_path):
    streams = [frame(offset, stream="ab"[offset % 2], time=offset // 2 * 0.5) for offset in range(8)]
    work(made(tmp_path, part_seconds=1.0), streams)
    assert offsets(tmp_path / "parts") == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_recordings_that_begin_at_0_again_are_counted_in_a_row(tmp_path):
    work(made(tmp_path, part_seconds=1.0), [frame(offset, time=0.0, segment=str(offset)) for offset in range(4)])
    assert offsets(tmp_path / "parts") == [[0, 1], [2, 3]]


def test_a_clock_that_jumps_ends_no_part_of_rows_with_a_rate(tmp_path):
    jumping = [frame(offset, time=1e9 * (offset % 2)) for offset in range(4)]
    work(made(tmp_path, part_seconds=2.0), jumping)
    assert offsets(tmp_path / "parts") == [[0, 1, 2, 3]]


def test_irregular_rows_go_by_their_times(tmp_path):
    work(made(tmp_path, part_seconds=2.0), [frame(n, rows=1, rate=0.0, time=t) for n, t in enumerate([0, 1.9, 2, 3])])
    assert offsets(tmp_path / "parts") == [[0, 1, 2], [3]]


def test_a_part_has_so_many_bytes(tmp_path):
    size = sum(map(len, Output(frame(0)).parts))
    work(made(tmp_path, part=2 * size, part_seconds=0), map(frame, range(5)))
    assert offsets(tmp_path / "parts") == [[0, 1], [2, 3], [4]]


def test_where_parts_end_does_not_depend_on_checkpoints_and_deaths(tmp_path):
    frames = [frame(offset, rows=1 + offset % 3) for offset in range(30)]
    work(made(tmp_path / "whole", part_seconds=2.5), frames)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole/parts").glob("part-*")}
    assert len(expected) > 4
    for every in (1, 2, 7):
        died = made(tmp_path / f"died{every}", part_seconds=2.5)
        for until in (8, 19, 30):
            saved = work(died, frames[died.next : until], every, finish=until == 30)
            died = made(tmp_path / f"died{every}", part_seconds=2.5)
            died.restore(*saved)
        found = {path.name: path.read_bytes() for path in (tmp_path / f"died{every}/parts").glob("part-*")}
        assert found == expected


class Death(BaseException):
    """The process is gone."""


def test_it_may_die_at_any_step_on_the_disk(tmp_path, monkeypatch):
    """At every third moment before or after an fsync, a rename and a removal."""
    frames = [frame(offset, rows=1 + offset % 3, width=0 if offset < 4 else 3) for offset in range(22)]
    steps, dies_at = 0, -1

    def deadly(step):
        def careful(*arguments, **settings):
            nonlocal steps
            steps += 1
            if steps == dies_at:
                raise Death
            done = step(*arguments, **settings)
            steps += 1
            if steps == dies_at:
                raise Death
            return done

        return careful

    for place, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(place, name, deadly(getattr(place, name)))

    def life(folder, saved):
        sink = made(folder, part_seconds=1.0, keep_seconds=3.0)
        if saved:
            sink.restore(*saved[-1])
        for one in frames[saved[-1][1].next if saved else 0 :]:
            sink.accept(Output(one, "run"))
            if one.offset % 3 == 2 or one is frames[-1]:
                mark = Mark("run", one.offset + 1, one is frames[-1])
                saved.append((sink.save(mark), mark))
                sink.committed()
        return sink.counts()

    def content(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    counts = life(tmp_path / "whole", [])
    whole, n_steps = content(tmp_path / "whole"), steps
    assert n_steps > 100
    assert counts["parts removed"] > 3
    for at in range(1, n_steps + 1, 3):  # an odd stride meets deaths before a step and after it
        steps, dies_at = 0, at
        saved = []
        with pytest.raises(Death):
            life(tmp_path / f"{at}", saved)
        dies_at = -1
        assert life(tmp_path / f"{at}", saved) == counts, at
        assert content(tmp_path / f"{at}") == whole, at


def test_rows_of_the_warm_up_wait_for_their_width(tmp_path):
    """A part that begins before the width is settled ends after it, where it ends without a death too."""
    frames = [frame(offset, width=0 if offset < 6 else 3) for offset in range(12)]
    for name, died_at in (("whole", 12), ("died", 9)):
        sink = made(tmp_path / name, part_seconds=1.0)
        saved = work(sink, frames[:died_at], every=1, finish=died_at == 12)
        if died_at < 12:
            sink = made(tmp_path / name, part_seconds=1.0)
            sink.restore(*saved)
            work(sink, frames[died_at:], every=1)
        found = parts(tmp_path / name / "parts")
        assert [found for found, _ in found] == [[0, 1, 2, 3, 4, 5, 6], [7, 8], [9, 10], [11]]
        assert np.isnan(found[0][1][:12]).all()
        np.testing.assert_array_equal(found[0][1][12:], np.full((2, 3), 6))


def test_a_width_that_is_known_holds_for_later_rows_without_one(tmp_path):
    work(made(tmp_path, part_seconds=1.0), [frame(0), frame(1), frame(2, width=0), frame(3, width=0)])
    assert [rows.shape for _, rows in parts(tmp_path / "parts")] == [(4, 3), (4, 3)]
    assert np.isnan(parts(tmp_path / "parts")[1][1]).all()


def test_a_learner_that_never_settles_is_no_error(tmp_path):
    work(made(tmp_path, part_seconds=1.0), [frame(offset, width=0) for offset in range(5)])
    assert [rows.shape for _, rows in parts(tmp_path / "parts")] == [(10, 0)]


def test_rows_of_another_type_begin_a_part(tmp_path):
    work(made(tmp_path), [frame(0), frame(1), frame(2, dtype=np.int16), frame(3, dtype=np.int16)])
    assert offsets(tmp_path / "parts") == [[0, 1], [2, 3]]
    assert [rows.dtype for _, rows in parts(tmp_path / "parts")] == [np.float32, np.int16]


def test_only_the_arrays_that_are_wanted_are_kept(tmp_path):
    both = Frame("a", 0, arrays={name: Array(np.ones((1, 2), np.float32), ("time", "mel")) for name in "xy"})
    work(made(tmp_path, arrays=("x",)), [both])
    with np.load(tmp_path / "parts/part-000000000000.npz") as file:
        assert {"x", "y"} & set(file.files) == {"x"}


def test_old_parts_are_removed_by_size_and_counted(tmp_path):
    work(made(tmp_path / "all", part_seconds=1.0), map(frame, range(20)))
    sizes = [path.stat().st_size for path in sorted((tmp_path / "all/parts").glob("part-*"))]
    sink = made(tmp_path, part_seconds=1.0, keep=sum(sizes[-3:]))
    work(sink, map(frame, range(20)))
    assert offsets(tmp_path / "parts") == [[14, 15], [16, 17], [18, 19]]
    assert sink.counts() == {"parts": 10, "parts removed": 7}


def test_old_parts_are_removed_by_seconds_of_data_and_counted(tmp_path):
    sink = made(tmp_path, part_seconds=1.0, keep_seconds=2.5)
    work(sink, map(frame, range(20)))
    assert offsets(tmp_path / "parts") == [[14, 15], [16, 17], [18, 19]]
    assert sink.counts() == {"parts": 10, "parts removed": 7}


def test_the_newest_part_stays(tmp_path):
    work(made(tmp_path, part_seconds=1.0, keep=1), map(frame, range(6)))
    assert offsets(tmp_path / "parts") == [[4, 5]]


def test_what_is_removed_is_counted_once_whatever_dies(tmp_path):
    settings = {"part_seconds": 1.0, "keep_seconds": 2.0}
    sink = made(tmp_path, **settings)
    saved = work(sink, map(frame, range(9)), finish=False)
    for offset in range(9, 16):  # it dies after its save and before the checkpoint: all that comes again
        sink.accept(Output(frame(offset), "run"))
    sink.save(Mark("run", 16, False))
    assert offsets(tmp_path / "parts")[0] == [4, 5], "nothing is removed before the checkpoint"
    again = made(tmp_path, **settings)
    again.restore(*saved)
    work(again, map(frame, range(9, 20)))
    assert again.counts() == {"parts": 10, "parts removed": 8}
    assert offsets(tmp_path / "parts") == [[16, 17], [18, 19]]


def test_a_checkpoint_that_was_damaged_doubles_nothing(tmp_path):
    """The one before it is used; the frames between may be gone, and those that come are in parts already."""
    sink = made(tmp_path, part_seconds=1.0)
    older = work(sink, map(frame, range(3)), finish=False)
    work(sink, map(frame, range(3, 12)), finish=False)
    again = made(tmp_path, part_seconds=1.0)
    again.restore(*older)
    work(again, map(frame, range(7, 14)))
    assert offsets(tmp_path / "parts") == [[n, n + 1] for n in range(0, 14, 2)]
    assert again.counts()["parts"] == 7


def test_a_part_that_was_taken_away_changes_nothing(tmp_path):
    sink = made(tmp_path, part_seconds=1.0)
    saved = work(sink, map(frame, range(4)), finish=False)
    for path in (tmp_path / "parts").glob("part-*"):
        path.unlink()
    again = made(tmp_path, part_seconds=1.0)
    again.restore(*saved)
    work(again, map(frame, range(4, 8)))
    assert offsets(tmp_path / "parts") == [[4, 5], [6, 7]]


def test_a_folder_of_another_run_is_refused(tmp_path):
    work(made(tmp_path), map(frame, range(3)))
    other = NpzSink("sink", tmp_path / "other", path=str(tmp_path / "parts"))
    with pytest.raises(ValueError, match=r"parts has parts of another run or sink \(sink 'sink', log run\)"):
        other.accept(Output(frame(0), "another run"))
    namesake = NpzSink("namesake", tmp_path / "other", path=str(tmp_path / "parts"))
    with pytest.raises(ValueError, match="choose an empty folder, or take them away"):
        namesake.accept(Output(frame(0), "run"))


def test_what_a_dead_process_was_writing_is_no_part(tmp_path):
    sink = made(tmp_path, part_seconds=1.0)
    saved = work(sink, map(frame, range(2)), finish=False)
    (tmp_path / "parts/.part-000000000002.npz.tmp").write_bytes(b"half a part")
    again = made(tmp_path, part_seconds=1.0)
    again.restore(*saved)
    work(again, map(frame, range(2, 4)))
    names = {path.name for path in (tmp_path / "parts").iterdir()}
    assert names == {".parts.json", "part-000000000000.npz", "part-000000000002.npz"}


def test_a_damaged_part_is_named_and_left_and_the_others_follow(tmp_path, caplog):
    saved = work(made(tmp_path, part_seconds=1.0), map(frame, range(4)), finish=False)
    newest = tmp_path / "parts/part-000000000002.npz"
    newest.write_bytes(newest.read_bytes()[:50])
    again = made(tmp_path, part_seconds=1.0, keep_seconds=100.0)
    again.restore(*saved)
    work(again, map(frame, range(4, 6)))
    assert again.counts()["left out: damaged files"] == 1
    assert "part-000000000002.npz" in caplog.text
    assert newest.stat().st_size == 50
    newest.unlink()
    assert offsets(tmp_path / "parts") == [[0, 1], [4, 5]]


def test_spooled_frames_that_are_damaged_are_counted_and_the_part_is_written_without_them(tmp_path, caplog):
    saved = work(made(tmp_path, part_seconds=100.0), map(frame, range(6)), finish=False)
    spooled = tmp_path / "sink/part-000000.safetensors"
    spooled.write_bytes(spooled.read_bytes()[:-1])
    again = made(tmp_path, part_seconds=100.0)
    again.restore(*saved)
    work(again, map(frame, range(6, 8)))
    assert offsets(tmp_path / "parts") == [[3, 4, 5, 6, 7]]
    assert again.counts()["lost: in damaged parts"] == 3
    assert "part-000000.safetensors" in caplog.text


@pytest.mark.parametrize("kind", [NpzSink, pytest.param(ParquetSink, marks=needs("pyarrow"))])
def test_a_full_disk_is_named_and_the_part_is_written_later(tmp_path, kind):
    def made():
        return kind("sink", tmp_path / "sink", path=str(tmp_path / "parts"), part_seconds=5.0)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = made()
    saved = work(sink, map(frame, range(9)), every=1, finish=False)
    sink.accept(Output(frame(9), "run"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))  # a spool file fits, a part does not
    try:
        with pytest.raises(StateFileError, match=r"part-000000000000\.(npz|parquet): not written: File too large"):
            sink.save(Mark("run", 10, False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {".parts.json"}
    again = made()
    again.restore(*saved)
    work(again, map(frame, range(9, 12)))
    assert again.counts()["parts"] == 2


@pytest.mark.parametrize(("key", "value"), [("part", 0), ("part_seconds", -1.0), ("keep_seconds", -1.0), ("keep", -1)])
def test_settings_that_cannot_be(tmp_path, key, value):
    with pytest.raises(SettingError, match=key):
        made(tmp_path, **{key: value})


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_a_long_stream_takes_bounded_memory(tmp_path, kind):
    """240 MB of features in parts of 64 MiB."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    program = """
import json, resource, sys
from pathlib import Path
import numpy as np
from stream_infomax.configuration.kinds import SINKS
from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
sink = SINKS.load(sys.argv[1])("sink", Path(sys.argv[2]))
noise = np.random.default_rng(0).standard_normal((2000, 256), np.float32)
def go(start, stop):
    for offset in range(start, stop):
        rows = noise + np.float32(offset)
        sink.accept(Output(Frame("a", offset, arrays={"x": Array(rows, ("time", "component"))}, rate=1e6)))
        if sink.due or offset == stop - 1:
            sink.save(Mark("run", offset + 1, offset == 119))
            sink.committed()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([go(0, 40), go(40, 120)]))
"""
    command = [sys.executable, "-P", "-c", program, kind, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    after_one, after_all = json.loads(done.stdout)
    assert len(list((tmp_path / "parts").glob("part-*"))) == 4
    assert after_all < after_one + 40
