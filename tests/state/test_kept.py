"""A class declares what it keeps: states are copies, and what does not fit is named."""

import pickle
from collections import Counter, deque

import numpy as np
import pytest

from stream_infomax.state.kept import Kept


class Inner(Kept):
    kept = ("mean",)

    def __init__(self):
        self.mean = np.zeros(3)


class Outer(Kept):
    kept = ("count", "share", "name", "_rows", "seen", "last", "inner", "nothing")
    free = {"_rows": (0,)}  # noqa: RUF012

    def __init__(self):
        self.count, self.share, self.name = 0, 0.5, "a"
        self._rows = np.zeros((0, 2), np.float32)
        self.seen: Counter[str] = Counter()
        self.last: deque[int] = deque(maxlen=2)
        self.inner = Inner()
        self.nothing = None


def filled():
    one = Outer()
    one.count, one.share, one.name = 3, float("nan"), "b"
    one._rows = np.ones((4, 2), np.float32)
    one.seen["x"] += 2
    one.last.extend([1, 2, 3])
    one.inner.mean += 7
    return one


def test_a_state_is_a_tree_of_copies():
    one = filled()
    state = one.state()
    assert list(state) == ["count", "share", "name", "rows", "seen", "last", "inner", "nothing"]
    one._rows += 1
    one.seen["x"] += 1
    one.inner.mean += 1
    assert state["rows"].tolist() == [[1, 1]] * 4
    assert (state["seen"], state["last"], state["inner"]["mean"][0]) == ({"x": 2}, [2, 3], 7)


def test_restore_takes_over_copies_of_the_same_kinds():
    state = filled().state()
    one = Outer()
    inner = one.inner
    one.restore(state)
    state["rows"][:] = state["inner"]["mean"][:] = 0
    assert (one.count, one.name, type(one.seen), one.last.maxlen) == (3, "b", Counter, 2)
    assert np.isnan(one.share)
    assert one.inner is inner
    assert (one._rows == 1).all()
    assert (one.inner.mean == 7).all()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", 1.5, "count: 1.5; accepted is .* int"),
        ("count", True, "count: True"),
        ("share", "x", "share: 'x'"),
        ("name", 3, "name: 3"),
        ("rows", np.zeros((4, 3)), r"rows: an array of shape \(4, 3\) .* accepted is \(any, 2\), float32"),
        ("rows", np.zeros((4, 2), complex), "dtype complex128"),
        ("rows", np.zeros(4), "shape"),
        ("seen", [1], r"seen: \[1\]; accepted is a Counter"),
        ("last", 7, "last: 7"),
        ("inner", {"mean": np.zeros(4)}, r"inner\.mean: an array of shape \(4,\) .* accepted is \(3\), float64"),
    ],
)
def test_what_does_not_fit_is_named(key, value, message):
    with pytest.raises(ValueError, match=message.replace("int", r"\(int\)")):
        Outer().restore(filled().state() | {key: value})


def test_what_is_missing_is_named():
    state = filled().state()
    del state["inner"]["mean"]
    with pytest.raises(KeyError, match=r"inner\.mean: missing in the state of Inner"):
        Outer().restore(state)


def test_a_pickle_with_read_only_arrays_can_be_written_to():
    one = filled()
    one.parts = [np.ones(2), (np.ones(2), {"a": np.ones(2)})]
    for array in (one._rows, one.inner.mean, one.parts[0], one.parts[1][0], one.parts[1][1]["a"]):
        array.flags.writeable = False
    made = Outer.__new__(Outer)
    made.__setstate__(one.__getstate__())
    again = pickle.loads(pickle.dumps(one))  # noqa: S301
    for copy in (made, again):
        for array in (copy._rows, copy.parts[0], copy.parts[1][0], copy.parts[1][1]["a"]):
            array += 1
    assert not one._rows.flags.writeable
