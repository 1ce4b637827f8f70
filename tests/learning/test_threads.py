"""One thread while learning, and what was there before afterwards."""

import multiprocessing
import os
import subprocess
import sys

import pytest
from helpers import threads as scenes

from stream_infomax.learning.threads import OF_BLAS, VARIABLE


@pytest.fixture
def observed(monkeypatch):
    """Runs a scene in a process that begins without any variable that says how many threads there are."""
    for name in (*OF_BLAS, VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def run(scene, *given, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            before, inside, after = pool.apply(scenes.observed, (scene, *given))
        assert before == after
        if set(before) == {1}:
            pytest.skip("BLAS has one thread here")
        return set(before), set(inside)

    return run


@pytest.mark.parametrize(
    ("scene", "given"),
    [
        (scenes.nested, ()),
        (scenes.side_by_side, ("main",)),
        (scenes.side_by_side, ("other",)),
        (scenes.many, ()),
    ],
)
def test_one_thread_until_the_last_has_left(observed, scene, given):
    assert observed(scene, *given)[1] == {1}


def test_small_products_are_left_alone(observed):
    before, inside = observed(scenes.few)
    assert before == inside


def test_variables_of_blas_decide_nothing_and_our_own_does(observed):
    assert observed(scenes.nested, OMP_NUM_THREADS="2")[1] == {1}  # joblib sets it for its workers
    assert observed(scenes.nested, STREAM_INFOMAX_BLAS_THREADS="2")[1] == {2}
    with pytest.raises(ValueError, match="STREAM_INFOMAX_BLAS_THREADS = '0'; accepted: a whole number >= 1"):
        observed(scenes.nested, STREAM_INFOMAX_BLAS_THREADS="0")


def test_learning_takes_one_core():
    """Processor time beyond the time that passes is other threads' work."""
    code = (
        "import time, numpy as np; from stream_infomax import OnlineInfomax as O; "
        "X = np.random.default_rng(0).laplace(size=(6000, 144)).astype(np.float32); m = O().partial_fit(X[:2000]); "
        "c, w = time.process_time(), time.perf_counter(); m.partial_fit(X); m.transform(X); m.fit(X); "
        "print((time.process_time() - c) / (time.perf_counter() - w))"
    )
    env = {name: value for name, value in os.environ.items() if name not in OF_BLAS}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert float(out.stdout) < 1.1
