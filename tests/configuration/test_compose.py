"""Composition: the objects that a configuration describes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_infomax.configuration.compose import pipeline_of, service_of, source_of, take_over
from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.state import file as state_file

TEXT = """
[run]
folder = "{folder}"
seed = 3
[source]
kind = "synthetic"
n_sources = 4
frames = 12
[[stage]]
name = "learner"
kind = "learner"
block = 16
[[stage]]
name = "second"
kind = "learner"
input = "learner"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "pipeline.toml"
    file.write_text(TEXT.format(folder=tmp_path / "run"), encoding="utf-8")
    return file


def test_the_whole_and_its_services_have_the_same_stages(path: Path) -> None:
    config = load(path)
    assert config.services() == ["source", "learner", "second"]
    assert [stage.name for stage in pipeline_of(config).stages] == ["learner", "second"]
    assert [stage.name for stage in pipeline_of(config, "second").stages] == ["second"]
    with pytest.raises(ConfigError, match="no service 'third'"):
        pipeline_of(config, "third")


def test_services_in_a_row_give_what_the_whole_gives(path: Path) -> None:
    config = load(path)
    whole, first, second = pipeline_of(config), pipeline_of(config, "learner"), pipeline_of(config, "second")
    for frame in source_of(config).frames():
        expected = whole.process(frame).arrays["second"].data
        np.testing.assert_array_equal(second.process(first.process(frame)).arrays["second"].data, expected)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("path = ''", r"^source\.path = '': empty; accepted: "),
        ("path = 'gone'", r"^source\.path = 'gone': no such file or folder; accepted: "),
        (
            "path = '{folder}'\nlabels_csv = 'gone.csv'",
            r"^source\.labels_csv = 'gone\.csv': no such file",
        ),
        ("path = '{folder}'\nlabels = 'word'", r"pipeline\.toml: source\.labels = 'word': names no group"),
        ("path = '{folder}'", r"^source\.path = .*: no readable recording there .*; accepted: recordings"),
    ],
)
def test_what_a_source_cannot_use_is_named_by_its_key(tmp_path: Path, keys: str, message: str) -> None:
    file = tmp_path / "pipeline.toml"
    keys = keys.format(folder=tmp_path)
    file.write_text(f'[run]\nfolder = "run"\n[source]\nkind = "audio"\n{keys}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        source_of(load(file))


def test_a_service_knows_its_place(path: Path) -> None:
    service = service_of(load(path), "learner")
    assert service.readers == ("second",)
    assert service.outlet.endswith("learner.outlet")
    assert service.folder == path.parent / "run" / "learner"


def save(path: Path, stages: dict[str, Any]) -> None:
    """Write a checkpoint with these stages."""
    nothing = {key: {} for key in ("lost", "config", "source", "sinks")}
    state_file.save(path, {"log": "", "processed": 0, "finished": False, **nothing, "stages": stages})


def test_a_state_is_taken_over_by_name(path: Path, tmp_path: Path) -> None:
    config = load(path)
    taught = pipeline_of(config)
    for frame in source_of(config).frames():
        taught.process(frame)
    file = tmp_path / "taught.safetensors"
    save(file, taught.state())
    fresh = pipeline_of(config)
    take_over(load(path, [f"stage.second.start={file}"]), fresh)
    assert fresh.counts()["second"]["rows"] == taught.counts()["second"]["rows"]
    assert "rows" not in fresh.counts()["learner"]
    with pytest.raises(ConfigError, match=r"stage\.second\.start = 'absent': .*accepted: a checkpoint"):
        take_over(load(path, ["stage.second.start=absent"]), fresh)
    save(file, {"other": {}})
    with pytest.raises(ConfigError, match=r"holds the stages other"):
        take_over(load(path, [f"stage.second.start={file}"]), fresh)
