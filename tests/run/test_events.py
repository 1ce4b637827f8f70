"""What happens to a learner reaches everybody who looks: log, terminal, summary, run.json, picture, features."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Ended, call
from helpers.extras import extra

extra("soundfile")
import soundfile  # noqa: E402

CONFIG = """
[run]
folder = "run"

[source]
kind = "audio"
path = "sounds"
frame = 256
channels = "keep"
order = "sorted"

[[stage]]
name = "learner"
kind = "learner"
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A run over a recording and another one of the same channels, mixed otherwise and twice as loud."""
    folder = tmp_path_factory.mktemp("events")
    (folder / "sounds").mkdir()
    generator = np.random.default_rng(0)
    for i, n in enumerate((30_000, 10_000)):
        rows = generator.laplace(size=(n, 4)) @ generator.standard_normal((4, 4)) * 0.02 * (1 + i)
        soundfile.write(folder / "sounds" / f"{i}.wav", rows, 8000, subtype="FLOAT")
    (folder / "pipeline.toml").write_text(CONFIG)
    end = call("run", "pipeline.toml", "--save-features", "kept.npz", folder=folder)
    assert end.code == 0, end.errors
    return folder, end


def test_they_are_in_the_summary_the_log_and_the_features(done: tuple[Path, Ended]) -> None:
    folder, end = done
    events = json.loads((folder / "run/run.json").read_text())["summary"]["events"]
    first = events[0]
    assert (first["stage"], first["kind"]) == ("learner", "change")
    assert 30_000 < first["position"] < 32_000
    line = f"learner, row {first['position']:,}, change: {first['text']}"
    assert line in (folder / "run/learner.log").read_text().splitlines()
    assert line in end.output.splitlines(), "when it happens"
    assert line in end.output.split("finished after")[1].replace("\n    ", " "), "in the summary, wrapped"
    with np.load(folder / "kept.npz") as kept:
        found = [event for text in kept["frames/events"] for event in json.loads(text)]
    assert found == events


def test_the_summary_of_a_finished_run_has_them_too(done: tuple[Path, Ended]) -> None:
    folder, _ = done
    again = call("run", "pipeline.toml", "--save-features", "kept.npz", folder=folder)
    assert again.code == 0, again.errors
    assert "change: " in again.output
    assert max(map(len, again.output.splitlines())) <= 80 + 60  # paths of checkpoints
