"""What is refused before anything is started, and what a run folder takes after that."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call

CONFIG = """
[run]
folder = "run"

[source]
kind = "audio"
path = "sounds"
{source}

[[stage]]
name = "windows"
kind = "windows"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    soundfile.write(tmp_path / "sounds" / "hello.wav", noise, 8000)
    (tmp_path / "empty").mkdir()
    return tmp_path


# What is wrong with the source, by the beginning of the message.
REFUSED = {
    "labels = '(?P<digit>[0-9])_'": "labels that fit nothing",
    "labels = '(?P<digit>'": "no regular expression",
    "labels_csv = 'labels.csv'": "labels from nowhere",
}


@pytest.mark.parametrize("wrong", REFUSED, ids=REFUSED.values())
@pytest.mark.parametrize("options", [(), ("--in-process",)], ids=["processes", "one process"])
def test_what_cannot_be_used_starts_nothing_and_its_correction_runs(
    folder: Path, wrong: str, options: tuple[str, ...]
) -> None:
    (folder / "pipeline.toml").write_text(CONFIG.format(source=wrong))
    refused = call("run", "pipeline.toml", *options, folder=folder)
    assert (refused.code, refused.errors.count("\n")) == (2, 1)
    assert wrong in refused.errors
    assert "starting" not in refused.output
    assert not (folder / "run" / "windows.log").exists()
    (folder / "pipeline.toml").write_text(CONFIG.format(source=""))
    mended = call("run", "pipeline.toml", *options, folder=folder)
    assert (mended.code, mended.errors) == (0, "")
    assert "5 frames, none lost" in mended.output


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_check_and_run_say_the_same(folder: Path, path: str) -> None:
    (folder / "pipeline.toml").write_text(CONFIG.format(source=""))
    options = ("pipeline.toml", "--set", f"source.path={path}")
    run, check = (call(name, *options, folder=folder) for name in ("run", "check"))
    assert (run.code, run.errors.count("\n")) == (check.code, check.errors.count("\n")) == (2, 1)
    assert run.errors.removeprefix("stream-infomax: ") in check.errors


def test_a_path_that_is_not_ascii_in_a_locale_that_is(folder: Path) -> None:
    (folder / "sounds").rename(folder / "töne")
    (folder / "pipeline.toml").write_text(CONFIG.format(source="").replace("sounds", "töne"), encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = call("run", "pipeline.toml", "--set", "run.folder=läuft", folder=folder, **locale)
    assert (ended.code, ended.errors) == (0, "")
    assert (folder / "läuft" / "run.json").exists()


def test_a_stream_that_takes_ascii_only_takes_every_message(folder: Path) -> None:
    (folder / "pipeline.toml").write_text(CONFIG.format(source=""))
    for arguments in (("check", "pipeline.toml"), ("run", "pipeline.toml", "--set", "source.path=töne")):
        ended = call(*arguments, folder=folder, PYTHONIOENCODING="ascii")
        assert "Traceback" not in ended.errors
        assert ended.code == (0 if "check" in arguments else 2), ended.errors
