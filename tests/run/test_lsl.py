"""Runs on a stream of the lab streaming layer, in processes: outlet and source die, features are heard elsewhere."""

import json
import os
import signal

import numpy as np
import pytest
from helpers.commands import child_of, ended, started
from helpers.extras import extra
from helpers.outlets import Outlet

pylsl = extra("pylsl")

from stream_infomax.transport.tap import FRAME, TapReader  # noqa: E402

LONG = 30.0
CONFIG = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "lsl"
stream = "{name}"
markers = "{name} words"
label = "word"
segment_seconds = 1000.0
duration = 3.0

[[sink]]
kind = "lsl"
stream = "{name} {{stream}}"
"""


@pytest.fixture
def outlet():
    made = []

    def make(*settings, **more):
        made.append(Outlet(*settings, **more))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def next_frame(tap, seconds=LONG):
    """Return the next frame with rows, None where none comes for so long."""
    while tap.socket.poll(1000 * seconds):
        frame = tap.receive()
        if frame is not None and frame.arrays:
            return frame
    return None


def push_until_new(device, tap, known=()):
    """Push rows until some come out in a segment that is not known: whoever listens may not be there yet."""
    while True:
        device.push(2)
        while (frame := next_frame(tap, 0.5)) is not None:
            if frame.segment not in known:
                return frame


def push_until_end(device, tap, process):
    """Push a frame of rows whenever the one before has come out, until the run has ended."""
    while process.poll() is None:
        device.push(2)
        for _ in range(50):  # the run may end instead
            if next_frame(tap, 0.1) is not None or process.poll() is not None:
                break


def test_an_outlet_and_a_source_that_die_in_mid_stream(outlet, tmp_path):
    name = f"stream of {tmp_path}"
    (tmp_path / "lsl.toml").write_text(CONFIG.format(name=name))
    device = outlet(name, source_id="amplifier")
    words = outlet(f"{name} words", type="Markers", channels=1, rate=0.0, format="string")
    with started("run", "lsl.toml", "--save-features", "features.npz", folder=tmp_path) as (process, said):
        assert any(line.startswith("source: running") for line in said)
        with TapReader(f"ipc://{tmp_path}/run/source.tap", topics=(FRAME,)) as tap:
            device.wait_for_listeners()
            first = push_until_new(device, tap)
            (info,) = pylsl.resolve_byprop("name", f"{name} source", 1, LONG)
            heard = pylsl.StreamInlet(info)
            heard.open_stream(LONG)
            words.push_texts("left", at=first.time + 0.01)
            device.kill()
            device = outlet(name, source_id="amplifier")
            device.wait_for_listeners()
            second = newest = push_until_new(device, tap, {first.segment})
            rows, _ = heard.pull_chunk(LONG, 2, as_numpy=True)
            assert rows.shape == (2, 2)
            while newest.offset < second.offset + 10:  # a checkpoint knows of both
                device.push(2)
                newest = next_frame(tap)
            os.kill(child_of(process.pid, "source.py"), signal.SIGKILL)
            assert any(line.startswith("source: running") for line in said)
            device.push(2, skip=1.0)
            push_until_new(device, tap, {first.segment, second.segment})
            push_until_end(device, tap, process)
        end = ended(process)
    assert end.code == 3, end.errors
    summary = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]
    assert summary["lost"]["the stream was away"] > 0
    with np.load(tmp_path / "features.npz") as kept:
        assert (np.diff(kept["frames/offset"]) > 0).all()
        assert (np.diff(kept["times/source"]) > 0).all()
        segments = list(dict.fromkeys(kept["frames/segment"]))
        labels = [json.loads(text) for text in kept["frames/labels"][kept["frames/segment"] == first.segment]]
    assert segments[:2] == [first.segment, second.segment]
    assert len(segments) == 3
    assert labels[-1] == {"word": "left"}


def test_a_run_without_its_stream_says_so(tmp_path):
    name = f"stream of {tmp_path}"
    (tmp_path / "lsl.toml").write_text(CONFIG.format(name=name))
    with started("run", "lsl.toml", folder=tmp_path) as (process, _):
        end = ended(process)
    assert end.code == 2
    assert f"there is no LSL stream with name '{name}'; there are: " in end.errors
