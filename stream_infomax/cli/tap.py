"""``stream-infomax tap``: print what passes."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.settings.printable import printable

if TYPE_CHECKING:
    from stream_infomax.frames.frame import Frame

# Milliseconds of silence after which a person is told; a service that runs says how it is more often.
SILENCE = 2000
# The most characters of a name or a label in a line.
LONGEST = 80


def tap(address: str, *, keys: Path | None = None, server: Path | None = None) -> int:
    """Print one line for each frame that a service publishes, until its stream ends or Ctrl-C.

    Parameters
    ----------
    address
        The tap of a service, for example ipc://runs/photographs/learner.tap
    keys
        The folder of your keys, where the run has keys.
    server
        The file with the run's public key; without it the run has the keys of the same folder.
    """
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.frames.event import event_line
    from stream_infomax.transport.keys import KeysError
    from stream_infomax.transport.sockets import StreamError
    from stream_infomax.transport.tap import TapReader

    try:
        reader = TapReader(address, keys=keys or "", server=server or "")
    except (KeysError, StreamError) as error:
        raise ConfigError(str(error)) from error
    # A shell starts what runs in the background with SIGINT ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with reader:
        try:
            if not reader.poll(SILENCE):
                if _has_finished(address):
                    print(f"{printable(address)}: its run has finished; nothing is published any more")
                    return 0
                print(f"waiting for {printable(address)} …", file=sys.stderr, flush=True)
            for frame in reader:
                print(_described(frame), flush=True)
                for event in frame.events:
                    print(f"    {printable(event_line(event), 4 * LONGEST)}", flush=True)
        except StreamError as error:
            raise ConfigError(str(error)) from error
        except KeyboardInterrupt:
            pass
        if reader.missed:
            print(f"{reader.missed:,} frames missed: this observer was too slow for them")
        if reader.refused:
            print(f"{reader.refused:,} messages passed over: they are neither a frame nor a status")
    return 0


def _described(frame: Frame) -> str:
    """Return a frame in one line."""
    arrays = [
        f"{printable(name, LONGEST)} {'×'.join(map(str, array.data.shape))} {array.data.dtype}"
        for name, array in frame.arrays.items()
    ]
    labels = [f"{printable(name, LONGEST)}={printable(text, LONGEST)}" for name, text in frame.labels.items()]
    stream = printable(frame.stream, LONGEST)
    segment = f"  {printable(frame.segment, LONGEST)}" if frame.segment else ""
    marks = " end" if frame.end else " last" if frame.last else ""
    time = f"{frame.time:.3f}" if abs(frame.time) < 1e12 else f"{frame.time:.3g}"
    head = f"{frame.offset}  {stream}{segment}{marks}  {time} s"
    return "  ".join([head, *arrays, *labels])


def _has_finished(address: str) -> bool:
    """Return whether a socket lies in the folder of a run that has finished."""
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.run.folder import RunFolder

    path = address.removeprefix("ipc://")
    try:
        return path != address and RunFolder(Path(path).parent).summary() is not None
    except ConfigError:  # no run, or none that can be read
        return False
