"""Encoder: the bits of the learner, with NumPy alone."""

import subprocess
import sys

import numpy as np
import pytest

from stream_infomax import Encoder, OnlineInfomax
from stream_infomax.learning.infomax.neurons import OUTPUTS
from stream_infomax.state.error import StateFileError

K = 6


def rows(n=3000, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (rng.laplace(size=(n, K)) @ rng.normal(size=(K, K)) + 3).astype(dtype)


@pytest.fixture(scope="module")
def learner():
    return OnlineInfomax(block=16).fit(rows())


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_gives_the_bits_of_the_learner(tmp_path, output, dtype):
    learner = OnlineInfomax(block=16, output=output, n_components=9, overcomplete=True, random_state=4).fit(rows())
    learner.save(tmp_path / "learner")
    X = rows(200, 1, dtype)
    X[3, 2], X[7, 0], X[9, 1] = np.nan, np.inf, -np.inf
    encoder = Encoder.load(tmp_path / "learner")
    for one in (encoder, Encoder.of(learner), Encoder.of(encoder)):
        np.testing.assert_array_equal(one.transform(X, 11), learner.transform(X, 11))
        assert one.version == learner.version_
        assert one.width == learner.width_
        assert one.n_rank == learner.n_rank_
    encoder.save(tmp_path / "encoder")
    again = Encoder.load(tmp_path / "encoder")
    np.testing.assert_array_equal(again.transform(X, 11), learner.transform(X, 11))
    assert (tmp_path / "encoder").stat().st_size < 4000


PROGRAM = """
import sys
import numpy as np
from stream_infomax import Encoder, translate
encoder = Encoder.load(sys.argv[1])
np.save(sys.argv[2], translate(encoder.transform(np.load(sys.argv[3])), encoder, encoder))
ours = {name.partition(".")[0] for name in sys.modules}
print(*sorted(ours & {"numba", "torch", "zmq", "sklearn", "scipy", "rich", "pandas", "soundfile"}))
"""


def test_numpy_alone_is_loaded(tmp_path, learner):
    learner.save(tmp_path / "learner")
    np.save(tmp_path / "rows.npy", rows(50, 1))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "learner", tmp_path / "out.npy", tmp_path / "rows.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), learner.transform(rows(50, 1)), atol=1e-4)


def test_tables_keep_their_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    names = [f"c{i}" for i in range(K)]
    learner = OnlineInfomax(block=16).fit(pandas.DataFrame(rows(), columns=names))
    learner.save(tmp_path / "learner")
    encoder = Encoder.load(tmp_path / "learner")
    table = pandas.DataFrame(rows(10), columns=names)
    np.testing.assert_array_equal(encoder.transform(table), learner.transform(table))
    with pytest.raises(ValueError, match="same order"):
        encoder.transform(table[names[::-1]])


def test_what_does_not_fit_is_named(tmp_path, learner):
    encoder = Encoder.of(learner)
    with pytest.raises(ValueError, match="X has 5 features, but Encoder is expecting 6"):
        encoder.transform(np.zeros((2, 5)))
    OnlineInfomax(block=16).partial_fit(rows(20)).save(tmp_path / "cold")
    with pytest.raises(StateFileError, match="warm-up is not over"):
        Encoder.load(tmp_path / "cold")
    OnlineInfomax().save(tmp_path / "new")
    with pytest.raises(StateFileError, match="warm-up is not over"):
        Encoder.load(tmp_path / "new")
    learner.save(tmp_path / "learner")
    with pytest.raises(StateFileError, match=rf"no basis of version 'abc'; it holds {learner.version_}"):
        Encoder.load(tmp_path / "learner", version="abc")
    assert Encoder.load(tmp_path / "learner", version=learner.version_).version == learner.version_


def test_the_version_is_that_of_the_document(learner):
    import hashlib

    arrays = (learner.mean_, learner.components_, learner.mixing_, learner.beta_, learner.bias_)
    content = b"".join(array.tobytes() for array in arrays) + b"potential"
    assert learner.version_ == hashlib.sha256(content).hexdigest()[:12]
    learner.set_params(output="log")
    assert learner.version_ != hashlib.sha256(content).hexdigest()[:12]
    learner.set_params(output="potential")
