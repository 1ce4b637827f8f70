"""A microphone for real: through PortAudio, ALSA and a sound server, whose output is heard at its input."""

import json
import time

import numpy as np
import pytest
from helpers.commands import call, ended, started
from helpers.extras import needs
from helpers.pulse import RATE, Pulse, needs_pulse

from stream_infomax.frames.frame import Frame
from stream_infomax.transport.tap import TapReader

pytestmark = [needs("sounddevice"), needs_pulse()]

CONFIG = """
[run]
folder = "run"

[source]
kind = "microphone"
device = "pulse"
rate = 16000
duration = DURATION

[[stage]]
name = "windows"
kind = "windows"
"""


@pytest.fixture
def pulse(tmp_path):
    (tmp_path / "pulse").mkdir()
    server = Pulse(tmp_path / "pulse")
    server.start()
    yield server
    server.kill()


class Listener:
    """What comes from the source's tap."""

    def __init__(self, tap):
        self.frames = iter(tap)
        self.kept: list[Frame] = []

    def next(self):
        self.kept.append(next(self.frames))
        return self.kept[-1]

    def until_heard(self, played, loud):
        """Take frames until what is played has been heard to its end; return the samples since then."""
        begin = max(0, len(self.kept) - 5)
        while np.abs(self.next().arrays["source"].data).max(initial=0) < loud:
            assert played.poll() is None, "it was played, and not heard"
        for _ in range(90):  # the signal lasts for 50 frames
            self.next()
        assert played.wait(20) == 0
        return np.concatenate([frame.arrays["source"].data[:, 0] for frame in self.kept[begin:]])


def signal(seed):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, RATE).astype(np.float32)


def place(heard, played):
    """Where in what was heard the signal begins."""
    size = 1 << 18
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(played, size))
    return int(np.fft.irfft(product)[: len(heard)].argmax())


def test_what_is_played_is_heard_and_a_lost_microphone_comes_back(pulse, tmp_path):
    (tmp_path / "mic.toml").write_text(CONFIG.replace("DURATION", "7.0"))
    log = tmp_path / "run" / "source.log"
    with (
        started("run", "mic.toml", "--plain", folder=tmp_path, **pulse.environment) as (process, _),
        TapReader(f"ipc://{tmp_path}/run/source.tap") as tap,
    ):
        listener = Listener(tap)
        first = listener.next()
        assert first.rate == RATE
        assert first.arrays["source"].data.shape == (320, 1)

        played = signal(0)
        heard = listener.until_heard(pulse.play(played), 0.2)
        at = place(heard, played)
        np.testing.assert_array_equal(heard[at : at + len(played)], played, "not to the last bit")
        times = np.array([frame.time for frame in listener.kept])
        assert 0 < time.time() - times[-1] < 5
        np.testing.assert_allclose(np.diff(times), 0.02, atol=0.1)
        assert np.all(np.diff(times) >= 0)

        pulse.kill()
        while not log.exists() or "waiting for it" not in log.read_text():
            assert process.poll() is None, ended(process)
            time.sleep(0.02)
        pulse.start()
        before = listener.kept[-1]
        while listener.next().segment == before.segment:
            before = listener.kept[-1]
        after = listener.kept[-1]
        assert after.offset == before.offset + 1, "it died with everything saved"
        missing = 50 * (after.time - before.time - before.arrays["source"].n_rows / RATE)

        played = signal(1)
        heard = listener.until_heard(pulse.play(played), 0.2)
        at = place(heard, played)
        np.testing.assert_array_equal(heard[at : at + len(played)], played)
        listener.kept.extend(listener.frames)
        done = ended(process)
    assert done.code == 3, done.errors + log.read_text()
    assert listener.kept[-1].end
    assert sum(frame.arrays["source"].n_rows for frame in listener.kept) < 7 * RATE + 320
    summary = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]
    (lost,) = (number for reason, number in summary["lost"].items() if "the microphone was away" in reason)
    assert missing - 0.1 < lost < missing + 1.1
    assert "the microphone pulse has gone" in log.read_text()
    assert "the microphone is back" in log.read_text()


def test_an_input_that_is_not_there_ends_the_run_at_once(pulse, tmp_path):
    (tmp_path / "mic.toml").write_text(CONFIG.replace("DURATION", "1.0").replace('"pulse"', '"Studio"'))
    assert call("check", "mic.toml", folder=tmp_path, **pulse.environment).code == 0, "it opens nothing"
    done = call("run", "mic.toml", folder=tmp_path, **pulse.environment)
    assert done.code == 2
    assert "source: device = 'Studio': no such input" in done.errors
    assert "pulse, ALSA" in done.errors
