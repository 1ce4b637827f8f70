"""The command line as a person meets it: real commands, real processes, their output and exit codes."""

import fcntl
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zmq
from helpers.commands import Ended, call, child_of, command, started
from helpers.extras import needs
from helpers.faults import fault
from helpers.wire import status

from stream_infomax.cli import app
from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.pictures import learners
from stream_infomax.service.checkpoints import read
from stream_infomax.transport.tap import Tap
from stream_infomax.watch.history import read as read_history

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 16

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = {frames}
rate = {rate}

[[stage]]
name = "learner"
kind = "learner"
"""


def write_config(folder: Path, run: str = "run", frames: int = 60, rate: float = 1000.0) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(CONFIG.format(folder=folder / run, frames=frames, rate=rate))
    return path


def basis(folder: Path, service: str) -> np.ndarray:
    """Return the basis in the newest checkpoint of a service."""
    (stage,) = learners(stages_in(read(sorted((folder / service).glob("checkpoint-*"))[-1])))
    learner = stage.learner
    return learner.mixing_


@dataclass
class Finished:
    """A run that went to its end."""

    folder: Path
    config: Path
    ended: Ended

    @property
    def run(self) -> Path:
        return self.folder / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A small pipeline, run as processes."""
    folder = tmp_path_factory.mktemp("cli")
    config = write_config(folder)
    return Finished(folder, config, call("run", config, "--save-features", "features.npz", folder=folder))


class TestRun:
    @needs("matplotlib", "PIL")
    def test_runs_to_the_end_and_says_what_came_of_it(self, finished: Finished) -> None:
        from PIL import Image

        assert finished.ended.code == 0, finished.ended.errors
        assert finished.ended.errors == ""
        words = finished.ended.output
        assert "60 frames, none lost" in words
        assert "learner: objective" in words
        # A curve takes two points; a run this short may be over before its first status.
        curves = read_history(finished.run / "history.csv")
        has_curve = any(len(columns["value"]) > 1 for columns in curves.values())
        assert ("run/learning_curve.png" in words) == has_curve
        for name in ("filters.png", "recovery.png", *(["learning_curve.png"] if has_curve else [])):
            assert f"run/{name}" in words
            with Image.open(finished.run / name) as picture:
                assert picture.width > 1000
        summary = json.loads((finished.run / "run.json").read_text())["summary"]
        assert summary["frames"] == 60
        assert [Path(path).parent.name for path in summary["checkpoints"]] == ["source", "learner"]
        assert all(f"run/{service}/checkpoint-" in words for service in ("source", "learner"))
        assert [of["position"] for of in summary["measures"] if of["kind"] == "objective"] == [60 * 64]

    def test_features_are_kept(self, finished: Finished) -> None:
        with np.load(finished.folder / "features.npz") as features:
            assert features["learner"].shape[1] == 4
            np.testing.assert_array_equal(features["frames/offset"], np.arange(60))

    def test_a_finished_run_is_left_alone(self, finished: Finished) -> None:
        before = {path: path.stat().st_mtime_ns for path in finished.run.rglob("checkpoint-*")}
        again = call("run", finished.config, folder=finished.folder)
        assert again.code == 0
        assert "this run has finished; --fresh starts over" in again.output
        assert "60 frames" in again.output
        assert {path: path.stat().st_mtime_ns for path in finished.run.rglob("checkpoint-*")} == before

    @fault("configuration")
    def test_another_configuration_is_refused_by_naming_the_key(self, finished: Finished) -> None:
        other = call("run", finished.config, "--set", "stage.learner.block=32", folder=finished.folder)
        assert other.code == 2
        assert "stage.learner.block is 32" in other.errors
        assert other.errors.count("\n") == 1

    def test_what_may_change_may(self, finished: Finished) -> None:
        assert call("run", finished.config, "--set", "run.keep=7", folder=finished.folder).code == 0

    def test_one_process_gives_the_same_bits(self, finished: Finished) -> None:
        options = ("--in-process", "--set", f"run.folder={finished.folder}/one", "--save-features", "one.npz")
        ended = call("run", finished.config, *options, folder=finished.folder)
        assert ended.code == 0, ended.errors
        np.testing.assert_array_equal(basis(finished.folder / "one", "in-process"), basis(finished.run, "learner"))
        with (
            np.load(finished.folder / "features.npz") as processes,
            np.load(finished.folder / "one.npz") as one,
        ):
            assert processes.files == one.files
            for name in one.files:
                np.testing.assert_array_equal(processes[name], one[name])

    @fault("supervisors")
    def test_one_supervisor_a_folder(self, finished: Finished) -> None:
        with (finished.run / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            refused = call("run", finished.config, folder=finished.folder)
        assert refused.code == 2
        assert "is in use by process" in refused.errors

    def test_a_folder_that_holds_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "letters.txt").write_text("precious")
        refused = call("run", write_config(tmp_path), "--fresh", folder=tmp_path)
        assert refused.code == 2
        assert "holds files but no run" in refused.errors
        assert (tmp_path / "run" / "letters.txt").read_text() == "precious"


