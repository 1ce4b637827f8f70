"""A stand-in for the package sounddevice: inputs that a test plugs in, out and speaks into."""

import sys
import types
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    """As sounddevice has it."""


class Stream:
    """An open input."""

    def __init__(self, fake, settings):
        self.fake, self.settings = fake, settings
        self.is_open = False

    def start(self):
        self.is_open = True
        self.fake.streams.append(self)

    def close(self):
        self.is_open = False

    def say(self, rows, overflow=False):
        """Let the input hear rows (n, channels)."""
        rows = np.ascontiguousarray(rows, np.float32)
        assert rows.shape[1] == self.settings["channels"]
        self.settings["callback"](rows.data.cast("B"), len(rows), None, SimpleNamespace(input_overflow=overflow))

    def end(self):
        """Let PortAudio's thread end."""
        self.settings["finished_callback"]()


class Sounds(types.ModuleType):
    """The package."""

    PortAudioError = PortAudioError

    def __init__(self, devices):
        super().__init__("sounddevice")
        self.__spec__ = ModuleSpec("sounddevice", None)
        self.plugged = list(devices)
        self.seen = list(devices)
        self.refused = set()
        self.streams = []
        self.n_looks = 0
        self._initialized = 1
        self.default = SimpleNamespace(device=(0, 0))

    @property
    def stream(self):
        return self.streams[-1]

    def _terminate(self):
        self.seen = []

    def _initialize(self):
        self.n_looks += 1
        self.seen = list(self.plugged)

    def query_hostapis(self):
        return [{"name": "ALSA"}]

    def query_devices(self):
        return [
            {
                "name": name,
                "hostapi": 0,
                "max_input_channels": channels,
                "default_samplerate": rate,
                "default_high_input_latency": 0.04,
            }
            for name, channels, rate in self.seen
        ]

    def check_input_settings(self, device, channels, dtype, samplerate):
        assert dtype == "float32"
        if (channels, samplerate) in self.refused or channels > self.seen[device][1]:
            raise PortAudioError("Invalid sample rate")

    def RawInputStream(self, **settings):
        return Stream(self, settings)


def plug_in(monkeypatch, *devices):
    """Put the stand-in where sounddevice is, with devices of (name, channels, rate)."""
    made = Sounds(devices)
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    return made
