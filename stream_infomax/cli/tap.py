"""``stream-infomax tap``: print what passes."""

from __future__ import annotations

import sys
from pathlib import Path

# Milliseconds of silence after which a person is told; a service that runs says how it is more often.
SILENCE = 2000


def tap(address: str) -> int:
    """Print one line for each frame that a service publishes, until its stream ends or Ctrl-C.

    Parameters
    ----------
    address
        The tap of a service, for example ipc://runs/photographs/learner.tap
    """
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.transport.sockets import StreamError
    from stream_infomax.transport.tap import TapReader

    try:
        reader = TapReader(address)
    except StreamError as error:
        raise ConfigError(str(error)) from error
    with reader:
        try:
            if not reader.socket.poll(SILENCE):
                if _has_finished(address):
                    print(f"{address}: its run has finished; nothing is published any more")
                    return 0
                print(f"waiting for {address} …", file=sys.stderr, flush=True)
            for frame in reader:
                arrays = "  ".join(
                    f"{name} {'×'.join(map(str, array.data.shape))} {array.data.dtype}"
                    for name, array in frame.arrays.items()
                )
                labels = "".join(f"  {name}={text}" for name, text in frame.labels.items())
                marks = " end" if frame.end else " last" if frame.last else ""
                segment = f"  {frame.segment}" if frame.segment else ""
                print(
                    f"{frame.offset}  {frame.stream}{segment}{marks}  {frame.time:.3f} s  {arrays}{labels}", flush=True
                )
        except KeyboardInterrupt:
            pass
        if reader.missed:
            print(f"{reader.missed} frames missed: this observer was too slow for them")
    return 0


def _has_finished(address: str) -> bool:
    """Return whether a socket lies in the folder of a run that has finished."""
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.run.folder import RunFolder

    path = address.removeprefix("ipc://")
    try:
        return path != address and RunFolder(Path(path).parent).summary() is not None
    except ConfigError:  # no run, or none that can be read
        return False
