"""Pages of large arrays: what has not changed is not written again, and what a state shows never changes."""

import copy
import pickle

import numpy as np
import pytest

from stream_infomax.learning.infomax.replay import PAGE, RowMemory
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.state.file import StateFileError, load, pages_of, save
from stream_infomax.state.pages import LARGE, PAGE_BYTES, Paged, PageStore, paged

WIDTH = 64
PER_PAGE = PAGE // WIDTH


def memory(n_pages=5, n_rows=0):
    made = RowMemory(n_pages * PAGE_BYTES, WIDTH, seed=1)
    made.add(np.random.default_rng(0).standard_normal((n_rows, WIDTH)).astype(np.float32))
    return made


def at(position, **state):
    empty = {"lost": {}, "config": {}, "source": {}, "sinks": {}}
    return Checkpoint(log="log", processed=position - 1, finished=False, stages={"a": state}, **empty)


def pages_in(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "pages").iterdir()}


def rows(n, seed):
    return np.random.default_rng(seed).standard_normal((n, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("width", [1, 7, 64, 3 * PAGE // 2])
def test_what_a_state_shows_stays_what_it_was(width):
    ring = RowMemory(5 * PAGE_BYTES // 2, width, seed=1)
    rng = np.random.default_rng(width)
    shown = []
    for _ in range(30):
        ring.add(rng.standard_normal((rng.integers(1, len(ring.rows) // 2 + 2), width)).astype(np.float32))
        there = ring.rows[: min(ring.written, len(ring.rows))]
        shown.append((ring.state()["rows"], there.copy()))
    for state, expected in shown:
        assert (state.shape, state.dtype, len(state)) == (expected.shape, expected.dtype, len(expected))
        np.testing.assert_array_equal(state, expected)


def test_a_memory_that_goes_on_from_a_state_leaves_the_states_of_before():
    ring, other = memory(n_rows=3 * PER_PAGE), memory(n_rows=5 * PER_PAGE + 9)
    before = np.asarray(ring.state()["rows"])
    shown = ring.state()
    ring.restore(other.state())
    np.testing.assert_array_equal(shown["rows"], before)
    np.testing.assert_array_equal(ring.state()["rows"], other.state()["rows"])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_copies_are_arrays_of_their_own(way):
    ring = memory(n_rows=2 * PER_PAGE + 5)
    state = ring.state()
    other = way(ring)
    other.add(rows(4 * PER_PAGE, 3))
    made = way(state)["rows"]
    assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made, state["rows"])
    np.testing.assert_array_equal(state["rows"], ring.rows[: ring.written])


def test_what_has_not_changed_is_not_written_again(tmp_path):
    checkpoints, ring = Checkpoints(tmp_path), memory(n_rows=3 * PER_PAGE)
    checkpoints.save(at(1, memory=ring.state()))
    checkpoints.save(at(2, memory=ring.state()))  # in the other half
    first = pages_in(tmp_path)
    assert len(first) == 6
    ring.add(rows(PER_PAGE // 2, 1))
    checkpoints.save(at(3, memory=ring.state()))
    checkpoints.save(at(4, memory=ring.state()))
    assert {name: when for name, when in pages_in(tmp_path).items() if name in first} == first
    assert len(pages_in(tmp_path)) == 8
    again, life = memory(), Checkpoints(tmp_path)
    again.restore(life.latest().stages["a"]["memory"])
    before = pages_in(tmp_path)
    for position in (5, 6):
        life.save(at(position, memory=again.state()))
    assert pages_in(tmp_path) == before
    np.testing.assert_array_equal(again.rows[: again.written], ring.rows[: ring.written])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_pages_that_no_checkpoint_needs_go(tmp_path, keep):
    checkpoints, ring = Checkpoints(tmp_path, keep=keep), memory()
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / f"0-{'a' * 32}.tmp").write_bytes(b"half a page")
    (tmp_path / "pages" / "notes").write_bytes(b"somebody's")
    for position in range(1, 12):
        ring.add(rows(PER_PAGE + 7, position))
        checkpoints.save(at(position, memory=ring.state()))
        needed = [pages_of(path) for path in checkpoints.paths()]
        assert set(pages_in(tmp_path)) == set().union(*needed) | {"notes"}
    if keep > 1:  # the newest two have nothing in common that may be damaged
        assert needed[-1].isdisjoint(needed[-2])
    for path in checkpoints.paths():
        assert load(path)["stages"]["a"]["memory"]["rows"].shape[1] == WIDTH


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * PAGE_BYTES)])
def test_a_damaged_page_is_a_damaged_checkpoint(tmp_path, caplog, damage):
    checkpoints, ring = Checkpoints(tmp_path), memory(n_rows=2 * PER_PAGE)
    for position in (1, 2):
        checkpoints.save(at(position, memory=ring.state()))
    name = min(pages_of(checkpoints.paths()[-1]))
    damage(tmp_path / "pages" / name)
    life = Checkpoints(tmp_path)
    saved = life.latest()
    assert saved.processed == 0
    assert name in caplog.text
    ring.restore(saved.stages["a"]["memory"])
    life.save(at(2, memory=ring.state()))  # writes it anew
    assert Checkpoints(tmp_path).latest().processed == 1


def test_large_arrays_of_any_kind_are_cut_into_pages(tmp_path):
    big = np.arange(LARGE // 2, dtype=np.float64).reshape(-1, 4)
    tree = {
        "big": big,
        "transposed": big.T,
        "flags": np.zeros(LARGE + 5, bool),
        "$pages": {"names": 3},
        "small": big[:9],
    }
    path = tmp_path / "x.safetensors"
    save(path, tree, PageStore(tmp_path))
    assert path.stat().st_size < 4096
    found = load(path)
    assert list(found) == list(tree)
    for key in ("big", "transposed", "flags", "small"):
        assert found[key].dtype == tree[key].dtype
        np.testing.assert_array_equal(found[key], tree[key])
    assert found["$pages"] == tree["$pages"]
    alone = tmp_path / "alone.safetensors"
    save(alone, {"pages": paged(big)})
    assert pages_of(alone) == set()
    np.testing.assert_array_equal(load(alone)["pages"], big)


@pytest.mark.parametrize(
    "about",
    [
        {"names": ["../../etc/passwd"], "shape": [1], "dtype": "<f4"},
        {"names": [], "shape": [4], "dtype": "<f4"},
        {"names": [], "shape": [-1], "dtype": "<f4"},
        {"names": [], "shape": [0], "dtype": "O"},
        {"names": [], "shape": [1 << 62, 1 << 62], "dtype": "<f8"},
        {"names": 3},
    ],
)
def test_pages_that_make_no_sense_are_refused(tmp_path, monkeypatch, about):
    path = tmp_path / "x.safetensors"
    monkeypatch.setattr("stream_infomax.state.file._put", lambda *_: {"$pages": about})
    save(path, {"x": np.zeros(1)})
    with pytest.raises(StateFileError, match=r"x\.safetensors"):
        load(path)


def test_a_page_of_nothing(tmp_path):
    save(tmp_path / "x.safetensors", {"rows": memory().state()["rows"]}, PageStore(tmp_path))
    assert load(tmp_path / "x.safetensors")["rows"].shape == (0, WIDTH)
    assert not (tmp_path / "pages").exists()
    assert np.asarray(Paged([], (0, 3), "f4"), np.float64).dtype == np.float64
