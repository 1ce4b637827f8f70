"""The run folder: what is new, unfinished or finished, what fits, and what --fresh may remove."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_infomax.configuration.load import Config, ConfigError, convert, load
from stream_infomax.run.folder import RunFolder


def config_for(folder: Path, **changes: Any) -> Config:
    raw: dict[str, Any] = {
        "run": {"folder": str(folder)},
        "source": {"kind": "synthetic"},
        "stage": [{"kind": "learner", "name": "learner"}],
    }
    for key, value in changes.items():
        table, _, name = key.partition("_")
        target = raw["stage"][0] if table == "stage" else raw[table]
        target[name] = value
    return convert(raw)


def opened(folder: Path, *, in_process: bool = False, fresh: bool = False, **changes: Any) -> str:
    run = RunFolder(folder)
    with run.lock():
        return run.open(config_for(folder, **changes), in_process, fresh)


def test_new_then_unfinished_then_finished(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    assert opened(folder) == "new"
    assert opened(folder) == "unfinished"
    RunFolder(folder).finish({"frames": 7})
    assert opened(folder) == "finished"
    assert RunFolder(folder).summary() == {"frames": 7}


def test_the_services_read_the_same_configuration(tmp_path: Path) -> None:
    opened(tmp_path / "run", stage_half_life=1000.0, run_seed=3)
    assert load(tmp_path / "run" / "pipeline.toml") == config_for(tmp_path / "run", stage_half_life=1000.0, run_seed=3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run_seed": 1}, "run.seed is 1"),
        ({"source_frames": 9}, "source.frames is 9"),
        ({"stage_block": 32}, "stage.learner.block is 32"),
        ({"in_process": True}, "--in-process was given"),
        ({"run_record": True}, "--save-features was not given there"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    opened(tmp_path / "run")
    with pytest.raises(ConfigError, match="an unfinished run of another configuration") as caught:
        opened(tmp_path / "run", **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("changes", [{"run_keep": 9}, {"source_pace": "live"}, {"stage_half_life": 5.0}])
def test_what_may_change_may(tmp_path: Path, changes: dict[str, Any]) -> None:
    opened(tmp_path / "run")
    assert opened(tmp_path / "run", **changes) == "unfinished"


def test_a_recording_goes_on_until_the_run_has_finished(tmp_path: Path) -> None:
    opened(tmp_path / "run", run_record=True)
    with pytest.raises(ConfigError, match="--save-features was given there, and what is published without it"):
        opened(tmp_path / "run")
    RunFolder(tmp_path / "run").finish({})
    assert opened(tmp_path / "run") == "finished"


def test_fresh_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    opened(folder)
    for service in ("source", "learner", "recorder", "mine"):
        (folder / service).mkdir()
        (folder / service / "checkpoint-000001-at-5.safetensors").write_text("x")
    for name in ("learner.log", "learner.tap", "history.csv", "filters.png", "notes.txt"):
        (folder / name).write_text("x")
    assert opened(folder, fresh=True, run_seed=5) == "new"
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "mine", "notes.txt", "pipeline.toml", "run.json"]


def test_fresh_in_an_empty_place_is_new(tmp_path: Path) -> None:
    assert opened(tmp_path / "run", fresh=True) == "new"


def test_what_a_crash_left_of_the_record_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.tmp").write_text('{"form')
    assert opened(tmp_path / "run") == "new"


@pytest.mark.parametrize("text", ["", "{", json.dumps([1, 2]), json.dumps({"config": 3})])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"run\.json: not readable"):
        opened(tmp_path / "run")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ConfigError, match=r"run\.folder = .*Not a directory"),
        RunFolder(tmp_path / "file" / "run").lock(),
    ):
        pass


def test_a_second_holder_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    held = RunFolder(tmp_path).lock()
    refused = pytest.raises(ConfigError, match=r"in use by process \d+")
    with held, refused, RunFolder(tmp_path).lock():
        pass
    with RunFolder(tmp_path).lock():
        pass
