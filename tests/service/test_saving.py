"""Checkpoints beside the loop: whole or not there, whatever happens to the process, and nobody waits for ever."""

import select
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.chains import LIVE, in_a_row
from helpers.faults import fault

from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.saving import Saving
from stream_infomax.state.file import StateFileError
from stream_infomax.transport.tap import TapReader

LONG = 30.0


def at(position):
    """Return a checkpoint after so many frames."""
    empty = {"lost": {}, "config": {}, "source": {}, "stages": {}, "sinks": {}}
    return Checkpoint(log="log", processed=position - 1, finished=False, **empty)


@pytest.fixture
def saving(tmp_path):
    made = Saving(Checkpoints(tmp_path / "a", keep=2))
    yield made
    made.close()


def nothing():
    """Nothing is written before it."""


def test_the_bell_rings_when_it_is_on_disk(saving):
    assert not saving.written(wait=True)
    order = []
    for position in (1, 2):
        saving.begin(at(position), lambda: order.append(len(saving.checkpoints.paths())))
        assert saving.busy
        assert select.select([saving.bell], [], [], LONG)[0]
        assert saving.written(wait=True)
        assert not saving.written(wait=False)
        assert not select.select([saving.bell], [], [], 0)[0]
    assert order == [0, 1]
    assert saving.checkpoints.safe == 0


def test_what_the_disk_does_not_take_is_told(saving):
    folder = saving.checkpoints.folder
    folder.rmdir()
    folder.write_text("in its place")
    saving.begin(at(1), nothing)
    with pytest.raises((StateFileError, OSError), match=str(folder)):
        saving.written(wait=True)
    assert not saving.written(wait=True)
    assert saving.checkpoints.safe == -1


def test_upstream_keeps_what_the_second_newest_is_not_behind(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    found = []
    for position in (10, 20, 30):
        checkpoints.save(at(position))
        found.append(checkpoints.safe)
    assert found == [-1, 9, 19]
    again = Checkpoints(tmp_path)
    assert (again.latest().processed, again.safe) == (29, 19)
    second = again.paths()[1]
    second.write_bytes(second.read_bytes()[:-1])
    again = Checkpoints(tmp_path)
    assert (again.latest().processed, again.safe) == (29, 9)
    only = Checkpoints(tmp_path / "one", keep=1)
    only.save(at(10))
    assert only.safe == 9


SLOW_DISK = r"""
import os, sys
from pathlib import Path
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.saving import Saving
def at(position):
    fields = dict(log='', finished=False, lost={}, config={}, source={}, sinks={})
    return Checkpoint(processed=position - 1, stages={}, **fields)
saving = Saving(Checkpoints(Path(sys.argv[1])))
saving.begin(at(1), lambda: None)
saving.written(wait=True)
def fsync(file):
    os.write(1, b"HALF\n")
    sys.stdin.readline()
os.fsync = fsync
saving.begin(at(2), lambda: None)
os.write(1, b"%d\n" % saving.written(wait=False))
saving.written(wait=True)
"""


def test_killed_while_the_thread_writes(tmp_path):
    command = [sys.executable, "-c", SLOW_DISK, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        process.kill()
    assert said == {"HALF", "0"}
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest().processed == 0
    assert list(tmp_path.glob("*.tmp"))
    checkpoints.save(at(3))
    assert not list(tmp_path.glob("*.tmp"))


@fault("checkpoint")
@pytest.mark.parametrize("victim", ["a", "b"])
def test_the_newest_checkpoint_is_damaged_and_nothing_is_lost(chain, victim):
    """The log above, a source's or a stage's, still has what came after the one before."""
    made = chain(300)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap(victim)) as observer:
        next(frame for frame in observer if frame.offset >= 150)
    made.processes[victim].kill()
    made.end(victim)
    newest = Checkpoints(made.folder / victim).paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    made.start(victim)
    ends = dict(zip(made.names, made.ends(), strict=True))
    code, errors = ends.pop(victim)
    assert set(ends.values()) == {(0, "")}
    assert code == 0
    assert f"{newest}: not readable, perhaps truncated" in errors
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(300, "a", "b")[1]["total"].tobytes()
    assert made.saved("b").lost == {}


@pytest.mark.parametrize(("log_frames", "keep"), [(1, 1), (2, 3)])
def test_the_smallest_logs_do_not_stall(chain, log_frames, keep):
    """Readers make checkpoints, however few frames the log holds for how many between two."""
    made = chain(25, log_frames=log_frames, keep=keep, checkpoint_every=1000)
    made.start()
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(25, "a", "b")[1]["total"].tobytes()
    assert len(Checkpoints(Path(made.folder) / "b").paths()) == keep
