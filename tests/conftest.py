"""Fixtures that many tests share."""

import os
import threading
from pathlib import Path

import pytest
from helpers.chains import Chain
from helpers.ledgers import check_balanced, saved_ledgers
from helpers.toys import Keeping

# Read by liblsl when it is first used, here and in every process that tests start.
os.environ.setdefault("LSLAPICFG", str(Path(__file__).with_name("helpers") / "lsl_api.cfg"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real recordings and pictures, named by STREAM_INFOMAX_DATA."""
    value = os.environ.get("STREAM_INFOMAX_DATA")
    if not value:
        pytest.skip("STREAM_INFOMAX_DATA is not set: it names the folder of recordings and pictures")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"STREAM_INFOMAX_DATA={value} is not a folder")
    return folder


@pytest.fixture
def alone(monkeypatch):
    """No other thread, as in the process of a source: libraries of earlier tests leave some behind."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.fixture(autouse=True)
def balanced(request):
    """Whatever services a test ran in its folder: their ledgers balance."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        for ledger in saved_ledgers(folder):
            check_balanced(ledger)


@pytest.fixture
def context():
    """A ZeroMQ context that closes what a test left open."""
    context = Keeping()
    yield context
    context.destroy(linger=0)
    context.kept.clear()


@pytest.fixture(params=["inproc", "ipc", "tcp"])
def address(request, tmp_path):
    return {"inproc": "inproc://outlet", "ipc": f"ipc://{tmp_path}/o", "tcp": "tcp://127.0.0.1:*"}[request.param]


@pytest.fixture
def ipc(tmp_path):
    return f"ipc://{tmp_path}/o"


@pytest.fixture
def chain(tmp_path):
    chains = []

    def make(n_frames, **settings):
        chains.append(Chain(tmp_path, n_frames, **settings))
        return chains[-1]

    yield make
    for made in chains:
        made.kill_all()
