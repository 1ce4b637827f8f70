"""The summary at the end of a run, and what it says of a classifier."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax.cli.run import run
from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.summary import saved_summary
from stream_infomax.run.summary_text import lines, print_summary
from stream_infomax.service.checkpoints import checkpoints_in
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


def test_each_level_stands_beside_the_baselines(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = saved_summary(RunFolder(finished))
    scores = summary.scores["classifier"]
    assert [(level, score.overall.n) for level, score in scores.items()] == [("patches", 40), ("patches+learner", 16)]
    for score in scores.values():
        of = score.overall
        assert score.recent == of
        assert of.accuracy is not None
        assert of.no_change is not None
        assert of.kappa_temporal == pytest.approx((of.accuracy - of.no_change) / (1 - of.no_change))
        assert score.chance is not None
        assert 0 < score.chance < 0.5
    print_summary(summary)
    printed = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in printed if str(finished) not in line)
    start = printed.index("classifier: accuracy, each segment before its label is learnt")
    of = scores["patches"].overall
    share, kappa = f"{of.accuracy:.1%}", f"{of.kappa_temporal:.2f}"
    assert printed[start + 2].split() == ["patches", share, kappa, share, "of", "40", kappa]
    assert [line.partition("   ")[0].strip() for line in printed[start + 4 : start + 7]] == [
        "baseline: no change",
        "baseline: majority class",
        "baseline: chance",
    ]


def test_nothing_in_a_summary_is_obeyed_by_a_terminal(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;x\x07\n[bold]"
    summary = saved_summary(RunFolder(finished))
    scores = {hostile: {hostile: summary.scores["classifier"]["patches"]}}
    changes = {"lost": {hostile: 3}, "unlabelled": {hostile: hostile}, "pictures": [hostile], "scores": scores}
    summary = msgspec.structs.replace(summary, **changes)
    print_summary(summary, Path(hostile))
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    assert len(printed.splitlines()) == len(list(lines(summary, Path(hostile))))


def test_a_summary_that_cannot_be_read_is_named(finished: Path, tmp_path: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    record["summary"]["frames"] = "many"
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"run\.json: its summary is none of this version: .*frames"):
        saved_summary(RunFolder(tmp_path))


def test_a_run_that_only_encodes_draws_no_learning_curve(finished: Path, tmp_path: Path) -> None:
    config = tmp_path / "pipeline.toml"
    *_, start = checkpoints_in(finished / "in-process")
    text = CONFIG.partition('[[stage]]\nname = "classifier"')[0].format(folder=tmp_path / "run")
    config.write_text(text.replace('carry = ["patches"]', f'carry = ["patches"]\nlearn = false\nstart = "{start}"'))
    assert run(config, in_process=True, plain=True) == 0
    assert (tmp_path / "run" / "filters.png").exists()
    assert not (tmp_path / "run" / "learning_curve.png").exists()


def test_the_columns_of_the_features_file_have_names(finished: Path) -> None:
    with np.load(finished.parent / "scores.npz") as features:
        classes, scores, rows = (features[name] for name in ("classes/classifier", "classifier", "rows/classifier"))
        labels = [json.loads(labels) for labels in features["frames/labels"]]
    assert classes.shape == scores.shape[1:]
    assert len(set(classes)) == len(classes) > 2
    for row, offset in zip(scores, rows, strict=True):
        assert labels[offset]["classifier"] == classes[np.nanargmax(row)]


@needs("pyarrow")
def test_a_table_holds_the_features_of_every_stage(finished: Path) -> None:
    config, path = finished.parent / "pipeline.toml", finished.parent / "scores.parquet"
    assert run(config, in_process=True, plain=True, save_features=path) == 0
    from pyarrow import parquet

    table = parquet.read_table(path)
    of = np.array(table["arrays"].to_pylist())
    with np.load(finished.parent / "scores.npz") as features:
        for name in ("learner", "classifier"):
            rows = features[name].reshape(len(features[name]), -1)
            lines = table.filter([name in arrays.split(",") for arrays in of])
            found = np.column_stack([lines[f"{name}_{number}"].to_numpy() for number in range(rows.shape[1])])
            np.testing.assert_array_equal(found, rows)
        classes = json.loads(table.schema.metadata[b"stream_infomax.classes"])
        assert classes == {"classifier": features["classes/classifier"].tolist()}


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


def test_rows_that_a_learner_did_not_learn_from_are_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = np.random.default_rng(0).laplace(size=(600, 3))
    rows[500:540, 1] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    config = tmp_path / "rows.toml"
    source = f'[source]\nkind = "table"\npath = "{tmp_path}/rows.npy"\nrate = 100.0\n'
    config.write_text(f'[run]\nfolder = "{tmp_path}/run"\n{source}[[stage]]\nname = "learner"\nkind = "learner"\n')
    assert run(config, in_process=True, plain=True) == 0
    assert saved_summary(RunFolder(tmp_path / "run")).set_aside == {"learner": {"not finite": 40}}
    assert "learner: of 600 rows not learnt from 40 (not finite)" in capsys.readouterr().out.splitlines()
