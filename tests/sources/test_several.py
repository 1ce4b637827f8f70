"""SeveralSource: the order of files, seeking, what is said of which input, and live inputs in turn."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.arriving import arriving_while
from hypothesis import given
from hypothesis import strategies as st

from stream_infomax.frames.contracts import Live, Seekable
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import Settings
from stream_infomax.sources import several as room
from stream_infomax.sources.several import Kind, Order, SeveralSettings, SeveralSource


@given(lengths=st.lists(st.integers(0, 90), min_size=1, max_size=6), start=st.integers(0, 600))
def test_the_order_from_any_offset_on(lengths: list[int], start: int) -> None:
    places = sorted((Fraction(2 * k + 1, 2 * n), number) for number, n in enumerate(lengths) for k in range(n))
    expected = [number for _, number in places]
    order = Order(lengths, start)
    assert order.next == [expected[:start].count(number) for number in range(len(lengths))]
    assert list(order) == expected[start:]


def test_an_offset_far_within_is_found_without_going_there() -> None:
    order = Order([10**12, 3, 7 * 10**11], 5 * 10**11)
    assert sum(order.next) == 5 * 10**11
    assert order.next[1] == 1


def test_inputs_come_in_proportion(tmp_path: Path) -> None:
    source = several(tone(30), tone(10, name="b"))
    streams = [frame.stream for frame in source.frames()]
    assert streams[:8] == ["a", "a", "b", "a", "a", "a", "b", "a"]
    for end in range(4, 40, 4):
        assert Counter(streams[:end])["b"] == end // 4


def tone(frames: int, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "synthetic", "n_sources": 3, "rows": 5, "frames": frames, **more}


def several(*inputs: dict[str, Any], **more: Any) -> Any:
    return SeveralSource(inputs=list(inputs), **more)


def test_each_input_is_as_it_is_alone() -> None:
    from stream_infomax.sources.synthetic import SyntheticSource

    source = several(tone(7), tone(4, name="b", seed=9), seed=5)
    assert isinstance(source, Seekable)
    assert not isinstance(source, Live)
    for name, seed, n in (("a", 5, 7), ("b", 9, 4)):
        alone = list(SyntheticSource(n_sources=3, rows=5, frames=n, seed=seed).frames())
        ours = [frame for frame in source.frames() if frame.stream == name]
        for one, other in zip(ours, alone, strict=True):
            np.testing.assert_array_equal(one.arrays["source"].data, other.arrays["source"].data)
            assert (one.segment, one.time, one.last, one.end) == (other.segment, other.time, other.last, other.end)


def test_inputs_that_are_set_alike_differ() -> None:
    first, second = list(several(tone(1), tone(1, name="b")).frames())
    assert not np.array_equal(first.arrays["source"].data, second.arrays["source"].data)


def test_what_is_left_out_and_counted_has_the_name_of_the_input(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    source = several(tone(3), {"name": "words", "kind": "audio", "path": str(tmp_path)})
    assert source.counts()["left out: unreadable files (words)"] == 1
    outline = source.outline()
    assert dict(outline.left_out) == {"unreadable files (words)": 1}
    assert outline.frames == len(source) == 8
    assert outline.row is None, "rows of one and of three channels"
    assert "words: 1 recordings" in outline.about
    assert several(tone(3), tone(2, name="b")).outline().row == (3,)


def test_a_folder_that_has_changed_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    inputs = (tone(3), {"name": "words", "kind": "audio", "path": str(tmp_path)})
    state = several(*inputs).state()
    soundfile.write(tmp_path / "a.wav", np.zeros(900), 8000)
    with pytest.raises(ValueError, match=r"inputs\.words: path = .*changed: a\.wav"):
        several(*inputs).restore(state)
    with pytest.raises(ValueError, match="the state is of the inputs a, words; there are a"):
        several(tone(3)).restore(state)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], r"inputs = \[\]: empty; accepted: tables with a name"),
        ([{"kind": "synthetic"}], r"inputs\.0\.name: missing"),
        ([tone(1, name="a b")], r"inputs\.0\.name = 'a b'"),
        ([tone(1), tone(1)], "inputs = 'a': used twice"),
        ([{"name": "a"}], r"inputs\.a\.kind: missing; accepted: audio"),
        ([{"name": "a", "kind": "radio"}], r"inputs\.a\.kind = 'radio'"),
        ([{"name": "a", "kind": "several", "inputs": []}], "inputs do not nest"),
        ([tone(1, pitch=3)], r"inputs\.a\.pitch = 3: unknown key"),
        ([tone(0)], r"inputs\.a\.frames = 0"),
        ([{"name": "a", "kind": "audio", "path": "nowhere"}], r"inputs\.a\.path = 'nowhere': no such file"),
        (
            [tone(1), {"name": "b", "kind": "devices", "axes": ["time", "channel"], "row": [2], "rate": 100.0}],
            "b live, a not; accepted: only files, or only live inputs",
        ),
        ([3], "a list; in it a table"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_input(inputs: list[Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SeveralSource(inputs=inputs)


def test_addresses_of_each_input_follow_from_its_name(tmp_path: Path) -> None:
    devices = {"kind": "devices", "axes": ["time", "channel"], "row": [2], "rate": 100.0}
    given = SeveralSettings(inputs=({**devices, "name": "left"}, {**devices, "name": "right"}))
    placed = given.placed(tmp_path, "source")
    assert [table["bind"] for table in placed.inputs] == [
        f"ipc://{tmp_path}/{one}.devices" for one in ("left", "right")
    ]
    assert given.is_live


# ---------------------------------------------------------------- live


class Toy:
    """A live source that gives what it is told to."""

    def __init__(self, name: str, streams: list[str]) -> None:
        self.name = name
        self.lost: Counter[str] = Counter()
        self.ready: list[Frame] = []
        self.streams = streams
        self.was_opened = self.was_closed = self.finished = False
        self.fails = False
        self.sockets = [object()]

    def add(self, stream: str, **more: Any) -> None:
        rows = Array(np.ones((2, 1), np.float32), ("time", "channel"))
        self.ready.append(Frame(stream, arrays={self.name: rows}, **more))

    def open(self) -> None:
        if self.fails:
            raise OSError("no such device")
        self.was_opened = True

    def close(self) -> None:
        self.was_closed = True

    def receive(self) -> Frame | None:
        return self.ready.pop(0) if self.ready else None

    def due(self) -> float:
        return float(len(self.name))

    def state(self) -> dict[str, Any]:
        return {"name": self.name}

    def restore(self, state: dict[str, Any]) -> None:
        assert state == {"name": self.name}

    def counts(self) -> dict[str, float]:
        return {"left out: noise": 2}


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two live inputs, `ear` and `hand`."""
    kinds = [Kind(name, Toy, Settings()) for name in ("ear", "hand")]
    monkeypatch.setattr(SeveralSettings, "kinds", lambda self: kinds)
    monkeypatch.setattr(room, "asdict", lambda settings: {"streams": []})
    return SeveralSource(inputs=[{"name": "ear"}, {"name": "hand"}])


