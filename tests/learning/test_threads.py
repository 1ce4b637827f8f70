"""One thread while learning, and what was there before afterwards."""

import os
import subprocess
import sys
import threading

import pytest
from threadpoolctl import threadpool_info

from stream_infomax.learning import threads


def blas():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def free(monkeypatch):
    """Two threads of BLAS, and no variable that says anything."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with threads._controller().limit(limits=2, user_api="blas"):
        if set(blas()) != {2}:
            pytest.skip("this BLAS has one thread")
        yield


def test_one_thread_while_it_lasts(free):
    with threads.one_thread():
        assert set(blas()) == {1}
        with threads.one_thread():
            pass
        assert set(blas()) == {1}
    assert set(blas()) == {2}
    with pytest.raises(ZeroDivisionError), threads.one_thread():
        _ = 1 / 0
    assert set(blas()) == {2}


def test_threads_of_a_program_that_learn_side_by_side_leave_what_was_there(free):
    inside, leave = threading.Event(), threading.Event()

    def learn():
        with threads.one_thread():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=learn)
    with threads.one_thread():
        other.start()
        assert inside.wait(10)
    assert set(blas()) == {1}
    leave.set()
    other.join()
    assert set(blas()) == {2}


def test_a_variable_decides_instead(free, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with threads.one_thread():
        assert set(blas()) == {2}


def test_learning_takes_one_core():
    """Processor time beyond the time that passes is other threads' work."""
    code = (
        "import time, numpy as np; from stream_infomax import OnlineInfomax as O; "
        "X = np.random.default_rng(0).laplace(size=(6000, 144)).astype(np.float32); m = O().partial_fit(X[:2000]); "
        "c, w = time.process_time(), time.perf_counter(); m.partial_fit(X); m.transform(X); m.fit(X); "
        "print((time.process_time() - c) / (time.perf_counter() - w))"
    )
    env = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert float(out.stdout) < 1.1
