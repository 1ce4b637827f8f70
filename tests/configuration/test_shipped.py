"""Configurations that come with the package: found by name, copied out, never over a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream_infomax.cli.init import init
from stream_infomax.configuration import shipped
from stream_infomax.configuration.load import ConfigError, load


def test_a_shipped_configuration_has_a_name() -> None:
    assert load("known_sources") == load(Path(__file__).parents[2] / "configs" / "known_sources.toml")
    with pytest.raises(ConfigError, match=r"no configuration file unknown; shipped are .*photographs, recordings"):
        load("unknown")


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert load("digits").source.kind == "images", "a folder is no configuration"
    (tmp_path / "speech").write_text('[run]\nfolder = "x"\n[source]\nkind = "synthetic"\n')
    assert load("speech").source.kind == "synthetic"


def test_an_installed_wheel_finds_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share" / "stream_infomax" / "configs"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('[run]\nfolder = "x"\n[source]\nkind = "synthetic"\n')
    monkeypatch.setattr(shipped, "CHECKOUT", tmp_path / "lib" / "site-packages")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert list(shipped.configurations()) == ["mine"]
    assert load("mine").run.folder == "x"


def test_init_copies_one_and_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert init("recordings") == 0
    assert load("recordings.toml") == load(tmp_path / "recordings.toml")
    (tmp_path / "recordings.toml").write_text("mine")
    for destination in (None, Path("recordings.toml"), Path()):
        with pytest.raises(ConfigError, match=r"recordings\.toml is there already, and is not overwritten"):
            init("recordings", destination)
    assert (tmp_path / "recordings.toml").read_text() == "mine"
    assert init("digits", Path("other.toml")) == 0
    with pytest.raises(ConfigError, match="no shipped configuration 'nothing'; there are digits"):
        init("nothing")
    with pytest.raises(ConfigError, match=r"gone/x\.toml: No such file"):
        init("digits", Path("gone/x.toml"))


def test_reading_a_configuration_loads_nothing_heavy() -> None:
    program = (
        "import sys; from stream_infomax import load_config; load_config(sys.argv[1]);"
        "print(sorted({'torch', 'numba', 'scipy', 'soundfile', 'PIL', 'matplotlib', 'zmq'} & sys.modules.keys()))"
    )
    for name in ("known_sources", "photographs"):
        done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
