"""``stream-infomax join``: a box as a process, killed and started again; and what it says of what cannot be."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tomli_w
from helpers.guests import Fleet
from helpers.toys import WIDTH
from helpers.wire import LONG

from stream_infomax.cli.join import join, own_name
from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.folder import RunFolder
from stream_infomax.settings.types import NAME_PATTERN

N_ROWS = 40_000


def configured(folder, **fleet):
    """Return a pipeline over a table of rows."""
    rows = np.random.default_rng(1).laplace(size=(N_ROWS, WIDTH)).astype(np.float32)
    np.save(folder / "rows.npy", rows)
    config = {
        "run": {"folder": str(folder / "box"), "checkpoint_every": 10},
        "source": {"kind": "table", "path": str(folder / "rows.npy"), "frame": 32},
        "stage": [{"kind": "learner", "name": "learner", "warmup": 256}],
        "fleet": {"round": 2048, **fleet},
    }
    (folder / "box.toml").write_text(tomli_w.dumps(config))
    return str(folder / "box.toml")


def command(*arguments):
    return [sys.executable, "-P", "-m", "stream_infomax.cli", "join", *arguments]


def test_a_box_that_is_killed_goes_on_and_its_last_round_is_merged(tmp_path):
    fleet = Fleet(tmp_path)
    with fleet.desk() as desk:
        fleet.begin()
        box = command(fleet.address, configured(tmp_path), "--name", "roof-3", "--plain", "--patience", "0.01")
        end, lives, lines = time.monotonic() + 2 * LONG, 0, []
        child = subprocess.Popen(box, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            while child.poll() is None:
                assert time.monotonic() < end, "it takes too long"
                desk.rendezvous.socket.poll(50)
                desk.turn()
                if "roof-3" in desk.coordinator._handed:
                    lines.append(fleet.go_on(64))
                    desk.turn()
                    if not lives:
                        child.send_signal(signal.SIGKILL)
                        child.communicate()
                        lives += 1
                        child = subprocess.Popen(box, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said, _ = child.communicate()
        finally:
            child.kill()
    assert child.returncode == 0, said
    assert lives == 1
    assert "resuming" in said
    assert RunFolder(tmp_path / "box").summary() is not None
    bases = [line.bases["roof-3"] for line in lines]
    assert bases == sorted(set(bases)), "nothing is merged twice"
    assert 0 < sum(line.parts["roof-3"] for line in lines) <= N_ROWS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "3"}, "--name '3'; accepted are a letter and up to 63"),
        ({"patience": -1.0}, "--patience -1.0; accepted are seconds from 0 on"),
        ({"server": "a"}, "--keys with this box's own is needed too"),
        ({"keys": "nowhere"}, "nowhere: not a folder of keys"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        join("tcp://127.0.0.1:1", configured(tmp_path), **options)


def test_a_machine_has_a_name(monkeypatch):
    for name in ("roof-3.example.org", "rpi", "a_b"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        assert re.search(NAME_PATTERN, own_name())
