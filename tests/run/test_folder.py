"""The run folder: what is new, unfinished or finished, what fits, and what --fresh may remove."""

import json
import os
import resource
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from helpers.faults import fault

from stream_infomax.configuration.load import Config, ConfigError, convert, load
from stream_infomax.run.folder import RunFolder, names_in
from stream_infomax.state.error import StateFileError


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


def with_frames(folder: Path) -> None:
    """Put down what looks like a checkpoint with five frames behind it."""
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint-000001-at-5.safetensors").write_text("x")


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_new_then_unfinished_then_finished(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    assert opened(folder) == "new"
    assert opened(folder) == "new", "there is no frame yet"
    with_frames(folder / "source")
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
    with_frames(tmp_path / "run" / "source")
    with pytest.raises(ConfigError, match="an unfinished run of another configuration") as caught:
        opened(tmp_path / "run", **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("changes", [{"run_keep": 9}, {"source_pace": "live"}, {"stage_half_life": 5.0}])
def test_what_may_change_may(tmp_path: Path, changes: dict[str, Any]) -> None:
    opened(tmp_path / "run")
    with_frames(tmp_path / "run" / "source")
    assert opened(tmp_path / "run", **changes) == "unfinished"


def test_a_recording_goes_on_until_the_run_has_finished(tmp_path: Path) -> None:
    opened(tmp_path / "run", run_record=True)
    with_frames(tmp_path / "run" / "source")
    with pytest.raises(ConfigError, match="--save-features was given there, and what is published without it"):
        opened(tmp_path / "run")
    RunFolder(tmp_path / "run").finish({})
    assert opened(tmp_path / "run") == "finished"


def test_fresh_removes_the_run_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    opened(folder)
    for service in ("source", "learner", "recorder", "mine"):
        with_frames(folder / service)
    for name in ("checkpoint-1000000-at-7.safetensors.damaged", "part-000000.safetensors.tmp", "letter.txt"):
        (folder / "learner" / name).write_text("x")
    (folder / "learner" / "pages").mkdir()
    for name in (f"0-{'a' * 32}", f"1-{'a' * 32}.tmp"):
        (folder / "learner" / "pages" / name).write_text("x")
    for name in ("learner.log", "learner.tap", "history.csv", "filters.png", "filters-learner.png", "notes.txt"):
        (folder / name).write_text("x")
    (folder / "filters-of-my-own.png").write_text("x")
    assert opened(folder, fresh=True, run_seed=5) == "new"
    assert files(folder) == [
        *("filters-of-my-own.png", "learner/letter.txt", "lock"),
        *("mine/checkpoint-000001-at-5.safetensors", "notes.txt", "pipeline.toml", "run.json"),
    ]


BAD_NAMES = ["..", ".", "../neighbour", "/tmp/elsewhere", "a/b", "", "a\n", 7, {}, "x" * 65]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["source", "stage", "service"])
def test_fresh_removes_nothing_by_a_name_that_is_none(tmp_path: Path, name: Any, key: str) -> None:
    """Whoever edits run.json, or gives a service such a name, removes nothing outside."""
    folder = tmp_path / "a" / "run"
    opened(folder)
    for place in (tmp_path / "a" / "neighbour", tmp_path / "a", folder, folder / "learner"):
        with_frames(place)
    record = json.loads((folder / "run.json").read_text())
    changed = tomllib.loads((folder / "pipeline.toml").read_text())
    for config in (record["config"], changed):
        table = config["source"] if key == "source" else config["stage"][0]
        table["service" if key == "service" else "name"] = name
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "pipeline.toml").write_text(tomli_w.dumps(changed))
    before = files(tmp_path)
    if key == "service" and not name:  # the same as none
        return
    with pytest.raises(ConfigError, match=r"run\.json and .*pipeline\.toml: neither is readable"):
        opened(folder, fresh=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["learner", "recorder"])
def test_fresh_removes_nothing_through_a_link(tmp_path: Path, name: str) -> None:
    opened(tmp_path / "run")
    with_frames(tmp_path / "elsewhere")
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=rf"run/{name} is a symbolic link"):
        opened(tmp_path / "run", fresh=True)
    assert files(tmp_path / "elsewhere") == ["checkpoint-000001-at-5.safetensors"]


def test_fresh_leaves_what_a_link_points_to(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "letter.txt").write_text("precious")
    (tmp_path / "run" / "history.csv").symlink_to(tmp_path / "letter.txt")
    with_frames(tmp_path / "run" / "learner")
    (tmp_path / "run" / "learner" / "checkpoint-000002-at-9.safetensors").symlink_to(tmp_path / "letter.txt")
    assert opened(tmp_path / "run", fresh=True) == "new"
    assert files(tmp_path) == ["letter.txt", "run/lock", "run/pipeline.toml", "run/run.json"]


