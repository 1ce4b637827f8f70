"""Checkpoints: whole or refused, and the one before is there when the newest is damaged."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from stream_infomax.service.checkpoints import Checkpoint, Checkpoints, differences
from stream_infomax.state.file import StateFileError


def at(position, **state):
    """Return a checkpoint after so many frames."""
    stages = {"a": state} if state else {}
    return Checkpoint(
        log="log", processed=position - 1, finished=False, lost={}, config={}, source={}, stages=stages, sinks={}
    )


def newer(path):
    """Give the checkpoint at `path` the next format's number."""
    content = path.read_bytes()
    assert content.count(b'"format":"1"') == 1
    path.write_bytes(content.replace(b'"format":"1"', b'"format":"2"'))


def test_the_last_few_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "deep" / "folder", keep=2)
    assert checkpoints.latest() is None
    for position in (10, 20, 15):  # a source may be set back
        checkpoints.save(at(position))
    assert [path.name.split("-at-")[1] for path in checkpoints.paths()] == ["20.safetensors", "15.safetensors"]
    assert checkpoints.latest() == at(15)
    with pytest.raises(ValueError, match="keep = 0"):
        Checkpoints(tmp_path, keep=0)


def test_the_millionth_is_the_newest(tmp_path):
    """As text, 1000000 stands before 999999."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    first = checkpoints.save(at(1))
    first.rename(first.with_name("checkpoint-999998-at-1.safetensors"))
    for position in (2, 3, 4):
        checkpoints.save(at(position))
        assert checkpoints.latest() == at(position)
    names = ["checkpoint-1000000-at-3.safetensors", "checkpoint-1000001-at-4.safetensors"]
    assert [path.name for path in checkpoints.paths()] == names


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(truncate, "truncated"), (corrupt, "damaged"), (newer, "format 2")],
    ids=["truncated", "damaged", "newer"],
)
def test_a_damaged_one_is_put_aside_and_the_one_before_is_used(tmp_path, caplog, damage, words):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for position in (1, 2):
        checkpoints.save(at(position, x=np.arange(3)))
    damage(checkpoints.paths()[-1])
    assert Checkpoints(tmp_path).latest().processed == 0
    assert words in caplog.text
    assert "the checkpoint before it is used" in caplog.text
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    caplog.clear()
    assert checkpoints.latest().processed == 0
    assert not caplog.text


def test_when_none_is_readable_it_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(1))
    truncate(checkpoints.paths()[0])
    for _ in range(2):  # and does not forget it
        with pytest.raises(StateFileError, match="none of 1 checkpoints is readable"):
            checkpoints.latest()


def test_what_an_interrupted_save_left_is_removed(tmp_path):
    (tmp_path / "checkpoint-000001-at-5.safetensors.tmp").write_bytes(b"half")
    (tmp_path / "notes.tmp").write_bytes(b"somebody's")
    Checkpoints(tmp_path).save(at(5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000001-at-5.safetensors", "notes.tmp"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from stream_infomax.state.file import StateFileError
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
def at(position, **state):
    fields = dict(log='', finished=False, lost={}, config={}, source={}, sinks={})
    return Checkpoint(processed=position - 1, stages={'a': state}, **fields)
checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save(at(1, x=np.zeros(10)))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    checkpoints.save(at(2, x=np.zeros(10000)))
except StateFileError as error:
    print(error)
assert checkpoints.latest().stages["a"]["x"].shape == (10,)
assert len(list(Path(sys.argv[1]).iterdir())) == 1
"""


def test_a_disk_that_takes_no_more_leaves_the_one_before(tmp_path):
    """The limit on a file's size stands for the full disk: the same errors at the same places."""
    assert resource.RLIMIT_FSIZE
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "checkpoint-000002-at-2.safetensors: not written: File too large" in done.stdout


CONFIG = {
    "run": {"folder": "runs/a", "seed": 1},
    "stage": [
        {"name": "windows", "hop": 4, "carry": []},
        {"name": "learner", "half_life": None, "log": {"frames": 10}},
    ],
}


def changed(**changes):
    config = json.loads(json.dumps(CONFIG))
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        table = config
        for parent in parents:
            table = table[int(parent)] if parent.isdigit() else table[parent]
        table[leaf] = value
    return config


def test_equal_configurations_do_not_differ():
    assert differences(CONFIG, changed()) == []
    assert differences(CONFIG, changed(stage__0__carry=())) == []


def test_each_key_that_differs_is_named():
    other = changed(run__seed=2, stage__0__hop=8)
    assert differences(CONFIG, other) == [
        "run.seed is 2, the checkpoint has 1",
        "stage.windows.hop is 8, the checkpoint has 4",
    ]


def test_settings_that_only_one_version_has_are_told_as_such():
    newer = changed(stage__1__own=0.25, stage__1__keep={"rows": 3})
    missing = "stage.learner.keep.rows, stage.learner.own"
    assert differences(CONFIG, newer) == [f"an older version wrote the checkpoint, which had no {missing}"]
    assert differences(newer, CONFIG) == [f"another version wrote the checkpoint, which had {missing}"]
    newest = changed(**{f"stage__1__{letter}": 0 for letter in "abcde"})
    (sentence,) = differences(CONFIG, newest)
    assert sentence.endswith("no stage.learner.a, stage.learner.b, stage.learner.c and 2 more settings")


def test_tables_that_only_one_side_has_are_told_as_such():
    module = {"name": "module", "kind": "contrast", "width": 8}
    longer = {**CONFIG, "stage": [*CONFIG["stage"], module]}
    assert differences(CONFIG, longer) == ["stage.module is not in the checkpoint"]
    assert differences(longer, CONFIG) == ["stage.module is in the checkpoint only"]
    alone, fleet = {**longer, "fleet": None}, {**longer, "fleet": {"shards": 2, "workers": 1}}
    assert differences(alone, fleet) == ["fleet is not in the checkpoint"]
    assert differences(fleet, alone) == ["fleet is in the checkpoint only"]
    other = {**CONFIG, "stage": [*CONFIG["stage"], {"name": "module", "kind": "classifier", "target": "digit"}]}
    assert differences(longer, other) == ["stage.module.kind is 'classifier', the checkpoint has 'contrast'"]


def test_some_keys_may_change():
    other = changed(run__folder="b", stage__1__half_life=3.0, stage__1__log={"frames": 20, "bind": "tcp://*:1"})
    assert differences(CONFIG, other, ("run.folder", "half_life", "log.*")) == []
    assert len(differences(CONFIG, other, ("half", "folder"))) == 3
