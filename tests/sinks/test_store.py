"""Frames on disk in parts, and the NPZ file made of them."""

import json
import tracemalloc

import numpy as np
import pytest
from helpers.faults import fault

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.feature_files import write_frames
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state import file as state_file
from stream_infomax.transport.log import pack


def frame(offset, rows=2, width=3, **settings):
    values = np.full((rows, width), offset, np.float32)
    return Frame(stream="a", offset=offset, arrays={"x": Array(values, ("time", "component"))}, **settings)


def kept(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_parts_are_continued_and_nothing_is_there_twice(tmp_path):
    store = FrameStore(tmp_path / "parts")
    for offset in range(3):
        store.accept(Output(frame(offset)))
    store.save(Mark("run", 3, False))
    store.save(Mark("run", 3, False))
    store.accept(Output(frame(3)))  # never flushed: the process was killed
    again = FrameStore(tmp_path / "parts")
    assert (again.next, again.log, again.finished) == (3, "run", False)
    for offset in range(1, 6):
        again.accept(Output(frame(offset)))
    again.save(Mark("run", 6, True))
    assert FrameStore(tmp_path / "parts").finished
    write_frames(tmp_path / "x.npz", again.frames)
    assert list(kept(tmp_path / "x.npz")["frames/offset"]) == list(range(6))
    assert len(list((tmp_path / "parts").iterdir())) == 2


def part_with(folder, offset):
    store = FrameStore(folder)
    store.accept(Output(frame(offset)))
    store.save(Mark("run", offset + 1, False))


def test_the_millionth_part_is_the_newest(tmp_path):
    """As text, 1000000 stands before 999999."""
    part_with(tmp_path, 0)
    (tmp_path / "part-000000.safetensors").rename(tmp_path / "part-999999.safetensors")
    for offset in (1, 2):
        part_with(tmp_path, offset)
    assert [found.offset for found in FrameStore(tmp_path).frames()] == [0, 1, 2]
    assert FrameStore(tmp_path).next == 3


def test_a_part_taken_away_makes_no_other_be_overwritten(tmp_path):
    for offset in range(3):
        part_with(tmp_path, offset)
    (tmp_path / "part-000001.safetensors").unlink()
    part_with(tmp_path, 3)
    assert [found.offset for found in FrameStore(tmp_path).frames()] == [0, 2, 3]


def test_every_frame_and_row_is_described(tmp_path):
    store = FrameStore(tmp_path)
    store.accept(Output(frame(0, segment="s", time=0.5, rate=4.0, labels={"b": "ö", "a": "1"}, encoder="e", update=3)))
    store.accept(Output(Frame(stream="b", offset=1, segment="s", labels={"late": "yes"}, last=True)))
    store.accept(Output(frame(4, rows=3)))
    store.save(Mark("run", 5, False))
    write_frames(tmp_path / "x.npz", store.frames)
    found = kept(tmp_path / "x.npz")
    assert found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], np.repeat([0.0, 4.0], [2, 3])[:, None] * np.ones(3))
    np.testing.assert_array_equal(found["rows/x"], [0, 0, 4, 4, 4])
    assert list(found["frames/offset"]) == [0, 1, 4]
    assert list(found["frames/stream"]) == ["a", "b", "a"]
    assert list(found["frames/segment"]) == ["s", "s", ""]
    assert list(found["frames/time"]) == [0.5, 0.0, 0.0]
    assert list(found["frames/rate"]) == [4.0, 0.0, 0.0]
    assert list(found["frames/last"]) == [False, True, False]
    assert list(found["frames/encoder"]) == ["e", "", ""]
    assert list(found["frames/update"]) == [3, 0, 0]
    assert [json.loads(labels) for labels in found["frames/labels"]] == [{"a": "1", "b": "ö"}, {"late": "yes"}, {}]