def test_whatever_a_run_makes_is_its_users_alone(tmp_path: Path) -> None:
    """The umask lets everyone, and somebody has made the folder before."""
    (tmp_path / "run").mkdir(0o777)
    before = os.umask(0)
    try:
        folder = RunFolder(tmp_path / "run")
        with folder.lock():
            folder.open(config_for(tmp_path), in_process=False, fresh=False)
            (folder.path / "new").mkdir()
        with RunFolder(tmp_path / "made" / "here").lock():
            pass
        assert os.umask(0) == 0, "as it was"
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    files = dict.fromkeys(("lock", "run.json", "pipeline.toml"), 0o600)
    assert modes == {**dict.fromkeys(("run", "new", "made", "here"), 0o700), **files}


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "letter.txt")
    with pytest.raises(ConfigError, match=r"run\.folder = .*symbolic links"):
        opened(tmp_path / "run")
    assert (tmp_path / "letter.txt").read_text() == "precious"


@pytest.mark.parametrize("changes", [{"run_seed": 1}, {"in_process": True}, {"run_record": True}])
def test_a_run_without_a_frame_takes_its_correction(tmp_path: Path, changes: dict[str, Any]) -> None:
    opened(tmp_path / "run")
    source = tmp_path / "run" / "source"
    source.mkdir()
    (source / "checkpoint-000001-at-0.safetensors").write_text("the log's id, before the first frame")
    before = RunFolder(tmp_path / "run").id
    assert opened(tmp_path / "run", **changes) == "new"
    assert not source.exists()
    assert RunFolder(tmp_path / "run").id != before


def test_where_the_record_is_damaged_the_configuration_says_what_to_remove(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    with_frames(tmp_path / "run" / "learner")
    with_frames(tmp_path / "run" / "mine")
    (tmp_path / "run" / "run.json").write_text("{")
    assert opened(tmp_path / "run", fresh=True) == "new"
    assert files(tmp_path / "run") == [
        *("lock", "mine/checkpoint-000001-at-5.safetensors", "pipeline.toml", "run.json"),
    ]


def test_where_both_are_damaged_nothing_is_removed(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    with_frames(tmp_path / "run" / "learner")
    (tmp_path / "run" / "run.json").write_text("{")
    (tmp_path / "run" / "pipeline.toml").write_text("[")
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=r"run\.json and .*pipeline\.toml: neither is readable"):
        opened(tmp_path / "run", fresh=True)
    assert files(tmp_path) == before


def test_fresh_in_an_empty_place_is_new(tmp_path: Path) -> None:
    assert opened(tmp_path / "run", fresh=True) == "new"


def test_what_a_crash_left_of_the_record_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.tmp").write_text('{"form')
    assert opened(tmp_path / "run") == "new"


WHOLE = {"format": 2, "id": "x", "in_process": False, "config": {"source": {}}, "summary": None}
DAMAGED = {
    "empty": b"",
    "cut off": json.dumps(WHOLE).encode()[:-9],
    "a list": b"[1, 2]",
    "no text": b"\xff\xfe" * 20,
    "nested": b"[" * 100_000,
    "format only": b'{"format": 1}',
    "an older format": json.dumps({**WHOLE, "format": 1}).encode(),
    **{f"{key} is wrong": json.dumps({**WHOLE, key: [1]}).encode() for key in WHOLE},
    **{f"{key} is missing": json.dumps({k: v for k, v in WHOLE.items() if k != key}).encode() for key in WHOLE},
    "no source": json.dumps({**WHOLE, "config": {}}).encode(),
    "stages that are none": json.dumps({**WHOLE, "config": {"source": {}, "stage": [3]}}).encode(),
    "a source that is none": json.dumps({**WHOLE, "config": {"source": [3]}}).encode(),
}


@fault("record")
@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_record_is_named_and_fresh_goes_on(tmp_path: Path, case: str) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_bytes(DAMAGED[case])
    with pytest.raises(ConfigError, match=r"run\.json: not readable: .*--fresh removes") as caught:
        opened(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert opened(tmp_path / "run", fresh=True) == "new"


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


@pytest.mark.parametrize("file", ["run.json", "pipeline.toml"])
def test_a_disk_that_is_full_is_named_with_the_file(tmp_path: Path, file: str) -> None:
    """The limit on a file's size stands for the full disk: the same errors at the same places."""
    opened(tmp_path / "run")
    if file == "run.json":
        (tmp_path / "run" / "run.json").unlink()
        (tmp_path / "run" / "pipeline.toml").unlink()
    before = files(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StateFileError, match=rf"run/{file}: not written: File too large"):
            opened(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == before


def test_inputs_of_a_source_leave_files_under_their_names(tmp_path: Path) -> None:
    assert names_in({"source": {"kind": "several", "inputs": [{"name": "a"}, {"name": "b"}]}}) >= {"source", "a", "b"}
    with pytest.raises(ValueError, match="is no name"):
        names_in({"source": {"inputs": [{"name": ".."}]}})


@pytest.mark.timeout(10)
def test_a_named_pipe_in_place_of_the_record_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    os.mkfifo(tmp_path / "run" / "run.json")
    with pytest.raises(ConfigError, match=r"run\.json: not readable: .*no regular file"):
        opened(tmp_path / "run")
