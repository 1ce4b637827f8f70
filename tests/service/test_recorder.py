"""The recorder's parts and the file made of them; the recorder as a process is tested in test_runtime.py."""

import json

import numpy as np
import pytest

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service.recorder import FrameStore, assemble
from stream_infomax.state.file import StateFileError


def frame(offset, rows=2, width=3, **settings):
    values = np.full((rows, width), offset, np.float32)
    return Frame(stream="a", offset=offset, arrays={"x": Array(values, ("time", "component"))}, **settings)


def kept(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_parts_are_continued_and_nothing_is_there_twice(tmp_path):
    store = FrameStore(tmp_path / "parts")
    store.log_id = "run"
    for offset in range(3):
        store.add(frame(offset))
    store.flush(3)
    store.flush(3)
    store.add(frame(3))  # never flushed: the process was killed
    again = FrameStore(tmp_path / "parts")
    assert (again.next, again.log_id, again.finished) == (3, "run", False)
    for offset in range(1, 6):
        again.add(frame(offset))
    again.flush(6, finished=True)
    assert FrameStore(tmp_path / "parts").finished
    assemble(again, tmp_path / "x.npz")
    assert list(kept(tmp_path / "x.npz")["frames/offset"]) == list(range(6))
    assert len(list((tmp_path / "parts").iterdir())) == 2


def part_with(folder, offset):
    store = FrameStore(folder)
    store.add(frame(offset))
    store.flush(offset + 1)


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
    store.add(frame(0, segment="s", time=0.5, rate=4.0, labels={"b": "ö", "a": "1"}, encoder="e", update=3))
    store.add(Frame(stream="b", offset=1, segment="s", labels={"late": "yes"}, last=True))
    store.add(frame(4, rows=3))
    store.flush(5)
    assemble(store, tmp_path / "x.npz")
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


def test_rows_keep_their_shape_and_empty_ones_do_not_count(tmp_path):
    store = FrameStore(tmp_path)
    grid = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    store.add(frame(0, width=0))  # warm-up: nobody knows the width yet
    store.add(Frame(stream="a", offset=1, arrays={"x": Array(grid, ("grid_y", "grid_x", "component"))}))
    store.flush(2)
    assemble(store, tmp_path / "x.npz")
    np.testing.assert_array_equal(kept(tmp_path / "x.npz")["x"], grid.reshape(6, 4))


def test_rows_that_become_longer_are_filled_up(tmp_path):
    store = FrameStore(tmp_path)
    for offset, width in enumerate((1, 1, 3)):
        store.add(frame(offset, width=width))
    store.flush(3)
    assemble(store, tmp_path / "x.npz")
    found = kept(tmp_path / "x.npz")["x"]
    assert found.shape[1] == 3
    np.testing.assert_array_equal(np.isnan(found).sum(axis=1), [2] * (2 * len(found) // 3) + [0] * (len(found) // 3))


def test_columns_have_the_names_of_their_classes(tmp_path):
    store = FrameStore(tmp_path)
    store.add(frame(0, width=2))
    store.flush(1)
    assemble(store, tmp_path / "x.npz", {"x": ["brick", "löwe", "came too late"], "carried no further": ["a"]})
    found = kept(tmp_path / "x.npz")
    assert list(found["classes/x"]) == ["brick", "löwe"]
    assert [name for name in found if name.startswith("classes/")] == ["classes/x"]


def test_rows_that_change_their_shape_are_named(tmp_path):
    store = FrameStore(tmp_path)
    store.add(frame(0))
    store.add(frame(1, width=2))
    store.flush(2)
    with pytest.raises(ValueError, match=r"array 'x' has rows of shape \(2,\) from offset 1 on, before \(3,\)"):
        assemble(store, tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_the_same_frames_make_the_same_file(tmp_path):
    for name in ("one", "two"):
        store = FrameStore(tmp_path / name)
        for offset in range(4):
            store.add(frame(offset))
            if name == "one":
                store.flush(offset + 1)
        store.flush(4)
        assemble(store, tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_damaged_part_is_named(tmp_path):
    store = FrameStore(tmp_path)
    store.add(frame(0))
    store.flush(1)
    (part,) = tmp_path.iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(StateFileError, match=r"part-000000\.safetensors"):
        FrameStore(tmp_path)


def test_large_frames_make_a_part_due(tmp_path, monkeypatch):
    monkeypatch.setattr("stream_infomax.service.recorder.PART_BYTES", 100)
    store = FrameStore(tmp_path)
    store.add(frame(0))
    assert store.due
    store.flush(1)
    assert not store.due
