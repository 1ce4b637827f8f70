"""``stream-infomax devices``: the inputs of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from stream_infomax.settings.extras import MissingExtraError


def devices() -> int:
    """List what this machine can listen to and look at: microphones, cameras, LSL streams."""
    for title, kind in KINDS.items():
        try:
            found = list(kind())
        except (MissingExtraError, ValueError) as error:
            found = [str(error)]
        print(title)
        for line in found or ["none"]:
            print(f"  {line}")
    return 0


def microphones() -> Iterator[str]:
    """Yield what `source.device` of the kind microphone may be: number, name, channels, rate."""
    from stream_infomax.sources import portaudio

    yield from map(str, portaudio.inputs(portaudio.library()))


def cameras() -> Iterator[str]:
    """Yield what `source.device` of the kind camera may be, and what the camera is called."""
    for path in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda path: int(path.name[5:] or 0)):
        try:
            name = (path / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # it was pulled out meanwhile
            continue
        yield f"/dev/{path.name}: {name}"


def lsl_streams() -> Iterator[str]:
    """Yield the LSL streams that answer within a second: name, type, channels, rate, host."""
    from stream_infomax.settings.extras import optional

    with optional():
        import pylsl
    for stream in pylsl.resolve_streams(1.0):
        rate = f"{stream.nominal_srate():g} Hz" if stream.nominal_srate() else "irregular"
        yield f"{stream.name()} ({stream.type()}, {stream.channel_count()} channels, {rate}, on {stream.hostname()})"


# What is printed under each head.
KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "microphones (kind microphone)": microphones,
    "cameras (kind camera)": cameras,
    "LSL streams (kind lsl)": lsl_streams,
}