def test_rows_keep_their_shape(tmp_path):
    store = FrameStore(tmp_path)
    grid = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    store.accept(Output(Frame(stream="a", offset=0, arrays={"x": Array(grid, ("grid_y", "grid_x", "component"))})))
    store.save(Mark("run", 1, True))
    write_frames(tmp_path / "x.npz", store.frames)
    np.testing.assert_array_equal(kept(tmp_path / "x.npz")["x"], grid.reshape(6, 4))


def test_rows_of_the_warm_up_are_rows_of_nan(tmp_path):
    """Before a learner has settled how many outputs it has, its rows have no columns; they are rows all the same."""
    store = FrameStore(tmp_path)
    store.accept(Output(frame(0, rows=5, width=0)))
    store.accept(Output(frame(1, rows=2, width=3)))
    store.accept(Output(frame(2, rows=0, width=0)))
    store.save(Mark("run", 3, True))
    write_frames(tmp_path / "x.npz", store.frames)
    found = kept(tmp_path / "x.npz")
    assert found["x"].shape == (7, 3)
    assert np.isnan(found["x"][:5]).all()
    np.testing.assert_array_equal(found["x"][5:], np.ones((2, 3)))
    np.testing.assert_array_equal(found["rows/x"], [0] * 5 + [1] * 2)


def test_every_row_has_its_time(tmp_path):
    store = FrameStore(tmp_path)
    rows, item = np.zeros((4, 2), np.float32), np.zeros((1, 3), np.float32)
    arrays = {
        "samples": Array(np.zeros((640, 1), np.float32), ("time", "channel")),
        "x": Array(rows, ("time", "component")),
        "score": Array(item, ("item", "component")),
    }
    store.accept(Output(Frame("a", 0, arrays=arrays, time=2.0, rate=8.0)))
    store.accept(Output(Frame("a", 1, arrays={"x": Array(rows, ("item", "component"))}, time=7.0, rate=8.0)))
    store.save(Mark("run", 2, True))
    write_frames(tmp_path / "x.npz", store.frames)
    found = kept(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["times/x"], [2.0, 2.125, 2.25, 2.375, 7.0, 7.0, 7.0, 7.0])
    np.testing.assert_array_equal(found["times/score"], [2.0])
    assert np.isnan(found["times/samples"]).all()  # the rate of a frame is that of its newest rows


