"""``stream-infomax conform``: listen to a device and say what is right and wrong."""

from __future__ import annotations

import signal
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.settings.printable import as_json, printable

if TYPE_CHECKING:
    from stream_infomax.transport.conform.listen import Note, Report

# The most characters of a name in a line.
LONGEST = 80
WRONG = 1


def conform(
    address: str,
    *,
    seconds: float = 10.0,
    frames: int = 0,
    json: bool = False,
    keys: Path | None = None,
    insecure: bool = False,
) -> int:
    """Listen to a device in place of a source, and say field by field what is right and wrong; 0 where all is right.

    Parameters
    ----------
    address
        Where the device pushes to, for example ipc:///tmp/devices or tcp://127.0.0.1:5555; it is bound here.
    seconds
        How long to listen after the first message (10); a device that never comes is waited for a minute.
    frames
        Listen to so many messages only.
    json
        Print one JSON object instead of text.
    keys
        The folder of keys of the source, which then lets in only devices whose keys are allowed there.
    insecure
        Bind an address that others can reach without keys.
    """
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.transport.conform.listen import Listener, listen
    from stream_infomax.transport.keys import KeysError
    from stream_infomax.transport.pull import Access, Pull, StreamError
    from stream_infomax.transport.sockets import HIGH_WATER_MARK, MAX_PART_BYTES

    if not seconds > 0:
        raise ConfigError(f"--seconds {seconds}: accepted is a number > 0")
    if frames < 0:
        raise ConfigError(f"--frames {frames}: accepted is a whole number >= 0; 0 sets no limit")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listener = Listener()
    try:
        access = Access.of(str(keys or ""), insecure)
        with closing(Pull(address, HIGH_WATER_MARK, MAX_PART_BYTES, access)) as pull, suppress(KeyboardInterrupt):
            print(f"waiting for a device at {printable(address)} …", file=sys.stderr, flush=True)
            listen(pull, listener, seconds, frames)
    except (KeysError, StreamError) as error:
        raise ConfigError(str(error)) from error
    report = listener.report()
    if json:
        print(as_json(report))
    else:
        for line in _lines(report):
            print(line)
    return 0 if report.right else WRONG


def _lines(report: Report) -> list[str]:
    """Return a report in words."""
    if not report.messages:
        return ["nothing came: does the device connect a PUSH socket to this address?"]
    lines = [f"{report.messages:,} messages in {report.seconds:,.1f} s"]
    if report.notes:
        lines += ["", "messages that belong to no stream that is followed", *map(_line, report.notes)]
    for stream in report.streams:
        name = printable(stream.stream, LONGEST)
        lines += ["", f"{name}: {stream.messages:,} messages, of them {stream.frames:,} frames of {stream.rows:,} rows"]
        lines += map(_line, stream.notes)
    notes = [*report.notes, *(note for stream in report.streams for note in stream.notes)]
    wrong, look = (sum(note.verdict == verdict for note in notes) for verdict in ("wrong", "look"))
    return [*lines, "", f"wrong: {wrong}, to look at: {look}" if wrong or look else "all is right"]


def _line(note: Note) -> str:
    text = f"  {note.verdict:5}  {printable(note.field, LONGEST):9}  {printable(note.text)}"
    if not note.first:
        return text
    return (
        f"{text} (message {note.first:,})"
        if note.times == 1
        else f"{text} ({note.times:,} times, first in message {note.first:,})"
    )
