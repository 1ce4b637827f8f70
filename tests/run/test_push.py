"""A program that pushes to a run of devices, and what is said of the run's address before it starts."""

import json

import numpy as np
import pytest
from helpers.commands import call, ended, started

from stream_infomax import Push

CONFIG = """
[run]
folder = "run"

[source]
kind = "devices"
ends = true

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = 16
hop = 8

[[stage]]
name = "learner"
kind = "learner"
service = "learner"
block = 16

[[stage]]
name = "names"
kind = "classifier"
target = "word"
"""


@pytest.mark.parametrize("mode", [(), ("--in-process",)], ids=["processes", "one process"])
def test_a_program_pushes_and_labels_late_and_its_words_are_learnt(tmp_path, mode):
    (tmp_path / "words.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    with started("run", "words.toml", "--plain", *mode, folder=tmp_path) as (process, _):
        with Push(f"ipc://{tmp_path}/run/source.devices", rate=8000.0, timeout=50) as push:
            for number in range(60):
                sound = rng.laplace(size=1200).astype(np.float32)
                for third, part in enumerate(np.split(np.cumsum(sound) / 4 if number % 2 else sound, 3)):
                    push(part, segment=f"word {number}", last=third == 2)
                push.label({"word": "ab"[number % 2]}, segment=f"word {number}")
        done = ended(process)
    assert done.code == 0, done.errors
    assert "none lost" in done.output
    assert "left out" not in done.output
    measures = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]["scores"]["names"]
    assert next(iter(measures.values()))["overall"]["n"] > 40


def test_a_folder_too_deep_for_its_socket_is_named_before_anything_starts(tmp_path):
    (tmp_path / "words.toml").write_text(CONFIG)
    deep = 107 - len(f"{tmp_path}/receiver.devices".encode()) - 1
    for length, code in ((deep, 0), (deep + 1, 2)):
        changes = ("--set", f"run.folder={'d' * length}", "--set", "source.name=receiver")
        done = call("check", "words.toml", *changes, folder=tmp_path)
        assert done.code == code, done.errors
    assert "too deep for a socket" in done.errors
    assert "receiver.control has 108 bytes of 107" in done.errors
