"""How long is it from a sound in the sound server until its features come out of the tap, while the learner learns?

Clicks in faint noise are played into a null sink of a PulseAudio of this benchmark's own; two listen to its monitor.
One is a plain recorder that asks for as little delay as there is (pacat, 1 ms): it says when the server had each click.
The other is a run as anybody starts it: PortAudio over ALSA's plugin, a source of the kind "microphone", windows of 64
samples, a learner with its defaults, each service in a process of its own. Its features, and the windows behind them,
are read from the learner's tap. The latency of a click is the time from the recorder's having it to the observer's
having the features of the window that holds it, by one clock.

    python benchmarks/microphone_latency.py
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import common
import numpy as np

sys.path.append(str(common.RESULTS.parents[1] / "tests"))

from helpers.pulse import RATE, Pulse

from stream_infomax.transport.tap import FRAME, TapReader

# Seconds of a click train, clicks in it, and the seconds before it, in which the learner warms up.
SECONDS, CLICKS, BEFORE = 7, 130, 4
WINDOW = 64
# What `latency` is (0: what the input calls safe), and milliseconds of a frame.
SETTINGS = ((0.0, 20), (0.02, 20), (0.02, 5))
CONFIG = """
[run]
folder = "run"

[source]
kind = "microphone"
device = "pulse"
rate = {rate}
latency = {latency}
frame = {frame}

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
length = {window}
hop = {window}

[[stage]]
name = "learner"
kind = "learner"
warmup = 640
carry = ["windows"]
"""


class Ear:
    """Notes at which time, by the monotonic clock, it had each click."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.times: list[float] = []
        self._n = 0

    def hear(self, samples: np.ndarray, now: float, delay: float = 0.0) -> None:
        """Take samples that came now; the last of them `delay` seconds a sample after the first."""
        for place in np.flatnonzero(np.abs(samples) > 0.5):
            if not self.places or self._n + place - self.places[-1] > 20:
                self.places.append(self._n + int(place))
                self.times.append(now - delay * (len(samples) - 1 - place))
        self._n += len(samples)


def train() -> np.ndarray:
    """Return noise, then clicks at random places in it, at least 30 ms apart."""
    generator = np.random.default_rng(0)
    samples = generator.laplace(size=(BEFORE + SECONDS) * RATE) * 0.02
    steps = generator.uniform(0.03, 2 * SECONDS / CLICKS - 0.03, CLICKS)
    places = BEFORE * RATE + (np.cumsum(steps) * RATE).astype(int)
    samples[places[places < len(samples) - RATE // 10]] = 0.9
    return np.clip(samples, -1, 1)


def record(pipe: IO[bytes], ear: Ear) -> None:
    """Hear what a recorder writes, as it comes."""
    while data := os.read(pipe.fileno(), 1 << 16):
        ear.hear(np.frombuffer(data[: len(data) // 4 * 4], "<f4"), time.monotonic(), 1 / RATE)


def observe(tap: TapReader, ear: Ear, enough: threading.Event) -> None:
    """Hear the windows whose features come from the learner's tap."""
    while not enough.is_set():
        if tap.socket.poll(200):
            frame = tap.receive()
            if hasattr(frame, "arrays") and frame.arrays:
                now = time.monotonic()
                ear.hear(frame.arrays["windows"].data.ravel(), now)


def measure(latency: float, frame_ms: int) -> dict[str, object]:
    """Measure one setting."""
    reference, ear, enough = Ear(), Ear(), threading.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = frame_ms * RATE // 1000
        (folder / "mic.toml").write_text(CONFIG.format(rate=RATE, latency=latency, frame=frame, window=WINDOW))
        (folder / "pulse").mkdir()
        pulse = Pulse(folder / "pulse")
        pulse.start()
        recorder = pulse.listen()
        run = subprocess.Popen(
            [sys.executable, "-P", "-m", "stream_infomax.cli", "run", "mic.toml", "--plain"],
            cwd=folder,
            env={**os.environ, **pulse.environment},
            stdout=subprocess.DEVNULL,
        )
        try:
            with TapReader(f"ipc://{folder}/run/learner.tap", topics=(FRAME,)) as tap:
                tap.receive()  # it runs
                threads = [
                    threading.Thread(target=record, args=(recorder.stdout, reference)),
                    threading.Thread(target=observe, args=(tap, ear, enough)),
                ]
                for thread in threads:
                    thread.start()
                pulse.play(train(), buffered=20).wait()
                enough.set()
                recorder.terminate()
                for thread in threads:
                    thread.join()
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(20)
            recorder.kill()
            pulse.kill()
    return summary(latency, frame_ms, reference, ear)


def summary(latency: float, frame_ms: int, reference: Ear, ear: Ear) -> dict[str, object]:
    """Return what the two have heard, click by click."""
    n = min(len(reference.places), len(ear.places))
    apart = np.diff(reference.places[:n]) - np.diff(ear.places[:n])
    if len(reference.places) != len(ear.places) or np.any(apart):
        raise SystemExit(f"{len(reference.places)} and {len(ear.places)} clicks, {np.count_nonzero(apart)} displaced")
    times = 1000 * (np.array(ear.times) - np.array(reference.times))
    return {
        "latency, s": latency or "0 (safe)",
        "frame, ms": frame_ms,
        "clicks": n,
        "least, ms": f"{times.min():.1f}",
        "p50, ms": f"{np.percentile(times, 50):.1f}",
        "p99, ms": f"{np.percentile(times, 99):.1f}",
        "longest, ms": f"{times.max():.1f}",
    }


def main() -> None:
    """Measure all settings, and write the table."""
    rows = [measure(*setting) for setting in SETTINGS]
    note = (
        f"{common.machine('sounddevice')}, load {os.getloadavg()[0]:.1f} at the end, shared cores. From the sound "
        f"server's having a sample (a recorder with 1 ms) until its features are in an observer of the learner's tap, "
        f"learning on. Every click of the train came, at its place to the sample. {RATE // 1000} kHz, windows of "
        f"{1000 * WINDOW // RATE} ms. Of a frame, the first sample waits for the last; the rest is what ALSA's plugin "
        f"and PortAudio buffer (the setting `latency`), and a few ms of the run."
    )
    common.write_table("microphone_latency", "Sound → features over a loop-back", rows, note)


if __name__ == "__main__":
    main()
