"""Kinds of another package: found by entry points, and used like those of stream_infomax itself."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.configuration.kinds import SINKS, SOURCES, STAGES
from stream_infomax.configuration.load import ConfigError, load, to_builtins
from stream_infomax.configuration.reference import markdown
from stream_infomax.configuration.schema import schema

PACKAGE = '''
"""A source and a stage of a package of its own."""

from typing import Annotated

import numpy as np

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, Positive, Seed


class DiceSettings(Settings, frozen=True, kw_only=True):
    """Thrown dice."""

    dice: Annotated[Positive, Doc("How many dice are thrown at once.")] = 2
    throws: Annotated[Positive, Doc("Throws in all, one a frame.")] = 50
    seed: Seed = 0


@configured_by(DiceSettings)
class DiceSource:
    """Thrown dice, one throw a frame."""

    def __init__(self, *, name="source", **settings):
        self.name, self.settings = name, make(DiceSettings, settings)

    def __len__(self):
        return self.settings.throws

    def frames(self, start=0):
        for offset in range(start, len(self)):
            eyes = np.random.default_rng([self.settings.seed, offset]).integers(1, 7, (1, self.settings.dice))
            array = Array(eyes.astype(np.float32), ("time", "channel"))
            end = offset == len(self) - 1
            yield Frame(stream=self.name, offset=offset, arrays={self.name: array}, last=end, end=end)

    def state(self):
        return {}

    def restore(self, state):
        pass

    def counts(self):
        return {"frames": len(self)}


class SumSettings(StageSettings, frozen=True, kw_only=True):
    """The sum of each row."""

    scale: Annotated[float, Doc("By which the sum is multiplied.")] = 1.0


@configured_by(SumSettings)
class SumStage:
    """The sum of each row so far."""

    def __init__(self, name, input, carry=(), **settings):
        self.name, self.input, self.carry, self.settings = name, input, carry, make(SumSettings, settings)
        self.total = 0.0

    def process(self, frame):
        self.total += self.settings.scale * float(frame.arrays[self.input].data.sum())
        total = np.full((1, 1), self.total, np.float32)
        return frame.extend({self.name: Array(total, ("time", "component"))}, self.carry)

    def state(self):
        return {"total": self.total}

    def restore(self, state):
        self.total = state["total"]

    def measures(self):
        return []

    def counts(self):
        return {}
'''
POINTS = """
[stream_infomax.sources]
dice = dice_package:DiceSource
broken = no_such_package:Source
bare = builtins:dict
[stream_infomax.stages]
sum = dice_package:SumStage
[stream_infomax.sinks]
dice-box = dice_package:DiceSource
"""
CONFIG = """
[run]
folder = "{folder}/run"
seed = 5
[source]
kind = "dice"
dice = 3
[[stage]]
name = "sum"
kind = "sum"
scale = 0.5
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed package, on the path of this process and of those that it starts."""
    (tmp_path / "dice_package").mkdir()
    (tmp_path / "dice_package" / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    about = tmp_path / "dice_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dice-package\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    (tmp_path / "pipeline.toml").write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("dice_package", None)


def test_a_run_of_processes_uses_them(package: Path) -> None:
    command = [sys.executable, "-P", "-m", "stream_infomax.cli", "run", "pipeline.toml", "--save-features", "sums.npz"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=package, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "50 frames, none lost" in done.stdout
    throws = [np.random.default_rng([5, offset]).integers(1, 7, 3).sum() for offset in range(50)]
    with np.load(package / "sums.npz") as saved:
        np.testing.assert_allclose(saved["sum"][:, 0], 0.5 * np.cumsum(throws))


def test_their_settings_are_checked_and_documented_like_others(package: Path) -> None:
    config = load(package / "pipeline.toml")
    assert to_builtins(config)["source"]["dice"] == 3
    with pytest.raises(ConfigError, match=r"source\.dice = 0; accepted: a whole number >= 1"):
        load(package / "pipeline.toml", ["source.dice=0"])
    with pytest.raises(ConfigError, match=r"source\.dcie = 1: unknown key; accepted: kind, name, pace, .*log, dice"):
        load(package / "pipeline.toml", ["source.dcie=1"])
    assert "| `dice` | a whole number >= 1 | `2` | How many dice are thrown at once. |" in reference_of(package)
    kinds = [one["title"] for one in json.loads(schema_of(package))["properties"]["stage"]["items"]["anyOf"]]
    assert kinds == ["windows", "learner", "encoder", "contrast", "classifier", "sum"]


def reference_of(package: Path) -> str:
    (package / "dice_package-1.0.dist-info" / "entry_points.txt").write_text(without_faults(), encoding="utf-8")
    return markdown()


def schema_of(package: Path) -> str:
    (package / "dice_package-1.0.dist-info" / "entry_points.txt").write_text(without_faults(), encoding="utf-8")
    return json.dumps(schema())


def without_faults() -> str:
    return "\n".join(line for line in POINTS.splitlines() if not line.startswith(("broken", "bare")))


def test_the_error_lists_all_kinds_and_says_why_one_cannot_be_loaded(package: Path) -> None:
    with pytest.raises(ConfigError, match=rf"kind = 'cards'; accepted: {', '.join(SOURCES.own)}, bare, broken, dice$"):
        load(package / "pipeline.toml", ["source.kind=cards"])
    with pytest.raises(ConfigError, match=r"kind = 'broken': no_such_package:Source: No module named"):
        load(package / "pipeline.toml", ["source.kind=broken"])
    with pytest.raises(ConfigError, match=r"kind = 'bare': .*has no Settings"):
        load(package / "pipeline.toml", ["source.kind=bare"])
    with pytest.raises(ConfigError, match=r"stage\.sum\.kind = 'dice'; accepted: windows, .*, sum$"):
        load(package / "pipeline.toml", ["stage.sum.kind=dice"])


def test_sinks_are_read_too(package: Path) -> None:
    path = package / "pipeline.toml"
    path.write_text(path.read_text() + '[[sink]]\nkind = "dice-box"\nthrows = 3\n', encoding="utf-8")
    (sink,) = load(path).sink
    assert (sink.kind, sink.settings.throws) == ("dice-box", 3)  # type: ignore[attr-defined]
    assert "dice-box" in SINKS.names()


def test_own_kinds_cannot_be_replaced(package: Path) -> None:
    points = package / "dice_package-1.0.dist-info" / "entry_points.txt"
    points.write_text("[stream_infomax.stages]\nlearner = dice_package:SumStage\n", encoding="utf-8")
    assert STAGES.load("learner").__name__ == "LearnerStage"
    assert STAGES.names().count("learner") == 1
    assert SOURCES.names() == list(SOURCES.own)