def test_live_inputs_are_asked_in_turn(live: Any) -> None:
    assert isinstance(live, Live)
    assert not isinstance(live, Seekable)
    live.open()
    ear, hand = live.inputs.values()
    assert live.receive() is None
    for _ in range(3):
        ear.add("ear")
    hand.add("hand")
    hand.add("left")
    assert [live.receive().stream for _ in range(5)] == ["ear", "hand", "ear", "hand/left", "ear"]
    hand.add("hand", end=True)
    frame = live.receive()
    assert list(frame.arrays) == ["source"]
    assert frame.end
    assert live.receive() is None


def test_an_input_that_has_ended_is_not_waited_for(live: Any) -> None:
    ear, hand = live.inputs.values()
    assert (len(live.sockets), live.due()) == (2, 3.0)
    ear.finished = True
    assert (live.sockets, live.due(), live.finished) == (hand.sockets, 4.0, False)
    hand.finished = True
    assert (live.sockets, live.due(), live.finished) == ([], float("inf"), True)


def test_what_is_lost_has_the_name_of_the_input(live: Any) -> None:
    ear, _ = live.inputs.values()
    kept = live.lost
    kept.update({"gap (ear)": 4})  # of the life before, as a feed sets it
    ear.lost["gap"] += 2
    live.receive()
    live.receive()
    assert live.lost is kept
    assert kept == {"gap (ear)": 6}
    assert live.counts() == {"left out: noise (ear)": 2, "left out: noise (hand)": 2}
    live.restore(live.state())


def test_where_one_device_is_missing_none_is_held(live: Any) -> None:
    ear, hand = live.inputs.values()
    hand.fails = True
    with pytest.raises(OSError, match="no such device"):
        live.open()
    assert ear.was_opened
    assert ear.was_closed


def test_devices_at_two_sockets(tmp_path: Path) -> None:
    from helpers.devices import Device
    from helpers.toys import Keeping

    devices = {"kind": "devices", "axes": ["time", "channel"], "row": [2], "rate": 100.0}
    given = SeveralSettings(inputs=({**devices, "name": "left"}, {**devices, "name": "right"}))
    source = SeveralSource(inputs=given.placed(tmp_path, "source").inputs)
    context = Keeping()
    source.open()
    try:
        both = [Device(context, source.inputs[one].given.bind, session=one) for one in ("left", "right")]
        seen: set[str] = set()
        while seen < {"left/ear", "right/ear"}:
            frames = arriving_while(source, lambda: [device.send() for device in both])
            assert all(list(frame.arrays) == ["source"] for frame in frames)
            seen |= {frame.stream for frame in frames}
        assert seen == {"left/ear", "right/ear"}
    finally:
        source.close()
        context.destroy(linger=0)


def test_what_files_of_an_input_lack_is_lost_under_its_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 1000)
    source = several({"name": "ear", "kind": "audio", "path": str(tmp_path), "frame": 100}, tone(10, name="b"))
    (tmp_path / "a.wav").unlink()
    assert len(list(source.frames())) == 20
    assert source.lost == {"files that are gone (ear)": 10}
