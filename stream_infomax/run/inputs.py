"""The inputs of this machine: microphones, cameras, LSL streams. One function a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from stream_infomax.settings.extras import MissingExtraError, optional
from stream_infomax.sources.murmur import caught

CAMERAS = Path("/sys/class/video4linux")
# Seconds that LSL streams have to answer.
ANSWER = 1.0


def microphones() -> Iterator[str]:
    """Yield what `source.device` of the kind microphone may be: number, name, channels, rate."""
    from stream_infomax.sources import portaudio

    with caught([]):  # ALSA tells of everything that a machine has not
        found = portaudio.inputs(portaudio.library())
    yield from map(str, found)


def cameras() -> Iterator[str]:
    """Yield what `source.device` of the kind camera may be, and what the camera is called."""
    for path in sorted(CAMERAS.glob("video*"), key=lambda path: (len(path.name), path.name)):
        try:
            name = (path / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # it was pulled out meanwhile
            continue
        yield f"/dev/{path.name}: {name}"


def lsl_streams() -> Iterator[str]:
    """Yield the LSL streams that answer within a second: name, type, channels, rate, host."""
    with caught([]), optional():
        import pylsl

        found = pylsl.resolve_streams(ANSWER)
    for stream in found:
        rate = f"{stream.nominal_srate():g} Hz" if stream.nominal_srate() else "irregular"
        yield f"{stream.name()} ({stream.type()}, {stream.channel_count()} channels, {rate}, on {stream.hostname()})"


# By the kind of source that takes them, in words.
KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "microphones (kind microphone)": microphones,
    "cameras (kind camera)": cameras,
    "LSL streams (kind lsl)": lsl_streams,
}


def listed() -> Iterator[tuple[str, list[str], str]]:
    """Yield each kind of input, those that there are, and why there can be none."""
    for title, kind in KINDS.items():
        try:
            yield title, list(kind()), ""
        except (MissingExtraError, ValueError, RuntimeError, OSError) as error:
            yield title, [], str(error)
