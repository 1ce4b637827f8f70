"""Files whose names are written to move a terminal: nothing that a run or a check prints does."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call

from stream_infomax.cli import app

CONFIG = """
[run]
folder = "run"

[source]
kind = "audio"
path = "sounds"
rate = 8000
labels = '(?P<word>[^/]+)\\.wav$'

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = 32
hop = 16

[[stage]]
name = "learner"
kind = "learner"
n_rank = 8

[[stage]]
name = "classifier"
kind = "classifier"
target = "word"
levels = ["learner"]
"""
NAMES = ("\x1b]0;title\x07.wav", "\x1b[2J\nforged: line.wav", "[\u202ebold].wav")


@pytest.mark.parametrize("arguments", [("check",), ("run", "--plain"), ("run", "--in-process")])
def test_nothing_printed_moves_a_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        soundfile.write(sounds / name, rng.laplace(size=8000) / 20, 8000)
    (sounds / "\x1b[31mbroken.wav").write_bytes(b"RIFF")
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    told = call(*arguments, "pipeline.toml", folder=tmp_path)
    assert told.code == 0, told.errors
    for line in (told.output + told.errors).splitlines():
        assert line.isprintable()
    for log in (tmp_path / "run").glob("*.log"):
        assert all(line.isprintable() for line in log.read_text().splitlines())


LOOKS = (
    ("show", "run"),
    ("status", "run"),
    ("diff", "run", "run"),
    ("encode", "run", "sounds", "--to", "\x1b[31mfeatures.csv"),
    ("replay", "run", "--from", "40", "--to", "\x1b[31mfork", "--plain"),
    ("doctor", "pipeline.toml", "--seconds", "0.1"),
    ("run", "pipeline.toml", "--in-process"),
)


def test_nor_does_a_look_at_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        soundfile.write(sounds / name, rng.laplace(size=8000) / 20, 8000)
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    for arguments in (("run", "pipeline.toml", "--in-process"), *LOOKS):
        assert app(arguments) in (0, 1), arguments
        told = capsys.readouterr()
        for line in (told.out + told.err).splitlines():
            assert line.isprintable(), (arguments, ascii(line))


def test_nor_does_an_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(CONFIG.replace('"sounds"', r'"\u001b[2J\u202e"'))
    told = call("run", "pipeline.toml", folder=tmp_path)
    assert told.code == 2
    assert all(line.isprintable() for line in (told.output + told.errors).splitlines())
