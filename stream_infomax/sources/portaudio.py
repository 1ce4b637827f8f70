"""PortAudio: the library loaded, its inputs listed and found by name, and asked again what is plugged in."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import optional

ACCEPTED = "a part of an input's name, its number, or nothing for the default input"
LIBRARY = "the library PortAudio is not installed: on Debian and Ubuntu, apt install libportaudio2"


class Input(NamedTuple):
    """An input: its number, its name with the system that offers it, channels, samples a second, seconds of buffer."""

    number: int
    name: str
    channels: int
    rate: float
    latency: float
    default: bool

    def __str__(self) -> str:
        default = ", the default" if self.default else ""
        return f"{self.number}: {self.name} ({self.channels} channels, {self.rate:,.0f} Hz{default})"


def library() -> Any:
    """Return the package sounddevice.

    Raises
    ------
    MissingExtraError
        Where it is not installed.
    ValueError
        Where PortAudio itself is not.
    SettingError
        Where it finds no sound system.
    """
    try:
        with optional():
            import sounddevice
    except ModuleNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{LIBRARY} ({error})") from error
    except Exception as error:  # PortAudioError, which could not be imported either
        raise _nothing(error) from error
    return sounddevice


def look_again() -> Any:
    """Have PortAudio look which devices there are: it looks only when it starts. Returns and raises as `library`."""
    found = library()
    try:
        if found._initialized:
            found._terminate()
        found._initialize()
    except found.PortAudioError as error:
        raise _nothing(error) from error
    return found


def _nothing(error: Exception) -> SettingError:
    return SettingError("device", "", "a machine with a sound system", f"PortAudio cannot start: {error}")


def inputs(library: Any) -> list[Input]:
    """Return what can be recorded from."""
    default = library.default.device[0]
    systems = library.query_hostapis()
    return [
        Input(
            number,
            f"{device['name']}, {systems[device['hostapi']]['name']}",
            device["max_input_channels"],
            float(device["default_samplerate"]),
            float(device["default_high_input_latency"]),
            number == default,
        )
        for number, device in enumerate(library.query_devices())
        if device["max_input_channels"] > 0
    ]


def find(library: Any, wanted: str) -> Input:
    """Return the input that is wanted: by number, name or part of it; empty for the default one.

    Raises
    ------
    SettingError
        Where there is none, or several; lists the inputs.
    """
    there = inputs(library)
    if wanted.isdecimal():
        found = [one for one in there if one.number == int(wanted)]
    elif wanted:
        found = [one for one in there if wanted in (one.name, one.name.rpartition(", ")[0])]
        found = found or [one for one in there if wanted.casefold() in one.name.casefold()]
    else:
        found = [one for one in there if one.default] or there[:1]
    if len(found) != 1:
        names = "; ".join(map(str, found or there))
        problem = "several inputs have it" if found else "no such input" if there else "there is no input at all"
        raise SettingError("device", wanted, f"{ACCEPTED}{'; there are ' + names if names else ''}", problem)
    return found[0]
