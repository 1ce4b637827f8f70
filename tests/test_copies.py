"""Whatever holds state goes on from any copy of it with the same bits, and the original is left alone."""

import copy
import gc
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import types

import numpy as np
import pytest
from helpers.held import HAS_IMAGES, HAS_MCAP, HAS_MEL, HAS_TORCH, HAS_VIDEO, HAS_XDF, Held, go_on
from helpers.held_learning import LEARNING
from helpers.held_running import RUNNING

import stream_infomax
from stream_infomax.state import file as state_file

HELD = {**LEARNING, **RUNNING}
WAYS = ["pickle", "deepcopy", "joblib", "state", "fork", "spawn"]


@pytest.fixture(scope="module")
def spawned():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def from_joblib(one, folder):
    """A copy whose arrays are read-only maps of a file, as joblib gives them to its workers."""
    joblib = pytest.importorskip("joblib")
    joblib.dump(one, folder / "one.joblib")
    return joblib.load(folder / "one.joblib", mmap_mode="r")


def from_state(one, held, folder):
    if not hasattr(one, "state"):
        pytest.skip("has no state of its own")
    state_file.save(folder / "one.safetensors", one.state())
    made = held.make()
    made.restore(state_file.load(folder / "one.safetensors"))
    return made


def in_a_fork(one, held):
    """What a process makes of the object that was there when it began."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: there.send(go_on(one, held.feed, held.before)))
    process.start()
    there.close()
    made = here.recv()
    process.join()
    assert process.exitcode == 0
    return made


@pytest.mark.filterwarnings("ignore:overflow|invalid value")
@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("way", WAYS)
def test_goes_on_with_the_same_bits(name, way, tmp_path, spawned):
    held: Held = HELD[name]
    if (name, way) == ("greedy infomax", "spawn"):
        pytest.skip("a module of torch shares its weights' memory with the process that it is sent to")
    one, twin = held.make(), held.make()
    for made in (one, twin):
        go_on(made, held.feed, 0, held.before)
    expected = go_on(twin, held.feed, held.before)
    match way:
        case "pickle":
            made = go_on(pickle.loads(pickle.dumps(one)), held.feed, held.before)  # noqa: S301
        case "deepcopy":
            made = go_on(copy.deepcopy(one), held.feed, held.before)
        case "joblib":
            made = go_on(from_joblib(one, tmp_path), held.feed, held.before)
        case "state":
            made = go_on(from_state(one, held, tmp_path), held.feed, held.before)
        case "fork":
            made = in_a_fork(one, held)
        case "spawn":
            made = spawned.apply_async(go_on, (one, held.feed, held.before)).get(100)
    same(made, expected)
    same(go_on(one, held.feed, held.before), expected)  # the copy has left the original alone


@pytest.mark.filterwarnings("ignore:overflow|invalid value")
@pytest.mark.parametrize("name", [name for name, held in HELD.items() if hasattr(held.make(), "state")])
def test_a_state_is_of_its_moment(name):
    """A thread writes it to the disk while the object goes on."""
    held = HELD[name]
    one = held.make()
    go_on(one, held.feed, 0, held.before)
    state = one.state()
    before = copy.deepcopy(state)
    go_on(one, held.feed, held.before)
    same_state(state, before)


@pytest.mark.parametrize("name", [name for name, held in HELD.items() if hasattr(held.make(), "get_params")])
def test_a_clone_begins_afresh_with_the_same_parameters(name):
    clone = pytest.importorskip("sklearn.base").clone
    held = HELD[name]
    one = held.make()
    go_on(one, held.feed, 0, held.before)
    made = clone(one)
    assert made.get_params() == one.get_params()
    fresh = type(one)(**one.get_params())
    same(go_on(made, held.feed, 0), go_on(fresh, held.feed, 0))


# ---------------------------------------------------------------- none is forgotten


def classes_with_state():
    """Every class of the package that keeps something for another day, but those that only say how."""
    found = set()
    for module in pkgutil.walk_packages(stream_infomax.__path__, "stream_infomax."):
        if not module.name.endswith("__main__"):
            found |= {one for one in vars(importlib.import_module(module.name)).values() if inspect.isclass(one)}
    return {
        one
        for one in found
        if one.__module__.startswith("stream_infomax.")
        and (hasattr(one, "state") or "Module" in {base.__name__ for base in one.__mro__})
        and (hasattr(one, "restore") or not hasattr(one, "state"))
        and not getattr(one, "_is_protocol", False)
        and not hasattr(one, "receive")  # a live source has a device, which is there once
        and not any(other is not one and issubclass(other, one) for other in found)
    }


def classes_within(one):
    """The package's classes of all objects that an object leads to."""
    seen, todo = {}, [one]
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(
            found, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType
        ):
            continue
        seen[id(found)] = found
        todo += gc.get_referents(found)
    return {type(found) for found in seen.values() if type(found).__module__.startswith("stream_infomax.")}


@pytest.mark.skipif(
    not (HAS_TORCH and HAS_MEL and HAS_IMAGES and HAS_VIDEO and HAS_XDF and HAS_MCAP),
    reason="some classes cannot be made without extras",
)
@pytest.mark.filterwarnings("ignore")
def test_every_class_that_holds_state_is_among_those_tested():
    tested = set()
    for held in HELD.values():
        one = held.make()
        for i in range(held.before):
            go_on(one, held.feed, i, 1)
            tested |= classes_within(one)
    missing = sorted(f"{one.__module__}.{one.__qualname__}" for one in classes_with_state() - tested)
    assert not missing, "put an object that leads to each of these into tests/helpers/held_*.py"


def same(made, expected):
    assert len(made) == len(expected)
    for one, other in zip(made, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def same_state(one, other):
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same_state(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same_state(left, right)
    elif hasattr(one, "__array__"):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    else:
        assert repr(one) == repr(other)
