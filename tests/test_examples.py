"""Every example runs, as a person would run it."""

import os
import subprocess
import sys
import wave
from contextlib import closing
from pathlib import Path

import numpy as np
import zmq
from helpers.extras import needs
from helpers.wire import status

from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.threads import THREADS
from stream_infomax.transport.tap import Tap

EXAMPLES = Path(__file__).parents[1] / "examples"
TESTED = {"contrast_offline.py", "learn_patches.py", "own_frames.py", "read_a_folder.py", "watch_a_tap.py"}


def run(name: str, *arguments: str | Path, folder: Path) -> str:
    """Run an example in a folder and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **THREADS},
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@needs("matplotlib")
def test_own_frames(tmp_path: Path) -> None:
    rows = [line.strip(" []").split() for line in run("own_frames.py", folder=tmp_path).splitlines()[1:]]
    assert (tmp_path / "recovery.png").stat().st_size > 10_000
    found = np.array(rows, dtype=float)
    np.testing.assert_array_equal(np.sort(found.argmax(axis=1)), [0, 1, 2])
    assert np.sort(found, axis=1)[:, :2].max() < 0.1


@needs("skimage", "matplotlib")
def test_learn_patches(tmp_path: Path) -> None:
    from PIL import Image

    words = run("learn_patches.py", folder=tmp_path)
    assert "80 filters after 51,200 patches" in words
    assert float(words.split()[-1].rstrip("%")) > 90
    with Image.open(tmp_path / "filters.png") as picture:
        assert picture.width > 1000


@needs("torch", "matplotlib")
def test_contrast_offline(tmp_path: Path) -> None:
    assert "Greedy InfoMax" in run("contrast_offline.py", folder=tmp_path)
    assert (tmp_path / "training.png").stat().st_size > 10_000


@needs("kaldi_native_fbank")
def test_read_a_folder(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for i in range(4):
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((generator.standard_normal(16000 * 12) * 3000).astype("<i2").tobytes())
    run("read_a_folder.py", tmp_path, tmp_path / "features.npz", folder=tmp_path)
    with np.load(tmp_path / "features.npz") as features:
        assert sorted(features["segments"]) == [f"{i}.wav" for i in range(4)]
        assert np.isfinite(features["features"]).all()


def test_watch_a_tap(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/tap"
    with (
        zmq.Context() as context,
        closing(Tap(context, address)) as tap,
        subprocess.Popen(
            [sys.executable, "-P", "-u", str(EXAMPLES / "watch_a_tap.py"), address], stdout=subprocess.PIPE, text=True
        ) as observer,
    ):
        assert observer.stdout is not None
        while not tap.socket.poll(20) and observer.poll() is None:
            pass  # until it listens
        tap.attend()
        arrays = {"ear": Array(np.full((2, 3), 0.5, np.float32), ("time", "channel"))}
        tap.frame(Output(Frame("ear", 0, arrays=arrays, end=True)))
        tap.status(status(0, finished=True))
        output, _ = observer.communicate(timeout=60)
    tap.release()
    assert output == "0 ear ('time', 'channel') (2, 3) mean 0.500\n"
