"""Checkpoints: whole or refused, and the one before is there when the newest is damaged."""

import json
import math
import resource
import subprocess
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from stream_infomax.streaming.checkpoint import CheckpointError, Checkpoints, differences, load, replacing, save

dtypes = st.sampled_from([np.dtype(name) for name in ("float32", "float64", "int64", "uint8", "bool", "int16")])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats()
    | st.text(max_size=8)
    | hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
keys = st.text(max_size=4).filter(lambda key: key != "$array")
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


@given(tree=st.dictionaries(keys, trees, max_size=4))
def test_what_is_saved_is_loaded(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save(path, tree)
    assert same(load(path), tree)


def test_keys_that_look_like_paths_stay_apart(tmp_path):
    tree = {"a/b": np.zeros(1), "a": {"b": np.ones(2)}, "a/b'": np.full(3, 3.0)}
    save(tmp_path / "c.safetensors", tree)
    assert same(load(tmp_path / "c.safetensors"), tree)


def test_arrays_that_are_not_contiguous(tmp_path):
    values = np.arange(12.0).reshape(3, 4).T[::2]
    save(tmp_path / "c.safetensors", {"x": values})
    np.testing.assert_array_equal(load(tmp_path / "c.safetensors")["x"], values)


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, np.float32(1), object(), {"$array": 1}, np.datetime64("2020")])
def test_what_cannot_be_saved_is_named(tmp_path, value):
    with pytest.raises(TypeError, match="stage/there"):
        save(tmp_path / "c.safetensors", {"stage": {"there": value}})
    assert not list(tmp_path.iterdir())


def test_only_whole_files_are_loaded(tmp_path):
    path = tmp_path / "c.safetensors"
    save(path, {"x": np.arange(100.0), "text": "words"})
    content = path.read_bytes()
    for length in (0, 4, 8, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=str(path)):
            load(path)
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(CheckpointError):
            load(path)
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        load(tmp_path / "absent.safetensors")


def newer(path):
    """Give the checkpoint at `path` the next format's number."""
    with safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, str(path), {**metadata, "format": "2"})


def test_other_formats_are_named(tmp_path):
    path = tmp_path / "c.safetensors"
    save(path, {"x": np.zeros(3)})
    newer(path)
    with pytest.raises(CheckpointError, match="format 2; format 1 is accepted"):
        load(path)
    save_file({"x": np.zeros(3)}, str(path))
    with pytest.raises(CheckpointError, match="no format named"):
        load(path)


def test_the_last_few_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "deep" / "folder", keep=2)
    assert checkpoints.latest() is None
    for position in (10, 20, 15):  # a source may be set back
        checkpoints.save({"position": position}, position)
    assert [path.name.split("-at-")[1] for path in checkpoints.paths()] == ["20.safetensors", "15.safetensors"]
    assert checkpoints.latest() == {"position": 15}
    with pytest.raises(ValueError, match="keep = 0"):
        Checkpoints(tmp_path, keep=0)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"), [(truncate, "truncated"), (corrupt, "damaged"), (newer, "format 2")], ids=lambda x: str(x)
)
def test_a_damaged_one_is_put_aside_and_the_one_before_is_used(tmp_path, caplog, damage, words):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for position in (1, 2):
        checkpoints.save({"position": position, "x": np.arange(3)}, position)
    damage(checkpoints.paths()[-1])
    assert Checkpoints(tmp_path).latest()["position"] == 1
    assert words in caplog.text
    assert "the checkpoint before it is used" in caplog.text
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    caplog.clear()
    assert checkpoints.latest()["position"] == 1
    assert not caplog.text


def test_when_none_is_readable_it_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({}, 1)
    truncate(checkpoints.paths()[0])
    for _ in range(2):  # and does not forget it
        with pytest.raises(CheckpointError, match="none of 1 checkpoints is readable"):
            checkpoints.latest()


def test_what_an_interrupted_save_left_is_removed(tmp_path):
    (tmp_path / "checkpoint-000001-at-5.safetensors.tmp").write_bytes(b"half")
    (tmp_path / "notes.tmp").write_bytes(b"somebody's")
    Checkpoints(tmp_path).save({}, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000001-at-5.safetensors", "notes.tmp"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from stream_infomax.streaming.checkpoint import CheckpointError, Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save({"x": np.zeros(10)}, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    checkpoints.save({"x": np.zeros(10000)}, 2)
except CheckpointError as error:
    print(error)
assert checkpoints.latest()["x"].shape == (10,)
assert len(list(Path(sys.argv[1]).iterdir())) == 1
"""


def test_a_disk_that_takes_no_more_leaves_the_one_before(tmp_path):
    """The limit on a file's size stands for the full disk: the same errors at the same places."""
    assert resource.RLIMIT_FSIZE
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "checkpoint-000002-at-2.safetensors: not written: File too large" in done.stdout


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="oh"), replacing(path) as file:
        file.write(b"new")
        raise RuntimeError("oh")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


CONFIG = {
    "run": {"folder": "runs/a", "seed": 1},
    "stage": [
        {"name": "windows", "hop": 4, "carry": []},
        {"name": "learner", "half_life": None, "log": {"frames": 10}},
    ],
}


def changed(**changes):
    config = json.loads(json.dumps(CONFIG))
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        table = config
        for parent in parents:
            table = table[int(parent)] if parent.isdigit() else table[parent]
        table[leaf] = value
    return config


def test_equal_configurations_do_not_differ():
    assert differences(CONFIG, changed()) == []
    assert differences(CONFIG, changed(stage__0__carry=())) == []


def test_each_key_that_differs_is_named():
    other = changed(run__seed=2, stage__0__hop=8, stage__1__extra=True)
    assert differences(CONFIG, other) == [
        "run.seed is 2, the checkpoint has 1",
        "stage.learner.extra is True, the checkpoint has 'absent'",
        "stage.windows.hop is 8, the checkpoint has 4",
    ]


def test_some_keys_may_change():
    other = changed(run__folder="b", stage__1__half_life=3.0, stage__1__log={"frames": 20, "bind": "tcp://*:1"})
    assert differences(CONFIG, other, ("run.folder", "half_life", "log.*")) == []
    assert len(differences(CONFIG, other, ("half", "folder"))) == 3
