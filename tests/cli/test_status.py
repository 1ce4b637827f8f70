"""``stream-infomax status``: what it says of a run that goes on and of one that does not, and the exit codes."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call, ended, started
from helpers.ledgers import check_balanced
from scipy.io import wavfile

from stream_infomax.cli.status import status
from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.ledger import Account
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.standing import Standing, standing
from stream_infomax.run.standing_table import print_standing

CONFIG = """
[run]
folder = "run"
checkpoint_every = 10

[source]
kind = "{kind}"
{settings}

[[sink]]
kind = "nothing"
"""
SYNTHETIC = 'n_sources = 2\nrows = 8\nframes = {frames}\nrate = 80.0\npace = "live"'


def written(folder: Path, kind: str, settings: str) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(CONFIG.format(kind=kind, settings=settings))
    return path


@pytest.mark.parametrize(
    ("how", "last", "names"), [((), "nothing", ["source", "nothing"]), (("--in-process",), IN_PROCESS, [IN_PROCESS])]
)
def test_a_run_that_goes_on_and_the_same_run_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...], last: str, names: list[str]
) -> None:
    written(tmp_path, "synthetic", SYNTHETIC.format(frames=10_000))
    monkeypatch.chdir(tmp_path)
    with started("run", "pipeline.toml", *how, folder=tmp_path) as (process, said):
        assert any(line.startswith(f"{last}: running") for line in said)
        while True:
            going_on, services = standing(RunFolder(Path("run")))
            if {one.from_ for one in services.values()} == {"status"} and services[last].frame > 0:
                break
        assert going_on
        assert list(services) == names
        for one in services.values():
            check_balanced(one.ledger)
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
    going_on, services = standing(RunFolder(Path("run")))
    assert not going_on
    assert {one.from_ for one in services.values()} == {"checkpoint"}


def test_recordings_that_vanish_end_a_run_with_code_3_and_a_summary_that_is_missing_is_written_at_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "recordings").mkdir()
    for number in range(2):
        wavfile.write(tmp_path / "recordings" / f"{number}.wav", 1000, np.full(1000, 1000, np.int16))
    written(tmp_path, "audio", 'path = "recordings"\npace = "live"')
    with started("run", "pipeline.toml", folder=tmp_path) as (process, said):
        assert any(line.startswith("source: running") for line in said)
        (tmp_path / "recordings" / "1.wav").unlink()
        end = ended(process)
    assert end.code == 3, end.errors
    assert "50 frames lost (files that are gone)" in end.output
    assert "not allowed by the policy: 50 frames lost (files that are gone)" in end.output
    again = call("run", "pipeline.toml", folder=tmp_path)
    assert again.code == 3
    record = tmp_path / "run" / "run.json"
    whole = json.loads(record.read_text())
    record.write_text(json.dumps({**whole, "summary": None}))
    shutil.rmtree(tmp_path / "recordings")  # nothing of the run is started
    again = call("run", "pipeline.toml", folder=tmp_path)
    assert again.code == 3, again.errors
    assert "source: starting" not in again.output
    assert json.loads(record.read_text())["summary"]["lost"] == whole["summary"]["lost"]


def test_a_service_without_a_readable_checkpoint_ends_the_run_at_once(tmp_path: Path) -> None:
    written(tmp_path, "synthetic", SYNTHETIC.format(frames=10_000))
    with started("run", "pipeline.toml", folder=tmp_path) as (process, said):
        assert any(re.search(r"frame [1-9][0-9]", line) for line in said)  # there are checkpoints
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
    for path in (tmp_path / "run" / "nothing").glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:20])
    end = call("run", "pipeline.toml", folder=tmp_path)
    assert end.code == 2
    assert "checkpoints is readable; start afresh without them" in end.errors
    assert "restart" not in end.output


def test_a_table_fits_a_terminal_and_names_are_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    account = Account("a service with a long name", "stage")
    for stream in ("\x1b]0;x\x07[bold]", "b" * 300):
        account.accept(stream, 123_456_789)
        account.process(stream, 123_456_000)
        account.set_aside(stream, "not\nfinite", 789)
    account.accept("c", 2)
    services = {
        "source\x1b": Standing(from_="status", frame=99, lost={"gone\x1b": 10**9}, refused={"request": 10**6}),
        "learner": Standing(from_="checkpoint", ledger=[account.balance({})]),
        "b": Standing(from_="nothing", problem="no checkpoint yet"),
    }
    print_standing("run\x1b", True, services, streams=True)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 80 for line in lines), lines
    assert "off by +2" in printed
    assert "246,913,580" in printed


def test_no_name_and_no_reason_cuts_a_number_off(capsys: pytest.CaptureFixture[str]) -> None:
    name, reason = "a" * 53, "part of a window that touches a sample which is bad"
    account = Account(name, "stage")
    account.accept("c", 123_456_789)
    account.set_aside("c", reason, 3_456_789)
    account.set_aside("c", "not finite", 20_000_000)
    account.process("c", 100_000_000)
    services = {name: Standing(from_="status", frame=10**12, lost={reason: 10**9}, ledger=[account.balance({})])}
    print_standing("run", True, services, streams=False)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    joined = " ".join(printed.split())
    for words in (name, f"1,000,000,000 ({reason})", "1,000,000,000,001", "123,456,789", "100,000,000"):
        assert words in joined
    assert f"set aside 3,456,789 ({reason}), 20,000,000 (not finite)" in joined


def test_json_is_for_programs_and_a_folder_without_a_run_is_named(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    written(tmp_path, "synthetic", "n_sources = 2\nrows = 8\nframes = 20")
    assert call("run", "pipeline.toml", "--in-process", folder=tmp_path).code == 0
    assert status(tmp_path / "run", json=True) == 0
    said = json.loads(capfdbinary.readouterr().out)
    assert said["running"] is False
    (one,) = said["services"].values()
    assert (one["frame"], one["finished"], one["lost"]) == (19, True, {})
    with pytest.raises(ConfigError, match=r"no run in this folder"):
        status(tmp_path)
