"""What every live source promises, without a device and with one: small checks, and an example of every kind."""

import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from contracts.kinds import SOURCES
from contracts.settings import described
from contracts.stages import counted
from helpers.arriving import arriving_while
from helpers.brokers import MOSQUITTO, Broker
from helpers.devices import Device
from helpers.extras import extra
from helpers.outlets import Outlet
from helpers.sounds import Sounds
from helpers.toys import Keeping

from stream_infomax.frames.contracts import Live, Noting, Seekable
from stream_infomax.settings.record import make
from stream_infomax.state import file as state_file

KINDS = {kind: source for kind, source in SOURCES.items() if hasattr(source, "receive")}


@dataclass(frozen=True)
class Example:
    """A live source of a kind.

    Attributes
    ----------
    settings
        Its settings without a device.
    device
        Given a folder, has a device there as long as its block lasts: the settings by which it is found, and what makes
        it send. None: there is no device to be had for tests.
    """

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    device: Callable[[Path], AbstractContextManager[tuple[dict[str, Any], Callable[[], None]]]] | None = None

    def __str__(self):
        return self.kind


@contextmanager
def device(folder: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """A device that pushes; each is another process."""
    context = Keeping()
    session = secrets.token_hex(8)
    address = f"ipc://{folder}/devices"
    try:
        yield {"bind": address}, Device(context, address, session=session).send
    finally:
        context.destroy(linger=0)
        context.kept.clear()


@contextmanager
def broker(folder: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """A broker, and somebody who publishes."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    own = Broker(folder).start()
    client = own.client()
    try:
        yield {"host": "127.0.0.1", "port": own.port}, lambda: client.publish("room/1", "[1.5, 2.5, 3.5, 4.5]")
    finally:
        client.close()
        own.kill()


@contextmanager
def lsl_outlet(folder: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """A stream of the lab streaming layer."""
    own = Outlet(f"stream in {folder}")
    try:
        yield {"stream": own.name}, lambda: own.push(4)
    finally:
        own.kill()


@contextmanager
def microphone(_: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """A stand-in for PortAudio, whose input hears something."""
    sounds = Sounds([("USB Microphone", 2, 16000.0)])
    with patch.dict(sys.modules, sounddevice=sounds):
        yield {}, lambda: sounds.stream.say(np.linspace(-1, 1, 1000).reshape(500, 2))


@contextmanager
def camera(_: Path) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """What FFmpeg has for tests, a hundred pictures a second."""
    yield {"device": "testsrc=size=32x24:rate=100,realtime", "format": "lavfi"}, lambda: None


EXAMPLES = [
    Example("camera", {"device": "/dev/video7", "size": (8, 8), "colour": True}, camera),
    Example("devices", {"axes": ("time", "channel"), "row": (2,), "rate": 100.0}, device),
    Example("lsl", {"type": "EEG"}, lsl_outlet),
    Example("microphone", {"device": "USB", "rate": 16000, "channels": 2}, microphone),
    Example("mqtt", {"host": "localhost", "topics": ["room/+"], "channels": 2}, broker),
]


class Subject:
    """A live source of an example."""

    def __init__(self, example, folder):
        self.example, self.kind, self.folder = example, KINDS[example.kind], folder
        for package in make(self.kind.Settings, example.settings).needs():
            extra(package)

    def make(self, **changes):
        """Return a new source."""
        return self.kind(**{**self.example.settings, **changes})

    @contextmanager
    def opened(self, state=None, **changes):
        """Open a source of a device; yield it and what makes the device send."""
        if self.example.device is None:
            pytest.skip(f"there is no device for an example of {self.example.kind}")
        with self.example.device(self.folder) as (found, feed):
            source = self.make(**found, **changes)
            if state is not None:
                source.restore(state)
            source.open()
            try:
                yield source, feed
            finally:
                source.close()


def open_files():
    """Return how much this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def it_is_live(subject):
    source = subject.make(name="ear")
    assert isinstance(source, Live)
    assert not isinstance(source, Seekable)
    assert source.name == "ear"


def making_it_takes_no_device(subject):
    subject.make().close()
    before = open_files()
    source = subject.make()
    assert open_files() == before
    assert not source.finished


def it_can_be_closed_without_having_been_opened(subject):
    source = subject.make()
    source.close()
    source.close()


def its_losses_are_counted_by_reason(subject):
    assert subject.make().lost == Counter()


def it_goes_on_from_its_state(subject):
    source = subject.make()
    state_file.save(subject.folder / "state", source.state())
    again = subject.make()
    again.restore(state_file.load(subject.folder / "state"))
    assert again.counts() == source.counts()
    again.close()


def its_settings_are_documented(subject):
    described(subject.kind, subject.example.settings)


def it_counts_in_the_type_declared(subject):
    counted(subject.make().counts())


def its_outline_says_that_it_is_live(subject):
    outline = subject.make().outline()
    assert outline.live
    assert (outline.frames, outline.segments) == (0, {})


def rows_stand_under_its_name(subject):
    with subject.opened(name="eye") as (source, feed):
        for frame in arriving_while(source, feed):
            assert list(frame.arrays) == ["eye"]
            assert frame.arrays["eye"].n_rows > 0
            assert np.isfinite(frame.arrays["eye"].data).all()
            assert frame.offset == -1
            assert frame.segment
            assert not frame.encoder
        counted(source.counts())


def it_ends_after_its_duration(subject):
    with subject.opened(duration=0.05) as (source, feed):
        frames = []
        while not source.finished:
            frames += arriving_while(source, feed)
        assert [frame.end for frame in frames] == [False] * (len(frames) - 1) + [True]
        assert frames[-1].last


def what_comes_after_a_restart_is_another_segment(subject):
    with subject.opened() as (source, feed):
        before = arriving_while(source, feed)[-1]
        state_file.save(subject.folder / "state", source.state())
    with subject.opened(state_file.load(subject.folder / "state")) as (source, feed):
        after = arriving_while(source, feed)[0]
        assert after.stream == before.stream
        assert after.segment != before.segment


class Noted:
    """A source whose notes are kept as a journal keeps them."""

    def __init__(self, source):
        self.source, self.sockets, self.notes = source, source.sockets, []

    def receive(self):
        frame = self.source.receive()
        if frame is not None:
            self.notes.append(self.source.note())
        return frame


def frames_and_their_notes_bring_it_to_where_it_was(subject):
    """What a journal keeps; the checkpoint is older."""
    with subject.opened() as (source, feed):
        if not isinstance(source, Noting):
            pytest.skip("it has nothing to note")
        state_file.save(subject.folder / "state", source.state())
        noted = Noted(source)
        given = [frame for _ in range(3) for frame in arriving_while(noted, feed)]
        again = subject.make()
        again.restore(state_file.load(subject.folder / "state"))
        for frame, note in zip(given, noted.notes, strict=True):
            again.recall(frame, note)
        before, after = source.state(), again.state()
        for key in before.keys() - {"counts", "elapsed", "form", "row"}:
            assert after[key] == before[key] or after[key] == pytest.approx(before[key]), key
        again.close()


CHECKS = [
    it_is_live,
    making_it_takes_no_device,
    it_can_be_closed_without_having_been_opened,
    its_losses_are_counted_by_reason,
    it_goes_on_from_its_state,
    its_settings_are_documented,
    it_counts_in_the_type_declared,
    its_outline_says_that_it_is_live,
    rows_stand_under_its_name,
    it_ends_after_its_duration,
    what_comes_after_a_restart_is_another_segment,
    frames_and_their_notes_bring_it_to_where_it_was,
]
