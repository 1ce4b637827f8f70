"""Sinks at the end of a real pipeline: several at once, in processes and in one process, with the same content."""

import json
import os
import select
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Ended, call, child_of, ended, started
from helpers.extras import needs
from helpers.faults import fault

from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.transport.tap import FRAME, STATUS, TapReader

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 8

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 40
pace = "{pace}"
rate = {rate}

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = 4
hop = 2

[[stage]]
name = "learner"
kind = "learner"
n_components = 4
warmup = 300

[[sink]]
name = "first"
kind = "npz"
path = "{first}"
part = "20 kB"

[[sink]]
name = "second"
kind = "{kind}"
part = "30 kB"
arrays = ["source", "learner"]

[[sink]]
kind = "nothing"
"""


def parts(folder: Path) -> dict[str, bytes]:
    """Return the parts in a folder by their names."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def rows(folder: Path, name: str) -> np.ndarray:
    """Return the rows of an array in all NPZ parts of a folder."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            found.append(file[name])
    return np.concatenate(found)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="first", kind="npz", pace="fast", rate=3200.0))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder of a run in processes that has finished, and how it ended."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "pipeline.toml").write_text(
        CONFIG.format(folder="run", first="first", kind="npz", pace="fast", rate=3200.0)
    )
    return folder, call("run", "pipeline.toml", folder=folder)


def test_several_sinks_keep_the_same_in_processes_and_in_one(whole: tuple[Path, Ended]) -> None:
    tmp_path, end = whole
    assert end.code == 0, end.errors
    for name in ("first", "second", "nothing"):
        assert f"{name}: finished" in end.output
    first, second = parts(tmp_path / "first"), parts(tmp_path / "run/second/parts")
    assert f"first: {len(first)} parts, 0 parts removed" in end.output
    assert len(first) > 2
    features = rows(tmp_path / "first", "learner")
    assert features.shape == (40 * 32 - 1, 4)
    assert np.isnan(features[:300]).all(), "a row of the warm-up is a row of NaN"
    assert np.isfinite(features[-100:]).all()
    np.testing.assert_array_equal(rows(tmp_path / "run/second/parts", "learner"), features)
    assert rows(tmp_path / "run/second/parts", "source").shape == (40 * 64, 4), "it is carried past two stages"
    times = rows(tmp_path / "first", "times/learner")
    np.testing.assert_allclose(times, np.arange(len(times)) * 2 / 3200)
    options = ("--in-process", "--set", "run.folder=other", "--set", "sink.first.path=one")
    end = call("run", "pipeline.toml", *options, folder=tmp_path)
    assert end.code == 0, end.errors
    assert parts(tmp_path / "one") == first
    assert parts(tmp_path / "other/second/parts") == second


LONG = ("--set", "source.frames=400")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The parts of both sinks of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "pipeline.toml").write_text(
        CONFIG.format(folder="run", first="first", kind="parquet", pace="fast", rate=3200.0)
    )
    assert call("run", "pipeline.toml", *LONG, "--in-process", folder=folder).code == 0
    return parts(folder / "first"), parts(folder / "run/second/parts")


@needs("pyarrow")
@fault("supervisor")
@pytest.mark.parametrize("how", [(), ("--in-process",)], ids=["processes", "one process"])
def test_killed_at_any_moment_the_parts_are_the_same(
    calm: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path, how: tuple[str, ...]
) -> None:
    (tmp_path / "pipeline.toml").write_text(
        CONFIG.format(folder="run", first="first", kind="parquet", pace="fast", rate=3200.0)
    )
    options = ("pipeline.toml", *LONG, *how, "--plain")
    killed = set()
    with started("run", *options, "--set", "source.pace=live", folder=tmp_path) as (run, _):
        if not how:
            for moment, victim in ((20, "first"), (90, "learner"), (150, "second")):
                with TapReader(f"ipc://{tmp_path}/run/{victim}.tap", topics=(FRAME, STATUS)) as observer:
                    if all(frame.offset < moment for frame in observer):
                        break  # it was faster than the observer
                os.kill(child_of(run.pid, f"--service\0{victim}\0"), signal.SIGKILL)
                killed.add(victim)
        while run.poll() is None and len(list((tmp_path / "first").glob("part*"))) < 5:
            select.select([], [], [], 0.01)
        run.kill()
    assert killed or how
    assert len(list((tmp_path / "first").glob("part*"))) >= 5
    assert call("run", *options, folder=tmp_path).code == 0
    assert (parts(tmp_path / "first"), parts(tmp_path / "run/second/parts")) == calm
    if not how:
        left = {path.name for path in (tmp_path / "run/second").iterdir() if not path.name.startswith("checkpoint")}
        assert left == {"parts"}, "nothing stays in the spool"


def test_a_fork_begins_its_parts_with_its_first_frame(whole: tuple[Path, Ended]) -> None:
    tmp_path = whole[0]
    fork = ("replay", "run", "--from", "21", "--to", "fork", "--set", "sink.first.path=forked")
    end = call(*fork, folder=tmp_path)
    assert end.code == 0, end.errors
    assert list(rows(tmp_path / "fork/second/parts", "frames/offset")) == list(range(21, 40))
    forked = rows(tmp_path / "forked", "learner")
    np.testing.assert_array_equal(forked, rows(tmp_path / "first", "learner")[-len(forked) :])


def test_two_sinks_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(
        CONFIG.format(folder="run", first="a", kind="npz", pace="fast", rate=3200.0).replace('"second"', '"first"', 1)
    )
    with pytest.raises(ConfigError, match="first"):
        load(path)


def test_what_cannot_be_is_refused_before_anything_starts(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for change, said in (
        ("sink.first.path=file", "sink.first.path = 'file'; accepted: a folder that is there and can be written"),
        ("sink.first.path=x.npz", "sink.first.path = 'x.npz'; accepted: a folder of parts; "),
        ("sink.first.part=0", "sink.first.part = '0 B'; accepted: more than 0 B"),
        (
            "sink.second.arrays=['learn']",
            "sink.second.arrays = 'learn': there is no such array; accepted: source, windows, learner",
        ),
    ):
        for command in ("check", "run"):
            end = call(command, config, "--set", change, folder=tmp_path)
            assert (end.code, end.errors.count("\n")) == (2, 1), end.errors
            assert said in end.errors
            assert "starting" not in end.output


def test_a_folder_takes_the_parts_of_one_run(config: Path, tmp_path: Path) -> None:
    assert call("run", config, "--in-process", folder=tmp_path).code == 0
    end = call("run", config, "--in-process", "--set", "run.folder=other", folder=tmp_path)
    assert end.code == 2
    assert "first has parts of another run or sink (sink 'first', log " in end.errors
    again = ("--in-process", "--fresh", "--set", "sink.first.path=new")
    assert call("run", config, *again, folder=tmp_path).code == 0, "its own are gone"


@pytest.mark.parametrize("victim", ["learner", "second"])
def test_what_a_sink_misses_is_counted_once_and_named(tmp_path: Path, victim: str) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="first", kind="npz", pace="live", rate=9600.0))
    options = ["run.policy=drop-oldest", "source.frames=600", "source.log.frames=16"]
    changes = [word for option in (*options, "stage.learner.log.frames=16") for word in ("--set", option)]
    with started("run", path, "--plain", *changes, folder=tmp_path) as (run, _):
        with TapReader(f"ipc://{tmp_path}/run/{victim}.tap", topics=(FRAME,)) as observer:
            next(iter(observer))
        stopped = child_of(run.pid, f"--service\0{victim}\0")
        before = "source" if victim == "learner" else "learner"
        with TapReader(f"ipc://{tmp_path}/run/{before}.tap", topics=(FRAME, STATUS)) as observer:
            os.kill(stopped, signal.SIGSTOP)
            for _ in observer:
                pass
            os.kill(stopped, signal.SIGCONT)
        end = ended(run)
    assert run.returncode == 0, end.errors
    lost = json.loads((tmp_path / "run/run.json").read_text())["summary"]["lost"]
    assert lost["gone" if victim == "learner" else "gone, second"] > 20
    for name, folder in (("first", "first"), ("second", "run/second/parts")):
        missed = 600 - len(rows(tmp_path / folder, "frames/offset"))
        assert missed == lost.get("gone", 0) + lost.get(f"gone, {name}", 0)
    assert all(f"{count} frames lost ({reason})" in end.output for reason, count in lost.items())
