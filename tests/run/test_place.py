"""Place: a run is found in its folder, from wherever one looks, or at the addresses of a configuration."""

from pathlib import Path

import pytest

from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.place import place_of
from stream_infomax.transport.keys import new

CONFIG = """
[run]
folder = "run"

[source]
kind = "synthetic"
n_sources = 2
rows = 8
frames = 20

[[stage]]
name = "learner"
kind = "learner"
"""
TCP = '\n[stage.log]\ntap = "tcp://127.0.0.1:5603"\nbind = "tcp://127.0.0.1:5604"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, and a run of it that was begun in its folder."""
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    RunFolder(Path("run")).begin(load(path), in_process=False)
    return path


def test_a_run_is_found_from_wherever_one_looks(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = config.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    place = place_of(Path("../run"))
    assert place.run == RunFolder(config.parent / "run").id
    assert place.taps == {name: f"ipc://{config.parent}/run/{name}.tap" for name in ("source", "learner")}


def test_a_configuration_names_its_folder_or_has_addresses_of_its_own(config: Path) -> None:
    place = place_of(config)
    assert (place.name, place.folder is not None, list(place.taps)) == (str(config), True, ["source", "learner"])
    config.write_text(CONFIG + TCP)
    place = place_of(config)
    assert (place.folder, place.run, place.taps) == (None, None, {"learner": "tcp://127.0.0.1:5603"})


def test_without_a_run_or_with_half_the_keys_it_says_what_is_missing(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run in this folder"):
        place_of(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere: there is no such folder of a run, and no configuration file"):
        place_of(Path("nowhere"))
    new(tmp_path / "keys")
    with pytest.raises(ConfigError, match=r"a folder with one's own keys is needed too"):
        place_of(config, server=tmp_path / "keys" / "own.public")
    place = place_of(config, keys=tmp_path / "keys", server=tmp_path / "keys" / "own.public")
    assert place.keys is not None
    assert place.keys.public == place.server
