"""State files: what is saved is loaded, and only whole files are."""

import hashlib
import json
import math
import os
import struct

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from stream_infomax.state.error import fitting
from stream_infomax.state.file import StateFileError, load, pages_of, replacing, save

dtypes = st.sampled_from([np.dtype(name) for name in ("float32", "float64", "int64", "uint8", "bool", "int16")])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats()
    | st.text(max_size=8)
    | hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
keys = st.one_of(st.text(max_size=4), st.sampled_from(["$array", "$$array", "$"]))
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


@settings(deadline=None)  # a disk takes its time
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


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, np.float32(1), object(), np.datetime64("2020")])
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
        with pytest.raises(StateFileError, match=str(path)):
            load(path)
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(StateFileError):
            load(path)
    with pytest.raises(StateFileError, match=r"absent\.safetensors"):
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
    with pytest.raises(StateFileError, match="format 2; format 1 is accepted"):
        load(path)
    save_file({"x": np.zeros(3)}, str(path))
    with pytest.raises(StateFileError, match="no format named"):
        load(path)


def test_what_lies_under_the_temporary_name_is_not_written_to(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("left alone")
    (tmp_path / "state.tmp").symlink_to(theirs)
    save(tmp_path / "state", {"a": 1})
    assert theirs.read_text() == "left alone"
    assert not (tmp_path / "state").is_symlink()
    assert load(tmp_path / "state") == {"a": 1}
    (tmp_path / "state.tmp").mkdir()
    with pytest.raises(StateFileError, match="state: not written"):
        save(tmp_path / "state", {"a": 2})


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="oh"), replacing(path) as file:
        file.write(b"new")
        raise RuntimeError("oh")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def signed(path, text, kind="U8"):
    """Write a file with a right digest whose tree is this text, and that has an array of a type."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    digest.update(b"\na uint8 (2,)\n\0\0")
    metadata = {"format": "1", "tree": text, "digest": digest.hexdigest()}
    head = json.dumps({"a": {"dtype": kind, "shape": [2], "data_offsets": [0, 2]}, "__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0\0")


WRONG_TREES = {
    "no JSON": ("{", "its tree makes no sense"),
    "no map": ("[1]", "its tree is a list; accepted is a map"),
    "nested": ('{"a":' * 3000, "nested deeper than 64"),
    "no array of that name": ('{"x": {"$array": "y"}}', "its tree makes no sense"),
    "no name": ('{"x": {"$array": []}}', "its tree makes no sense"),
    "a number of many digits": ('{"x": ' + "9" * 5000 + "}", "its tree makes no sense"),
}


@pytest.mark.parametrize("wrong", WRONG_TREES)
def test_a_whole_file_with_a_wrong_tree_is_named(tmp_path, wrong):
    text, words = WRONG_TREES[wrong]
    path = tmp_path / "c.safetensors"
    signed(path, '{"x": {"$array": "a"}}')
    assert load(path)["x"].tolist() == [0, 0]
    signed(path, text)
    with pytest.raises(StateFileError, match=f"{path}: .*{words}"):
        load(path)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
def test_types_that_numpy_does_not_have_are_named(tmp_path, kind):
    signed(tmp_path / "c", "{}", kind)
    with pytest.raises(StateFileError, match=f"{tmp_path}/c: it has arrays of a type that numpy does not know"):
        load(tmp_path / "c")


def test_whatever_a_state_that_does_not_fit_leads_to_is_one_error():
    for wrong in (lambda: {}["x"], lambda: None + 1, lambda: [][3], lambda: (1.5).x, lambda: np.zeros(2**50)):
        with (
            pytest.raises(ValueError, match="the state of 'a': another version wrote it "),
            fitting("the state of 'a'"),
        ):
            wrong()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("read", [load, pages_of])
def test_a_named_pipe_is_refused_without_waiting_for_it(tmp_path, read):
    os.mkfifo(tmp_path / "c")
    with pytest.raises(StateFileError, match=f"{tmp_path}/c: not readable: .*no regular file"):
        read(tmp_path / "c")
