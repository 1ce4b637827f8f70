"""stream-infomax probe: on small runs over recordings made here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra
from helpers.tones import PIPELINE, record, trained

extra("torch")
extra("scipy")

from stream_infomax.cli.probe import probe  # noqa: E402
from stream_infomax.configuration.load import ConfigError  # noqa: E402


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return record(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def finished(sounds, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run") / "run", sounds)


@pytest.fixture(scope="module")
def shallow(sounds, tmp_path_factory):
    """A run with one module, of another width, and of another seed, which its source has, too."""
    first, rest = PIPELINE.split('[[stage]]\nname = "module2"')
    pipeline = (first + rest[rest.index("[[stage]]") :]).replace("width = 8", "width = 6")
    pipeline = pipeline.replace("[run]", "[run]\nseed = 1")
    return trained(tmp_path_factory.mktemp("run") / "shallow", sounds, pipeline)


def copied(folder, place, old, new):
    """Return a copy of a run whose configuration says something else."""
    shutil.copytree(folder / "in-process", place / "in-process")
    text = (folder / "pipeline.toml").read_text(encoding="utf-8")
    assert old in text
    (place / "pipeline.toml").write_text(text.replace(old, new), encoding="utf-8")
    return place


def table(text):
    """Return the lines of the levels: the name, and the figures behind it."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("level"))
    found = [line.split() for line in lines[first + 2 :]]
    return {line[0]: [float(value) for value in line[1:] if value not in ("to", "-")] for line in found}


def test_every_level_beside_its_untrained_twin(finished, sounds, capsys):
    assert probe(finished, data=sounds) == 0
    text = capsys.readouterr().out
    assert text.startswith("24 segments, tone (2 classes), tested by 5 folds")
    levels = table(text)
    assert list(levels) == [
        "windows", "input", "module1", "module2", "module2.context",
        "module2+module2.context", "input+last", "input+all",
    ]  # fmt: skip
    assert "input: learner; input+last: beside the last module" in text
    assert len(levels["windows"]) == len(levels["input"]) == 1
    assert all(len(levels[name]) == 2 for name in ("module1", "module2", "module2.context", "input+last", "input+all"))
    assert levels["input"][0] > 90
    assert all(value >= 50 for values in levels.values() for value in values)


def test_leaving_out_a_voice_and_naming_another_label(finished, sounds, capsys):
    assert probe(next(finished.glob("in-process/*.safetensors")), data=sounds, leave_out="voice") == 0
    assert "tested by voice" in capsys.readouterr().out
    assert probe(finished, data=sounds, target="voice", folds=4) == 0
    assert "voice (3 classes), tested by 4 folds" in capsys.readouterr().out


def test_two_runs_beside_each_other(finished, shallow, sounds, tmp_path, capsys):
    found = {}
    for folder in (finished, shallow):
        assert probe(folder, data=sounds, leave_out="voice") == 0
        found[folder] = table(capsys.readouterr().out)
    assert probe(finished, data=sounds, against=shallow, leave_out="voice", json=tmp_path / "found.json") == 0
    text = capsys.readouterr().out
    assert text.startswith("24 segments, tone (2 classes), tested by voice\n")
    assert f"A: {finished}\nB: {shallow}\n" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    alone = ("module2", "module2.context", "module2+module2.context")
    assert all(lines[level].endswith("only A has it") for level in alone)
    beside = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (beside["runs"], beside["target"], beside["segments"]) == ([str(finished), str(shallow)], "tone", 24)
    assert {level["level"] for level in beside["levels"]} == set(found[finished]) | set(found[shallow])
    for level in beside["levels"]:
        for side, folder in (("A", finished), ("B", shallow)):
            assert (side in level) == (level["level"] in found[folder])
            if side in level:
                assert level[side] == pytest.approx(found[folder][level["level"]][0], abs=0.051)
                assert np.mean([*level[f"{side} by group"].values()]) == pytest.approx(level[side])
        if "A" in level and "B" in level:
            assert level["difference"] == pytest.approx(level["A"] - level["B"])
            assert level["low"] <= level["difference"] <= level["high"]
            assert f"{level['low']:+.1f} to {level['high']:+.1f}" in lines[level["level"]]


def test_levels_that_the_other_run_alone_has_are_said(finished, shallow, sounds, capsys):
    assert probe(shallow, data=sounds, against=finished, folds=2) == 0
    only = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith("only B has it")]
    assert only == ["module2", "module2.context", "module2+module2.context"]


def test_a_run_is_level_with_itself(finished, sounds, capsys):
    assert probe(finished, data=sounds, against=finished, target="voice") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("+0.0   +0.0 to +0.0")] == [
        "windows", "input", "module1", "module2", "module2.context",
        "module2+module2.context", "input+last", "input+all",
    ]  # fmt: skip


def test_runs_that_cannot_be_compared_are_told_apart_by_name(finished, sounds, tmp_path):
    slower = copied(finished, tmp_path / "slower", "rate = 8000", "rate = 4000")
    with pytest.raises(ConfigError, match=r"source\.rate is 8000.* in .*run and 4000.* in .*slower"):
        probe(finished, data=sounds, against=slower)
    labelled = copied(finished, tmp_path / "labelled", "<voice>", "<speaker>")
    with pytest.raises(ConfigError, match=r"source\.labels is .* in .*labelled"):
        probe(finished, data=sounds, against=labelled)
    asked = copied(finished, tmp_path / "asked", 'target = "tone"', 'target = "voice"')
    with pytest.raises(ConfigError, match=r"names 'tone', that of .*asked 'voice': --target"):
        probe(finished, data=sounds, against=asked)
    with pytest.raises(ConfigError, match=r"no run folder or checkpoint .*nothing"):
        probe(finished, data=sounds, against=tmp_path / "nothing")


def test_one_group_alone_is_refused(finished, sounds, tmp_path):
    with pytest.raises(ConfigError, match=r"--folds 1; .* two groups or more"):
        probe(finished, data=sounds, folds=1)
    for path in sounds.glob("*_0_*.wav"):
        shutil.copy(path, tmp_path)
    with pytest.raises(ConfigError, match=r"--leave-out voice: there is '0' alone"):
        probe(finished, data=tmp_path, leave_out="voice")
    with pytest.raises(ConfigError, match=r"--json .*nowhere"):
        probe(finished, data=sounds, json=tmp_path / "nowhere" / "found.json")


def test_what_is_missing_is_named(finished, sounds, tmp_path):
    with pytest.raises(ConfigError, match=r"'speaker'.*'tone', 'voice'"):
        probe(finished, data=sounds, target="speaker")
    with pytest.raises(ConfigError, match="the run's stage 'learner' cannot be taken over: its state: block is 32"):
        probe(finished, data=sounds, set=("stage.learner.block=32",))
    with pytest.raises(ConfigError, match=r"pipeline\.toml"):
        probe(tmp_path, data=sounds)
    with pytest.raises(ConfigError, match=r"no run folder or checkpoint .*nothing"):
        probe(tmp_path / "nothing", data=sounds)
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError, match="is neither a run's folder nor a checkpoint in one"):
            probe(place, data=sounds)
    with pytest.raises((ConfigError, ValueError, OSError), match="nowhere"):
        probe(finished, data=Path("nowhere"))


@pytest.mark.parametrize("target", ["tone", "word"])
def test_a_target_that_no_segment_has_is_said(sounds, tmp_path, capsys, target):
    trained(tmp_path / "run", sounds, PIPELINE.replace('target = "tone"', f'target = "{target}"'))
    assert ("classifier: no segment had the label 'word'" in capsys.readouterr().out) == (target == "word")