def test_a_file_is_made_in_the_memory_of_one_part(tmp_path):
    """Of 64 MiB in 16 parts."""
    store = FrameStore(tmp_path)
    for offset in range(64):
        store.accept(Output(frame(offset, rows=1024, width=256)))
        if offset % 4 == 3:
            store.save(Mark("run", offset + 1, False))
    tracemalloc.start()
    write_frames(tmp_path / "x.npz", store.frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20
    with np.load(tmp_path / "x.npz") as file:
        np.testing.assert_array_equal(file["x"][:, 0], np.repeat(np.arange(64), 1024))


def test_rows_that_become_longer_are_filled_up(tmp_path):
    store = FrameStore(tmp_path)
    for offset, width in enumerate((1, 1, 3)):
        store.accept(Output(frame(offset, width=width)))
    store.save(Mark("run", 3, False))
    write_frames(tmp_path / "x.npz", store.frames)
    found = kept(tmp_path / "x.npz")["x"]
    assert found.shape[1] == 3
    np.testing.assert_array_equal(np.isnan(found).sum(axis=1), [2] * (2 * len(found) // 3) + [0] * (len(found) // 3))


def test_columns_have_the_names_of_their_classes(tmp_path):
    store = FrameStore(tmp_path)
    store.accept(Output(frame(0, width=2)))
    store.save(Mark("run", 1, False))
    write_frames(
        tmp_path / "x.npz", store.frames, {"x": ["brick", "löwe", "came too late"], "carried no further": ["a"]}
    )
    found = kept(tmp_path / "x.npz")
    assert list(found["classes/x"]) == ["brick", "löwe"]
    assert [name for name in found if name.startswith("classes/")] == ["classes/x"]


def test_rows_that_change_their_shape_are_named(tmp_path):
    store = FrameStore(tmp_path)
    store.accept(Output(frame(0)))
    store.accept(Output(Frame(stream="a", offset=1, arrays={"x": Array(np.zeros((2, 2), np.uint8), ("time", "mel"))})))
    store.save(Mark("run", 2, False))
    expected = r"array 'x' has rows of uint8 \(2,\) from offset 1 on, before float32 \(3,\)"
    with pytest.raises(ValueError, match=expected):
        write_frames(tmp_path / "x.npz", store.frames)
    assert not (tmp_path / "x.npz").exists()


def test_the_same_frames_make_the_same_file(tmp_path):
    for name in ("one", "two"):
        store = FrameStore(tmp_path / name)
        for offset in range(4):
            store.accept(Output(frame(offset)))
            if name == "one":
                store.save(Mark("run", offset + 1, False))
        store.save(Mark("run", 4, False))
        write_frames(tmp_path / f"{name}.npz", store.frames)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


DAMAGE = {
    "cut off": lambda content: content[:-1],
    "a flipped bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "empty": lambda content: b"",
}


@fault("part")
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_damaged_part_is_named_and_counted_and_the_rest_is_there(tmp_path, caplog, damage, which):
    store = FrameStore(tmp_path)
    for stop in (2, 3, 7):
        for offset in range(store.next, stop):
            store.accept(Output(frame(offset)))
        store.save(Mark("run", stop, stop == 7))
    path = tmp_path / f"part-00000{which}.safetensors"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    again = FrameStore(tmp_path)
    again.restore({}, Mark("run", 7, True))
    assert again.next == 7
    lost = [range(2), range(2, 3), range(3, 7)][which]
    for _ in range(2):
        assert [found.offset for found in again.frames()] == [offset for offset in range(7) if offset not in lost]
    assert again.counts() == {"left out: damaged parts": 1, "lost: in damaged parts": len(lost)}
    assert len(caplog.messages) == 1
    assert path.name in caplog.text


WRONG_TREES = {
    "a text for a number": {"next": "1"},
    "no frames": {"frames": {}},
    "other frames": {"frames": [1, 2]},
    "lengths that do not fit": {"frames": pack([(0, [b"abc"])]) | {"lengths": np.array([99])}},
    "numbers that are none": {"frames": pack([(0, [b"abc"])]) | {"counts": np.array([[1.5]])}},
}


@pytest.mark.parametrize("wrong", WRONG_TREES)
def test_a_whole_file_with_another_tree_is_damaged_too(tmp_path, caplog, wrong):
    tree = {"log": "run", "next": 1, "finished": False, "frames": pack([])} | WRONG_TREES[wrong]
    state_file.save(tmp_path / "part-000000.safetensors", tree)
    store = FrameStore(tmp_path)
    assert list(store.frames()) == []
    assert store.counts() == {"left out: damaged parts": 1}
    assert "part-000000" in caplog.text


def test_what_is_no_frame_in_a_whole_part_is_passed_over(tmp_path, caplog):
    good = wire.encode(frame(1))
    frames = pack([(0, [b"noise"]), (1, good)])
    state_file.save(tmp_path / "part-000000.safetensors", {"log": "a", "next": 2, "finished": True, "frames": frames})
    store = FrameStore(tmp_path)
    assert [found.offset for found in store.frames()] == [1]
    assert store.counts() == {"lost: in damaged parts": 1}
    assert "frame 0 is passed over" in caplog.text


def test_large_frames_make_a_part_due(tmp_path, monkeypatch):
    monkeypatch.setattr("stream_infomax.sinks.store.PART_BYTES", 100)
    store = FrameStore(tmp_path)
    store.accept(Output(frame(0)))
    assert store.due
    store.save(Mark("run", 1, False))
    assert not store.due
