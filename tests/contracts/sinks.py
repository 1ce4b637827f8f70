"""What every sink promises: small checks, each for any sink; and an example of every kind to run them over."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from contracts.kinds import SINKS as KINDS
from contracts.settings import described
from helpers.brokers import LONG, MOSQUITTO, Broker
from helpers.extras import extra

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Held, Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.record import make
from stream_infomax.state.file import load

# A checkpoint after so many frames, the last at the end of the stream.
MARKS = (3, 7, 12)


# What a sink has delivered since the last time, in a form that can be compared.
Content = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Example:
    """A sink of a kind.

    Attributes
    ----------
    settings
        Its settings; their files lie in the folder.
    receiver
        Where it delivers to somebody else: has that there as long as its block lasts; gives the settings by which it is
        found, and what it has received. Skips where it cannot be on this machine.
    """

    kind: str
    settings: Callable[[Path], dict[str, Any]] = lambda folder: {}
    receiver: Callable[[Path], AbstractContextManager[tuple[dict[str, Any], Content]]] | None = None
    needs: tuple[str, ...] = ()

    def __str__(self):
        return self.kind


@contextmanager
def broker(folder: Path) -> Iterator[tuple[dict[str, Any], Content]]:
    """A broker, and somebody who listens: each frame is there, some more than once."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    own = Broker(folder).start()
    client = own.client("features/#")

    def content() -> dict[str, Any]:
        found: dict[str, Any] = {}
        while len(found) < MARKS[-1]:  # those that wait for a connection may be overtaken
            _, payload = client.next()
            said = msgspec.json.decode(payload)
            assert found.setdefault(str(said["offset"]), said) == said
        return dict(sorted(found.items()))

    try:
        yield {"host": "127.0.0.1", "port": own.port}, content
    finally:
        client.close()
        own.kill()


EXAMPLES = [
    Example("lsl"),
    Example("mqtt", lambda folder: {"host": "localhost", "topic": "features/{stream}"}, broker),
    Example("npz", lambda folder: {"path": str(folder / "features"), "part": 400}),
    Example("parquet", lambda folder: {"path": str(folder / "features"), "part": 400}, needs=("pyarrow",)),
    Example("nothing"),
]


class Subject:
    """A sink of an example, in a folder."""

    def __init__(self, example, folder):
        self.kind, self.folder = KINDS[example.kind], folder
        self.settings = example.settings(folder)
        for package in make(self.kind.Settings, self.settings).needs():
            extra(package)
        self._received = None
        self._open = ExitStack()
        if example.receiver is not None:
            found, self._received = self._open.enter_context(example.receiver(folder))
            self.settings |= found

    def close(self):
        """Let go of what is outside, and of sinks that died."""
        self._open.close()

    def make(self):
        """Return the sink of a new process, which goes on with what is in the folder."""
        sink = self.kind("sink", self.folder / "sink", **self.settings)
        self._open.callback(sink.close)
        return sink

    def content(self):
        """Return what lies in the folder by now, or was received."""
        if self._received is not None:
            return self._received()
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.folder)): bytes_of(path) for path in files}


def bytes_of(path):
    """Return what a file holds; that of states as a tree, since their metadata come in any order."""
    return leaves(load(path)) if path.suffix == ".safetensors" else path.read_bytes()


def leaves(tree):
    """Return a tree with its arrays as bytes."""
    if isinstance(tree, dict):
        return {key: leaves(child) for key, child in tree.items()}
    return tree.tobytes() if isinstance(tree, np.ndarray) else tree


def frames(start=0):
    """Return frames with rows of features, one without rows and a late label."""
    found = []
    for offset in range(start, MARKS[-1]):
        rows = np.random.default_rng(offset).standard_normal((offset % 4, 3)).astype(np.float32)
        arrays = {} if offset == 5 else {"features": Array(rows, ("time", "component"))}
        labels = {"word": "one"} if offset == 5 else {}
        found.append(Frame("mic", offset, "a", arrays, end=offset == MARKS[-1] - 1, rate=100.0, labels=labels))
    return found


def mark(following):
    return Mark("run", following, following == MARKS[-1])


def work(sink, start=0, until=MARKS[-1]):
    """Let the sink have frames, with a checkpoint at each mark; return the last one and what the sink gave for it.

    At the end of the stream it has the time to deliver them, as it has in a loop.
    """
    saved = None
    for frame in frames(start):
        if frame.offset == until:
            break
        sink.accept(Output(frame))
        if frame.offset + 1 in MARKS:
            saved = mark(frame.offset + 1), sink.save(mark(frame.offset + 1))
            sink.committed()
    if until == MARKS[-1]:
        settle(sink)
    return saved


def settle(sink):
    """Attend to a sink until everything is where it belongs."""
    poller = zmq.Poller()
    for socket in sink.sockets:
        poller.register(socket, zmq.POLLIN)
    while not sink.drained:
        assert poller.poll(1000 * LONG), "nobody takes what the sink holds"
        sink.attend()


def whole(subject):
    """Return what lies in the folder when nothing has happened."""
    sink = subject.make()
    work(sink)
    sink.close()
    return subject.content()


def a_death_loses_nothing_and_doubles_nothing(subject, other):
    expected = whole(other)
    for died_at in (1, 4, 9):
        first = subject.make()
        saved = work(first, until=died_at)  # and is gone, without a word
        second = subject.make()
        if saved is not None:
            second.restore(saved[1], saved[0])
        work(second, start=0 if saved is None else saved[0].next)
        second.close()
        assert subject.content() == expected, f"died after {died_at} frames"
        for path in sorted(subject.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def a_death_between_its_save_and_the_checkpoint_doubles_nothing(subject, other):
    expected = whole(other)
    first = subject.make()
    for frame in frames()[: MARKS[0]]:
        first.accept(Output(frame))
    first.save(mark(MARKS[0]))  # the service dies before its checkpoint is written: everything comes again
    second = subject.make()
    work(second)
    second.close()
    assert subject.content() == expected


def saving_twice_is_saving_once(subject, other):
    expected = whole(other)
    sink = subject.make()
    work(sink)
    sink.save(mark(MARKS[-1]))
    sink.close()
    assert subject.content() == expected


def frames_stay_as_they_are(subject, other):
    sink = subject.make()
    for frame in frames():
        before = wire.encode(frame)
        sink.accept(Output(frame))
        assert wire.encode(frame) == before


def a_stream_without_a_frame_has_an_end(subject, other):
    sink = subject.make()
    sink.save(Mark("run", 0, True))
    sink.close()


def it_says_what_it_holds_and_holds_nothing_for_ever(subject, other):
    sink = subject.make()
    assert not sink.full
    work(sink)
    assert sink.drained
    assert isinstance(sink.held(), Held)
    assert 0 <= sink.held().fill <= 1


def its_settings_are_documented(subject, other):
    described(subject.kind, subject.settings)


CHECKS = [
    a_death_loses_nothing_and_doubles_nothing,
    a_death_between_its_save_and_the_checkpoint_doubles_nothing,
    saving_twice_is_saving_once,
    frames_stay_as_they_are,
    a_stream_without_a_frame_has_an_end,
    it_says_what_it_holds_and_holds_nothing_for_ever,
    its_settings_are_documented,
]
