"""Listening to devices, to say what is right and wrong in what they send."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from stream_infomax.transport.conform.conduct import Conduct
from stream_infomax.transport.conform.inspection import KEYS, Finding, Verdict, inspect, shown
from stream_infomax.transport.pull import Pull

# Streams that are followed; messages of others are counted.
MOST_STREAMS = 64
# Different findings of a stream, or of messages without one, that are kept.
MOST_NOTES = 200
# Seconds to wait for the first message.
PATIENCE = 60.0
# Milliseconds between two looks at the time.
WAKE_MS = 200


class Note(msgspec.Struct):
    """What there is to say of a field: how often it was so, and in which message first (from 1; 0 for the whole)."""

    field: str
    verdict: Verdict
    text: str
    times: int = 1
    first: int = 0


class StreamReport(msgspec.Struct):
    """What there is to say of a stream: of its messages, `frames` were followed; in the others something is wrong."""

    stream: str
    messages: int
    frames: int
    rows: int
    notes: list[Note]


class Report(msgspec.Struct):
    """What there is to say of everything that came.

    Attributes
    ----------
    messages, seconds
        How many came, and in what time.
    right
        Whether something came, and nothing of it was wrong.
    notes
        Of messages that do not say of which stream they are.
    """

    messages: int
    seconds: float
    right: bool
    streams: list[StreamReport]
    notes: list[Note]


class Notes:
    """Findings, counted by what they say."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str, str], Note] = {}

    def add(self, finding: Finding, message: int = 0) -> None:
        """Take a finding of a message."""
        key = finding.field, finding.kind, finding.verdict
        note = self._notes.get(key)
        if note is not None:
            note.times += 1
        elif len(self._notes) < MOST_NOTES:
            self._notes[key] = Note(finding.field, finding.verdict, finding.text, first=message)

    def all(self) -> list[Note]:
        """Return them field by field; what is right only where there is nothing else to say of a field."""
        fields = dict.fromkeys(note.field for note in self._notes.values())
        found = []
        for field in fields:
            of_field = [note for note in self._notes.values() if note.field == field]
            found += [note for note in of_field if note.verdict != "right"] or of_field
        return found


class _Stream:
    def __init__(self) -> None:
        self.messages = 0
        self.conduct = Conduct()
        self.notes = Notes()

    def report(self, name: str) -> StreamReport:
        single, whole = self.notes.all(), Notes()
        for finding in self.conduct.findings():
            whole.add(finding)
        # Of a field that is not right in single messages, what is right of it as a whole says less.
        said = {note.field for note in single}
        notes = [*single, *(note for note in whole.all() if note.verdict != "right" or note.field not in said)]
        return StreamReport(name, self.messages, self.conduct.frames, self.conduct.rows, _in_order(notes))


class Listener:
    """What is right and wrong in the messages that are given to it."""

    def __init__(self) -> None:
        self.messages = 0
        self._streams: dict[str, _Stream] = {}
        self._notes = Notes()
        self._first = self._last = 0.0

    def take(self, parts: Sequence[bytes], arrived: float) -> None:
        """Take a message that arrived at a time, in seconds of the wall clock."""
        self.messages += 1
        self._first, self._last = self._first or arrived, arrived
        inspected = inspect(parts)
        stream = self._stream(inspected.header.get("stream"))
        if stream is not None:
            stream.messages += 1
        notes = self._notes if stream is None else stream.notes
        for finding in inspected.findings:
            notes.add(finding, self.messages)
        if stream is not None and not inspected.wrong:
            for finding in stream.conduct.follow(inspected, arrived):
                notes.add(finding, self.messages)

    def _stream(self, name: str | None) -> _Stream | None:
        """Return what is known of a stream; None where there is none, or too many."""
        if name is not None and name not in self._streams and len(self._streams) < MOST_STREAMS:
            self._streams[name] = _Stream()
        return None if name is None else self._streams.get(name)

    @property
    def ended(self) -> bool:
        """Whether all streams have ended."""
        return bool(self._streams) and all(stream.conduct.ended for stream in self._streams.values())

    def _differences(self) -> list[Note]:
        """Return what there is to say of streams that differ."""
        found = {stream.conduct.expects: name for name, stream in self._streams.items() if stream.conduct.frames}
        if len(found) < 2:
            return []
        said = [f"{shown(name)} has {rows}, rate {rate:g}" for (rows, rate), name in list(found.items())[:2]]
        return [Note("arrays", "look", f"{', '.join(said)}: one source takes streams of one form and rate")]

    def report(self) -> Report:
        """Return what there is to say of what has come."""
        streams = [stream.report(name) for name, stream in self._streams.items()]
        notes = _in_order([*self._notes.all(), *self._differences()])
        everything = [*notes, *(note for stream in streams for note in stream.notes)]
        right = bool(streams) and all(note.verdict != "wrong" for note in everything)
        return Report(self.messages, self._last - self._first, right, streams, notes)


def listen(pull: Pull, listener: Listener, seconds: float, frames: int = 0) -> None:
    """Give what comes to a listener: for so long after the first message, or until there are enough frames.

    Parameters
    ----------
    pull, listener
        Where messages come, and who takes them.
    seconds
        After the first message. Before it, `PATIENCE` seconds.
    frames
        Messages to listen to; 0 sets no limit.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not listener.ended and not 0 < frames <= listener.messages:
        if not pull.socket.poll(WAKE_MS) or (parts := pull.receive()) is None:
            continue
        if not listener.messages:
            deadline = time.monotonic() + seconds
        listener.take(parts, time.time())


def _in_order(notes: list[Note]) -> list[Note]:
    """Return notes in the order in which the protocol names the keys."""
    places = {key: place for place, key in enumerate(("header", *KEYS, "values"))}
    return sorted(notes, key=lambda note: places.get(note.field.split("[")[0], len(places)))
