"""Runs that go back to one of their frames: exact without changes, and with other settings from there on."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call, started

from stream_infomax.configuration.load import convert
from stream_infomax.run.folder import RunFolder
from stream_infomax.service.checkpoints import checkpoints_in, read

CONFIG = """
[run]
folder = "run"
checkpoint_every = 16

[source]
kind = "synthetic"
n_sources = 6
rows = 40
frames = 150
rate = 0.0

[[stage]]
name = "first"
kind = "learner"
service = "both"

[[stage]]
name = "second"
kind = "learner"
service = "both"
half_life = 3000.0

[[stage]]
name = "third"
kind = "learner"
"""


@pytest.fixture(scope="module", params=[(), ("--in-process",)], ids=["processes", "one process"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("original")
    (folder / "pipeline.toml").write_text(CONFIG)
    done = call("run", "pipeline.toml", "--save-features", "run.npz", *request.param, folder=folder)
    assert done.code == 0, done.errors
    return folder, request.param


def stages(run: Path) -> dict:
    """The state of every stage at the end of a run."""
    found = {}
    for service in ("both", "third", "in-process"):
        if (run / service).is_dir():
            found |= read(checkpoints_in(run / service)[-1]).stages
    return found


def assert_same(one: object, other: object) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, its in zip(one, other, strict=True):
            assert_same(mine, its)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("offset", [0, 37, 146])
def test_without_a_change_it_ends_with_the_same_bits(original: tuple[Path, tuple[str, ...]], offset: int) -> None:
    folder, options = original
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    done = call("replay", "run", "--from", offset, "--to", f"fork{offset}", folder=folder)
    assert done.code == 0, done.errors
    fork = folder / f"fork{offset}"
    assert_same(stages(folder / "run"), stages(fork))
    kept = call("run", fork / "pipeline.toml", *options, "--save-features", "fork.npz", folder=folder)
    assert kept.code == 0, kept.errors
    assert (folder / "run.npz").read_bytes() == (folder / "fork.npz").read_bytes()
    assert {path: path.read_bytes() for path in before} == before
    origin = json.loads((fork / "run.json").read_text())["origin"]
    assert (origin["folder"], origin["offset"], origin["changes"]) == ("run", offset, {})
    bases = [{path.relative_to(run) for path in run.glob("*/basis-*")} for run in (fork, folder / "run")]
    assert bases[0] == bases[1] != set()
    curves = [(run / "history.csv").read_text().splitlines()[0] for run in (fork, folder / "run")]
    assert curves[0] == curves[1]


def test_what_may_change_goes_on_and_what_shapes_a_stage_begins_anew(original: tuple[Path, tuple[str, ...]]) -> None:
    folder, _ = original
    done = call(
        *("replay", "run", "--from", 100),
        *("--set", "stage.first.half_life=2000", "--set", "stage.second.block=128"),
        folder=folder,
    )
    assert done.code == 0, done.errors
    told = "\n".join([line for line in done.output.splitlines() if not line.startswith("computing again")][:5])
    assert told == (
        "run-from-100: run up to frame 100, and from there on:\n"
        "  frames 0 to 99 were computed again\n"
        "  first   goes on with half_life none → 2000.0\n"
        "  second  starts afresh: block 64 → 128\n"
        "  third   starts afresh: it reads what second makes"
    )
    end = stages(folder / "run-from-100")
    n_rows = {name: state["learner"]["n_rows_seen"] for name, state in end.items()}
    assert (n_rows["first"], n_rows["second"]) == (6000, 2000)
    again = call("replay", "run", "--from", 100, folder=folder)
    assert (again.code, again.errors.count("\n")) == (2, 1)
    assert "--to run-from-100: File exists" in again.errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--from", 150), "--from 150: the stream of run has 150 frames; accepted is 0 to 149"),
        (("run", "--from", -1), "accepted is 0 to 149"),
        (("nothing", "--from", 3), "nothing: no run in this folder"),
        (("run", "--from", 3, "--set", "source.rows=20"), "source.rows is 20, the checkpoint has 40: with another"),
        (("run", "--from", 3, "--set", "run.seed=1"), "run.seed is 1"),
        (("run", "--from", 3, "--set", "run.folder=x"), "--to names the folder"),
        (("run", "--from", 3, "--set", "stage.first.blok=1"), "stage.first.blok = 1: unknown key"),
    ],
)
def test_what_cannot_be_is_named_and_leaves_nothing(tmp_path: Path, arguments: tuple[object, ...], says: str) -> None:
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").begin(convert(tomllib.loads(CONFIG)), in_process=False)
    done = call("replay", *arguments, "--to", "refused", folder=tmp_path)
    assert (done.code, done.errors.count("\n")) == (2, 1), done.errors
    assert says in done.errors
    assert not (tmp_path / "refused").exists()


def test_a_learner_goes_on_with_another_policy_and_another_rate_of_alarms(
    original: tuple[Path, tuple[str, ...]],
) -> None:
    folder, _ = original
    changes = ("--set", "stage.first.adapt=follow", "--set", "stage.third.false_alarm_rows=1e5")
    done = call("replay", "run", "--from", 140, "--to", "policy", *changes, folder=folder)
    assert done.code == 0, done.errors
    assert "first   goes on with adapt fixed → follow" in done.output
    assert "third   goes on with false_alarm_rows" in done.output
    summary = json.loads((folder / "policy/run.json").read_text())["summary"]
    assert summary["forked"].startswith("run at frame 140; first adapt fixed → follow; third false_alarm_rows ")
    assert "forked from run at frame 140" in done.output


def test_a_run_that_is_under_way_is_forked_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(CONFIG.replace("rate = 0.0", 'rate = 800.0\npace = "live"'))
    with started("run", "pipeline.toml", folder=tmp_path) as (process, lines):
        next(line for line in lines if "third: running" in line)
        while not any((tmp_path / "run/third").glob("checkpoint-*-at-[1-9]*")):
            assert process.poll() is None
        done = call("replay", "run", "--from", 30, "--to", "fork", "--set", "source.pace=fast", folder=tmp_path)
        assert done.code == 0, done.errors
        assert process.wait(60) == 0
    assert_same(stages(tmp_path / "run"), stages(tmp_path / "fork"))
