"""Settings: what is wrong is named by its key, its value and what is accepted."""

import inspect
import pickle
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings, make, plain
from stream_infomax.settings.types import Doc, Name, Positive, PositiveFloat, Share


class Inner(Settings, frozen=True, kw_only=True):
    """A table in a table."""

    frames: Annotated[Positive, Doc("How many.")] = 8


class Toy(Settings, frozen=True, kw_only=True):
    """Everything that a setting can be."""

    path: Annotated[str, Doc("Where it is.")]
    rate: Annotated[Positive, Doc("Samples a second.")] = 8000
    share: Annotated[Share, Doc("A part.")] = 0.5
    half_life: Annotated[PositiveFloat | None, Doc("Rows.")] = None
    mode: Annotated[Literal["one", "two"], Doc("Which.")] = "one"
    size: Annotated[tuple[Positive, Positive], Doc("Height and width.")] = (1, 2)
    carry: Annotated[tuple[str, ...], Doc("Names.")] = ()
    live: Annotated[bool, Doc("Whether.")] = False
    name: Annotated[Name, Doc("A name.")] = "toy"
    memory: Annotated[Memory, Doc("Rows kept.")] = Memory("24 MiB")
    log: Annotated[Inner, Doc("Its log.")] = Inner()

    def __post_init__(self) -> None:
        if self.mode == "two" and self.rate < 10:
            raise SettingError("rate", self.rate, '10 or more with mode = "two"')


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "path: missing; accepted: text"),
        ({"path": 3}, "path = 3; accepted: text"),
        ({"path": "", "rate": 0}, "rate = 0; accepted: a whole number >= 1"),
        ({"path": "", "rate": "fast"}, "rate = 'fast'; accepted: a whole number >= 1"),
        ({"path": "", "rate": True}, "rate = True; accepted: a whole number >= 1"),
        ({"path": "", "share": 1.0}, "share = 1.0; accepted: a number >= 0 and < 1"),
        ({"path": "", "share": float("nan")}, "share = nan: not finite; accepted: a number >= 0 and < 1"),
        ({"path": "", "half_life": float("inf")}, "half_life = inf: not finite; accepted: a number > 0"),
        ({"path": "", "mode": "three"}, 'mode = \'three\'; accepted: "one", "two"'),
        ({"path": "", "size": [3, 0]}, "size = [3, 0]; accepted: a list of 2; in it a whole number >= 1"),
        ({"path": "", "carry": "a"}, "carry = 'a'; accepted: a list; in it text"),
        ({"path": "", "live": 1}, "live = 1; accepted: true or false"),
        ({"path": "", "log": 3}, "log = 3; accepted: a table with frames"),
        ({"path": "", "log": {"frames": 0}}, "log.frames = 0; accepted: a whole number >= 1"),
        ({"path": "", "log": {"frmaes": 1}}, "log.frmaes = 1: unknown key; accepted: frames"),
        ({"path": "", "memory": "24 MiB\n"}, "memory = '24 MiB\\n'; accepted: a number with a unit"),
        ({"path": "", "memory": "24"}, "memory = '24'; accepted: a number with a unit of B, kB"),
        ({"path": "", "memory": 16.0}, "memory = 16.0; accepted: a number with a unit"),
        ({"path": "", "memory": "9" * 400 + " GiB"}, "memory = '999"),
        ({"path": "", "memory": 1 << 60}, "memory = 1152921504606846976; accepted: a number with a unit"),
        ({"path": "", "rate": 10**30}, "rate = 1000000000000000000000000000000: too large; accepted: a whole"),
        ({"path": "\0"}, "path = '\\x00': holds a zero byte"),
        ({"path": "", "memory": -1}, "memory = -1; accepted: a number with a unit"),
        ({"path": "", "rate": 9, "mode": "two"}, 'rate = 9; accepted: 10 or more with mode = "two"'),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        make(Toy, values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/x", "[/x]", "a/b", "a b", "a\n", "é", "x" * 65])
def test_a_name_that_becomes_a_path_is_a_plain_word(name: str) -> None:
    with pytest.raises(SettingError, match="accepted: a letter and up to 63 letters, digits, hyphens"):
        make(Toy, {"path": "", "name": name})


def test_values_of_python_and_numpy_are_taken() -> None:
    made = make(Toy, {"path": Path("a/b"), "rate": np.int64(9), "half_life": 3, "size": (4, 5), "log": {"frames": 2}})
    assert (made.path, made.rate, made.half_life, made.size, made.log.frames) == ("a/b", 9, 3.0, (4, 5), 2)
    assert type(made.rate) is int


def test_plain_values_make_the_same_record_again() -> None:
    made = make(Toy, {"path": "x", "memory": "1.5 GiB", "size": [3, 4]})
    assert plain(made)["memory"] == "1536 MiB"
    assert plain(made)["size"] == [3, 4]
    assert make(Toy, plain(made)) == made


@pytest.mark.parametrize(
    ("text", "n_bytes", "written"),
    [
        ("0 B", 0, "0 B"),
        ("10 B", 10, "10 B"),
        ("16 MB", 16_000_000, "16 MB"),
        ("24 MiB", 24 << 20, "24 MiB"),
        ("24MiB", 24 << 20, "24 MiB"),
        ("0.5 GiB", 1 << 29, "512 MiB"),
        (1 << 30, 1 << 30, "1 GiB"),
    ],
)
def test_memory_is_written_with_its_unit(text: str | int, n_bytes: int, written: str) -> None:
    memory = Memory(text)
    assert memory == n_bytes
    assert str(memory) == written
    assert Memory(str(memory)) == memory
    assert pickle.loads(pickle.dumps(memory)) == memory  # noqa: S301


def test_an_error_holds_nothing_that_a_terminal_obeys() -> None:
    with pytest.raises(SettingError) as caught:
        make(Toy, {"\x1b[31m\n": "\x1b]0;title\x07"})
    assert str(caught.value).isprintable()


def test_an_error_is_pickled_with_its_parts() -> None:
    error = pickle.loads(pickle.dumps(SettingError("hop", 3, "1 to 2").under("stage.windows")))  # noqa: S301
    assert (error.key, error.value, error.accepted) == ("stage.windows.hop", 3, "1 to 2")


@configured_by(Toy)
class Thing:
    """Does something.

    Parameters
    ----------
    title
        What it is called.

    Raises
    ------
    SettingError
        Now and then.
    """

    def __init__(self, title: str, **settings: Any) -> None:
        self.settings = make(Toy, settings)


def test_a_class_takes_its_keywords_and_their_documentation_from_the_record() -> None:
    parameters = inspect.signature(Thing).parameters
    assert list(parameters) == ["title", *Toy.__struct_fields__]
    assert parameters["path"].default is inspect.Parameter.empty
    assert parameters["rate"].default == 8000
    assert Thing.__doc__ is not None
    assert Thing.__doc__.index("title\n    What it is called.\npath\n    Where it is.") > 0
    assert Thing.__doc__.index("    Its log.\n\nRaises\n------") > 0
    assert Thing("a", path="x").settings.path == "x"
    with pytest.raises(SettingError, match="unknown key"):
        Thing("a", path="x", rtae=3)


def test_a_default_that_differs_from_the_records_is_refused() -> None:
    class Other:
        def __init__(self, rate: int = 7) -> None: ...

    with pytest.raises(TypeError, match="rate = 7"):
        configured_by(Toy)(Other)