class TestStopAndResume:
    @pytest.fixture(params=[(), ("--in-process",)], ids=["processes", "one process"])
    def stopped(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
        """A run that was stopped by Ctrl-C on its way: its folder, configuration and options."""
        # 60 frames of 64 rows would take 6.4 s in real time.
        config = write_config(tmp_path, rate=600.0)
        options: tuple[str, ...] = request.param
        with started("run", config, "--set", "source.pace=live", *options, folder=tmp_path) as (process, lines):
            for line in lines:
                if "frames/s" in line:  # it is on its way
                    process.send_signal(signal.SIGINT)
                    break
            rest = lines.read()
            assert process.wait(60) == 0, process.communicate()[1]
        assert "stopped and saved" in rest
        yield tmp_path, config, options

    def test_resumes_to_the_same_bits(self, stopped: tuple[Path, Path, tuple[str, ...]], finished: Finished) -> None:
        folder, config, options = stopped
        service = "in-process" if options else "learner"
        assert json.loads((folder / "run" / "run.json").read_text())["summary"] is None
        refused = call("run", config, "--set", "run.seed=1", *options, folder=folder)
        assert refused.code == 2
        assert "run.seed is 1" in refused.errors
        resumed = call("run", config, "--set", "source.pace=fast", *options, folder=folder)
        assert resumed.code == 0, resumed.errors
        assert "resuming" in resumed.output
        assert "60 frames, none lost" in resumed.output
        np.testing.assert_array_equal(basis(folder / "run", service), basis(finished.run, "learner"))


class TestDeath:
    def test_a_second_signal_kills_and_says_so(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, rate=10.0)  # six minutes
        with started("run", config, "--set", "source.pace=live", folder=tmp_path) as (process, lines):
            for line in lines:
                if line == "learner: running\n" or line == "source: stopping\n":
                    process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 1
            assert process.communicate()[1] == (
                "stream-infomax: killed by a second signal; the same command resumes from the last checkpoints\n"
            )

    @fault("killed")
    def test_a_killed_learner_goes_on_and_nothing_differs(self, finished: Finished, tmp_path: Path) -> None:
        config = write_config(tmp_path, rate=400.0)
        options = ("--set", "source.pace=live", "--set", "run.checkpoint_every=4")
        with started("run", config, *options, folder=tmp_path) as (process, output):
            lines = []
            for line in output:
                lines.append(line)
                if line == "learner: running\n" and "learner: restarting (restart 1)\n" not in lines:
                    learner = child_of(process.pid, "--service\0learner")
                    while not list((tmp_path / "run" / "learner").glob("checkpoint-*-at-[1-9]*")):
                        assert process.poll() is None
                        time.sleep(0.005)
                    os.kill(learner, signal.SIGKILL)
            assert process.wait(60) == 0
        assert "learner: restarting (restart 1)\n" in lines
        assert any("60 frames, none lost" in line for line in lines)
        np.testing.assert_array_equal(basis(tmp_path / "run", "learner"), basis(finished.run, "learner"))


class TestFailure:
    def test_in_one_process_it_is_one_line(self, tmp_path: Path) -> None:
        config = write_config(tmp_path)
        failed = call("run", config, "--in-process", "--set", "stage.learner.start=gone", folder=tmp_path)
        assert failed.code == 2
        assert "stage.learner.start = 'gone'" in failed.errors
        assert failed.errors.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("run", "nowhere.toml"), "no configuration file nowhere.toml"),
            (("run", "pipeline.toml", "--set", "stage.learner.blok=32"), "stage.learner.blok"),
            (
                ("run", "pipeline.toml", "--set", "stage.learner.block=0"),
                "stage.learner.block = 0; accepted: a whole number >= 1",
            ),
            (("run", "pipeline.toml", "--set", "nonsense"), "expected KEY=VALUE"),
            (
                ("run", "pipeline.toml", "--set", "source.log.bind=tcp://*:5600", "--set", "run.insecure=true"),
                "can be bound but not connected to",
            ),
            (("run", "pipeline.toml", "--speed", "9"), "--speed"),
            (("run",), "requires an argument"),
            (("show", "pipeline.toml"), "pipeline.toml: not readable"),
            (("show", "."), "no checkpoint in the folder"),
        ],
    )
    def test_what_cannot_be_used_is_one_line_and_exit_code_2(
        self, arguments: tuple[str, ...], words: str, tmp_path: Path
    ) -> None:
        write_config(tmp_path)
        refused = call(*arguments, folder=tmp_path)
        assert refused.code == 2
        assert words in refused.errors
        assert refused.errors.count("\n") == 1
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("name", ["run", "check"])
    def test_without_torch_nothing_starts(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = write_config(tmp_path)
        config.write_text(config.read_text() + '[[stage]]\nname = "module1"\nkind = "contrast"\n')
        monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
        with pytest.raises(ConfigError, match=r"stage 'module1' needs torch.* pip install .*contrast"):
            app([name, str(config)])
        assert not (tmp_path / "run").exists()

    def test_a_folder_too_deep_for_a_socket_is_named(self, tmp_path: Path) -> None:
        refused = call("run", write_config(tmp_path, run="deep" * 30), folder=tmp_path)
        assert refused.code == 2
        assert "too deep for a socket" in refused.errors


class TestOtherCommands:
    @needs("matplotlib", "PIL")
    def test_show_draws_from_a_checkpoint(self, finished: Finished, tmp_path: Path) -> None:
        from PIL import Image

        shown = call("show", finished.run / "learner", "--out", tmp_path, folder=tmp_path)
        assert shown.code == 0, shown.errors
        assert shown.output.strip() == str(tmp_path / "filters-learner.png")
        with Image.open(tmp_path / "filters-learner.png") as picture:
            assert picture.width > 1000

    @needs("matplotlib")
    def test_show_draws_every_learner_of_a_run(self, finished: Finished, tmp_path: Path) -> None:
        shown = call("show", finished.run, "--out", tmp_path, folder=tmp_path)
        assert shown.code == 0, shown.errors
        assert shown.output.strip() == str(tmp_path / "filters-learner.png")

    @needs("matplotlib")
    def test_a_place_that_cannot_be_written_is_one_line(self, finished: Finished, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        refused = call("show", finished.run, "--out", tmp_path / "file", folder=tmp_path)
        assert (refused.code, len(refused.errors.splitlines())) == (1, 1)
        assert "file" in refused.errors

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            ("nowhere/x.npz", "accepted is a file in a folder that is there and can be written"),
            ("x.csv", "accepted is a name that ends in .npz, .parquet"),
            ("x.zip", "accepted is a name that ends in .npz, .parquet"),
            ("x", "accepted is a name that ends in .npz, .parquet"),
            ("folder.npz", "this is a folder; accepted is a file"),
        ],
    )
    def test_features_that_cannot_be_kept_are_refused_at_once(
        self, finished: Finished, tmp_path: Path, file: str, said: str
    ) -> None:
        (tmp_path / "folder.npz").mkdir()
        refused = call("run", finished.config, "--save-features", file, folder=tmp_path)
        assert (refused.code, refused.errors.count("\n")) == (2, 1)
        assert f"--save-features {file}: {said}" in refused.errors
        assert not refused.output

    @needs("pyarrow")
    def test_features_of_a_finished_run_are_written_as_a_table_too(self, finished: Finished, tmp_path: Path) -> None:
        written = call("run", finished.config, "--save-features", tmp_path / "x.parquet", folder=finished.folder)
        assert written.code == 0, written.errors
        from pyarrow import parquet

        table = parquet.read_table(tmp_path / "x.parquet")
        with np.load(finished.folder / "features.npz") as features:
            rows = features["learner"]
            np.testing.assert_array_equal(table["time"].to_numpy(), features["times/learner"])
            np.testing.assert_array_equal(table["offset"].to_numpy(), features["rows/learner"])
        found = np.column_stack([table[f"learner_{number}"].to_numpy() for number in range(rows.shape[1])])
        np.testing.assert_array_equal(found, rows)

    @needs("matplotlib")
    def test_show_needs_a_learner(self, finished: Finished) -> None:
        refused = call("show", finished.run / "source", folder=finished.folder)
        assert refused.code == 2
        assert "no learner that has learnt a basis" in refused.errors

    def test_check_prints_what_a_configuration_comes_to(self, finished: Finished) -> None:
        checked = call("check", finished.config, folder=finished.folder)
        assert checked.code == 0, checked.errors
        assert "usable" in checked.output
        assert "synthetic" in checked.output

    def test_tap_prints_what_passes(self, tmp_path: Path) -> None:
        address = f"ipc://{tmp_path}/tap"
        with (
            zmq.Context() as context,
            closing(Tap(context, address)) as tap,
            subprocess.Popen(command("tap", address), stdout=subprocess.PIPE, text=True) as observer,
        ):
            assert observer.stdout is not None
            offset = 0
            while not select.select([observer.stdout], [], [], 0.02)[0]:  # until it listens
                tap.attend()
                arrays = {"source": Array(np.zeros((3, 2), np.float32), ("time", "channel"))}
                tap.frame(Output(Frame("ear", offset, "a.wav", arrays)))
                offset += 1
            assert offset > 0
            tap.frame(Output(Frame("ear", offset, end=True, time=1.5, labels={"word": "seven"})))
            tap.status(status(offset, finished=True))
            output, _ = observer.communicate(timeout=60)
        tap.release()
        assert observer.returncode == 0
        lines = output.splitlines()
        assert lines[0].endswith("  ear  a.wav  0.000 s  source 3×2 float32")
        assert lines[-1] == f"{offset}  ear end  1.500 s  word=seven"

    def test_tap_of_a_finished_run_does_not_wait(self, finished: Finished) -> None:
        told = call("tap", f"ipc://{finished.run}/learner.tap", folder=finished.folder)
        assert (told.code, told.errors) == (0, "")
        assert "its run has finished" in told.output

    @pytest.mark.parametrize("shell", ["foreground", "background"])
    def test_tap_says_that_it_waits(self, tmp_path: Path, shell: str) -> None:
        """A shell ignores SIGINT for what it starts in the background."""
        address = f"ipc://{tmp_path}/tap"
        before = signal.signal(signal.SIGINT, signal.SIG_IGN if shell == "background" else signal.SIG_DFL)
        try:
            with started("tap", address, folder=tmp_path) as (observer, _):
                assert observer.stderr is not None
                assert observer.stderr.readline() == f"waiting for {address} …\n"
                observer.send_signal(signal.SIGINT)
                assert observer.wait(60) == 0
        finally:
            signal.signal(signal.SIGINT, before)

    def test_help_loads_nothing_heavy(self) -> None:
        program = "import sys, stream_infomax.cli; print([m for m in sys.argv[1:] if m in sys.modules])"
        heavy = ("numpy", "numba", "torch", "matplotlib", "zmq", "scipy", "asyncio")
        loaded = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "[]"
        helped = call("--help", folder=Path.cwd())
        assert helped.code == 0
        assert "run" in helped.output
        for name in ("run", "probe", "check"):
            helped = call(name, "--help", folder=Path.cwd())
            assert "default: ()" not in helped.output
            assert 'default: ""' not in helped.output
