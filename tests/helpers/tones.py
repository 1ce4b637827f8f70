"""Recordings of low and high tones by several voices, and runs that learn contrastive modules from them."""

import numpy as np
import soundfile

RATE = 8000
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


def record(folder, voices=3, takes=4):
    """Write recordings of 0.3 s, ``low_0_0.wav`` and so on; return their folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    time = np.arange(2400) / RATE
    for tone, frequency in (("low", 300), ("high", 900)):
        for voice in range(voices):
            for take in range(takes):
                wave = np.sin(2 * np.pi * frequency * (1 + 0.1 * voice) * time) * (1 + np.sin(2 * np.pi * 6 * time))
                sound = wave + 0.1 * rng.standard_normal(len(time))
                soundfile.write(folder / f"{tone}_{voice}_{take}.wav", 0.2 * sound, RATE)
    return folder


def trained(folder, sounds, pipeline=PIPELINE):
    """Run a pipeline over recordings in one process; return the folder of the run."""
    from stream_infomax.cli.run import run

    config = folder.with_suffix(".toml")
    config.write_text(pipeline.replace("FOLDER", str(folder)).replace("SOUNDS", str(sounds)), encoding="utf-8")
    assert run(config, in_process=True, plain=True) == 0
    return folder
