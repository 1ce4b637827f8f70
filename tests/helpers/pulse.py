"""A sound server of a test's own, with an output that plays into its only input."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

PROGRAMS = ("pulseaudio", "pactl", "pacat")
RATE = 16000
# The form in which signals are played.
FORM = ("--raw", "--format=float32le", f"--rate={RATE}", "--channels=1")
# What PortAudio's ALSA finds: an input that is the server's.
ALSA = """
pcm.!pulse { type pulse }
ctl.!pulse { type pulse }
"""


def needs_pulse():
    """Mark a test that needs the server and PortAudio."""
    import pytest

    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    reason = f"not installed: {', '.join(missing)} (Debian: pulseaudio pulseaudio-utils libasound2-plugins)"
    return pytest.mark.skipif(bool(missing), reason=reason)


class Pulse:
    """A PulseAudio whose output is a null sink: what is played into it is heard from its monitor.

    Parameters
    ----------
    folder
        Its home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "run").mkdir(mode=0o700)
        (folder / ".asoundrc").write_text(ALSA)
        self.socket = folder / "native"
        # What makes any program use this server.
        self.environment = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        command = [
            *("pulseaudio", "-n", "--daemonize=no", "--system=false", "--use-pid-file=no", "--exit-idle-time=-1"),
            *("-L", f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"),
            *("-L", f"module-null-sink sink_name=loop rate={RATE} channels=1 format=float32le"),
        ]
        with (self.folder / "pulse.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._all(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self.socket.exists() or self._call("pactl", "info").returncode:
            assert self._process.poll() is None, (self.folder / "pulse.log").read_text()

    def kill(self) -> None:
        """Kill it; who listens to it loses it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def listen(self) -> subprocess.Popen[bytes]:
        """Begin to write what is heard, as float32, to a pipe: as soon as the server has it."""
        command = ["pacat", "--record", *FORM, "--latency-msec=1", "--process-time-msec=1"]
        return subprocess.Popen(command, env=self._all(), stdout=subprocess.PIPE)

    def play(self, samples: np.ndarray, buffered: int = 200) -> subprocess.Popen[bytes]:
        """Begin to play samples (n,) at `RATE`, after 0.2 s in which an output that has rested wakes up.

        `buffered` are the milliseconds that the player is ahead: with fewer, a busy machine makes it stumble.
        """
        path = self.folder / "played.raw"
        path.write_bytes(np.concatenate([np.zeros(RATE // 5), samples]).astype("<f4").tobytes())
        return subprocess.Popen(
            ["pacat", "--playback", *FORM, f"--latency-msec={buffered}", str(path)], env=self._all()
        )

    def _call(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, env=self._all(), capture_output=True, timeout=20, check=False)

    def _all(self) -> dict[str, str]:
        return {**os.environ, **self.environment}
