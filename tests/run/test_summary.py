"""The summary at the end of a run, and what it says of a classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax.cli.run import run
from stream_infomax.run.summary import tell
from stream_infomax.watch.history import read

pytestmark = needs("skimage", "PIL")

CONFIG = """
[run]
folder = "{folder}"

[source]
kind = "images"
path = "skimage:natural"
mode = "crops"
crop = [24, 24]
frames = 40
labels = '(?P<picture>[a-z]+)'

[[stage]]
name = "patches"
kind = "windows"
service = "learner"
form = "grid"
patch = 6
stride = 6

[[stage]]
name = "learner"
kind = "learner"
carry = ["patches"]

[[stage]]
name = "classifier"
kind = "classifier"
target = "picture"
levels = ["patches", "patches+learner"]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conclude")
    config = folder / "pipeline.toml"
    config.write_text(CONFIG.format(folder=folder / "run"))
    assert run(config, in_process=True, plain=True, save_features=folder / "scores.npz") == 0
    return folder / "run"


def test_each_level_stands_beside_those_who_do_not_look(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((finished / "run.json").read_text())["summary"]
    scores = summary["scores"]["classifier"]
    assert [(level, of["scored"]) for level, of in scores.items()] == [("patches", 40), ("patches+learner", 16)]
    for of in scores.values():
        no_change = of["overall_no_change"]
        assert of["window"] == of["overall"] < 1
        assert of["overall_kappa_temporal"] == pytest.approx((of["overall"] - no_change) / (1 - no_change))
        assert 0 < of["chance"] < 0.5
    tell(summary)
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("classifier: segments named rightly, each before its label was learnt")
    of = scores["patches"]
    share, kappa = f"{of['overall']:.1%} of 40", f"{of['overall_kappa_temporal']:.2f}"
    assert lines[start + 2].split() == ["patches", *share.split(), kappa, *share.split(), kappa]
    assert [line.partition("  ")[0] for line in map(str.strip, lines[start + 4 : start + 7])] == [
        "(no change)",
        "(majority class)",
        "(by chance)",
    ]


def test_the_columns_of_the_features_file_have_names(finished: Path) -> None:
    with np.load(finished.parent / "scores.npz") as features:
        classes, scores, rows = (features[name] for name in ("classes/classifier", "classifier", "rows/classifier"))
        labels = [json.loads(labels) for labels in features["frames/labels"]]
    assert classes.shape == scores.shape[1:]
    assert len(set(classes)) == len(classes) > 2
    for row, offset in zip(scores, rows, strict=True):
        assert labels[offset]["classifier"] == classes[np.nanargmax(row)]


def test_they_are_in_the_history_too(finished: Path) -> None:
    curves = read(finished / "history.csv")
    for name in ("chance", "majority class", "no change"):
        values = curves["classifier", name, "baseline"]["value"]
        assert values
        assert np.all((np.array(values) >= 0) & (np.array(values) <= 1))


def test_a_learner_that_heard_too_little_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "pipeline.toml"
    text = CONFIG.format(folder=tmp_path / "run").replace('kind = "learner"', 'kind = "learner"\nwarmup = 10000')
    config.write_text(text)
    assert run(config, in_process=True, plain=True) == 0
    assert "learner: no basis, its warm-up was not over after 640 rows" in capsys.readouterr().out
