"""stream-infomax probe: on a small run over recordings made here."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.extras import extra

extra("torch")
extra("scipy")

from stream_infomax.cli.probe import probe  # noqa: E402
from stream_infomax.cli.run import run  # noqa: E402
from stream_infomax.configuration.load import ConfigError  # noqa: E402

PIPELINE = r"""
[run]
folder = "FOLDER"
[source]
kind = "audio"
path = "SOUNDS"
rate = 8000
frame = 800
labels = '(?P<tone>\w+)_(?P<voice>\d)_\d+\.wav$'
order = "shuffled"
[[stage]]
name = "windows"
kind = "windows"
length = 40
hop = 40
[[stage]]
name = "learner"
kind = "learner"
output = "log"
warmup = 200
carry = ["windows"]
[[stage]]
name = "module1"
kind = "contrast"
layout = "paired"
width = 8
rows = 200
carry = ["learner"]
[[stage]]
name = "module2"
kind = "contrast"
layout = "paired"
module = 2
width = 8
carry = ["learner", "module1"]
[[stage]]
name = "classifier"
kind = "classifier"
target = "tone"
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for tone, frequency in (("low", 300), ("high", 900)):
        for voice in range(3):
            for number in range(4):
                time = np.arange(2400) / 8000
                wave = np.sin(2 * np.pi * frequency * (1 + 0.1 * voice) * time) * (1 + np.sin(2 * np.pi * 6 * time))
                noise = 0.1 * rng.standard_normal(2400)
                soundfile.write(folder / f"{tone}_{voice}_{number}.wav", 0.2 * wave + noise * 0.2, 8000)
    return folder


@pytest.fixture(scope="module")
def finished(sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    config = folder.with_suffix(".toml")
    config.write_text(PIPELINE.replace("FOLDER", str(folder)).replace("SOUNDS", str(sounds)), encoding="utf-8")
    assert run(config, in_process=True, plain=True) == 0
    return folder


def table(text):
    lines = [line.split() for line in text.splitlines()[2:]]
    return {line[0]: [float(value) for value in line[1:]] for line in lines if line[0] != "the"}


def test_every_level_beside_its_untrained_twin(finished, sounds, capsys):
    assert probe(finished, data=sounds) == 0
    text = capsys.readouterr().out
    assert text.startswith("24 segments, tone (2 classes), tested by 5 folds")
    levels = table(text)
    assert list(levels) == [
        "windows", "learner", "module1", "module2", "module2.context", "module2+module2.context"
    ]  # fmt: skip
    assert len(levels["windows"]) == len(levels["learner"]) == 1
    assert all(len(levels[name]) == 2 for name in ("module1", "module2", "module2.context"))
    assert levels["learner"][0] > 90
    assert all(value >= 50 for values in levels.values() for value in values)


def test_leaving_out_a_voice_and_naming_another_label(finished, sounds, capsys):
    assert probe(next(finished.glob("in-process/*.safetensors")), data=sounds, leave_out="voice") == 0
    assert "tested by voice" in capsys.readouterr().out
    assert probe(finished, data=sounds, target="voice", folds=4) == 0
    assert "voice (3 classes), tested by 4 folds" in capsys.readouterr().out


def test_what_is_missing_is_named(finished, sounds, tmp_path):
    with pytest.raises(ConfigError, match=r"'speaker'.*'tone', 'voice'"):
        probe(finished, data=sounds, target="speaker")
    with pytest.raises(ConfigError, match="the run's stage 'learner' cannot be taken over: its state: block is 32"):
        probe(finished, data=sounds, set=("stage.learner.block=32",))
    with pytest.raises(ConfigError, match=r"pipeline\.toml"):
        probe(tmp_path, data=sounds)
    with pytest.raises(ConfigError, match=r"no run folder or checkpoint .*nothing"):
        probe(tmp_path / "nothing", data=sounds)
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError, match="is neither a run's folder nor a checkpoint in one"):
            probe(place, data=sounds)
    with pytest.raises((ConfigError, ValueError, OSError), match="nowhere"):
        probe(finished, data=Path("nowhere"))


@pytest.mark.parametrize("target", ["tone", "word"])
def test_a_target_that_no_segment_has_is_said(sounds, tmp_path, capsys, target):
    config = tmp_path / "pipeline.toml"
    text = PIPELINE.replace("FOLDER", str(tmp_path / "run")).replace("SOUNDS", str(sounds))
    config.write_text(text.replace('target = "tone"', f'target = "{target}"'), encoding="utf-8")
    assert run(config, in_process=True, plain=True) == 0
    assert ("classifier: no segment had the label 'word'" in capsys.readouterr().out) == (target == "word")
