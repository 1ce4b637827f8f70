"""A basis that was learnt elsewhere encodes, and nothing that learns is needed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers.mixtures import mixed_sources
from msgspec.structs import replace

from stream_infomax import Encoder, OnlineInfomax
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.stages.encoder import EncoderSettings, EncoderStage
from stream_infomax.stages.learner import LearnerStage


@pytest.fixture(scope="module")
def rows():
    return mixed_sources(3000, 6)[0]


@pytest.fixture(scope="module")
def basis(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("basis") / "basis.safetensors"
    Encoder.of(OnlineInfomax(output="poisson").partial_fit(rows)).save(path)
    return path


def frame(rows, offset=0):
    return Frame("a", offset, "s", {"x": Array(rows, ("time", "channel"))}, rate=100.0)


def test_features_are_those_of_a_learner_that_learns_no_more(rows):
    learner = LearnerStage("features", "x", output="halves")
    learner.process(frame(rows))
    learner.learn = False
    encoder = _encoder(learner)
    for offset in range(3):
        given = frame(rows[offset * 100 :][:77], offset + 1)
        expected, found = learner.process(given), encoder.process(given)
        np.testing.assert_array_equal(expected.arrays["features"].data, found.arrays["features"].data)
        assert found.basis == expected.basis
    assert encoder.counts()["rows"] == 231


def _encoder(learner):
    with tempfile.TemporaryDirectory() as folder:
        Encoder.of(learner.basis()).save(Path(folder) / "basis")
        return EncoderStage("features", "x", basis=Path(folder) / "basis")


def test_spikes_are_drawn_by_the_number_of_the_row(rows, basis):
    whole = EncoderStage("features", "x", basis=basis).process(frame(rows[:100])).arrays["features"].data
    cut = EncoderStage("features", "x", basis=basis)
    parts = [cut.process(frame(rows[i : i + 20])).arrays["features"].data for i in range(0, 100, 20)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_rows_that_are_not_finite_are_set_aside(rows, basis):
    stage = EncoderStage("features", "x", basis=basis)
    broken = rows[:10].copy()
    broken[3, 1] = np.nan
    features = stage.process(frame(broken)).arrays["features"].data
    np.testing.assert_array_equal(np.isnan(features).all(axis=1), np.arange(10) == 3)
    assert stage.counts() == {"rows": 10, "set aside: not finite": 1}


def test_rows_of_another_size_are_named(rows, basis):
    stage = EncoderStage("features", "x", basis=basis)
    with pytest.raises(ValueError, match=r"rows of 'x' have 5 numbers at offset 0 of stream 'a'; its basis takes 6"):
        stage.process(frame(rows[:3, :5]))


def test_check_knows_the_width_of_the_basis(basis):
    settings = EncoderSettings(basis=str(basis))
    outline = Outline(frames=1, segments={10: 1}, row=(6,))
    assert settings.outline(outline).row == (6,)
    with pytest.raises(SettingError, match="a basis for rows of 5 numbers"):
        settings.outline(replace(outline, row=(5,)))


def test_a_missing_basis_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"basis = .*nothing.*No such file"):
        EncoderStage("features", "x", basis=tmp_path / "nothing")


def test_a_checkpoint_holds_the_basis(rows, basis, tmp_path):
    stage = EncoderStage("features", "x", basis=basis)
    other = tmp_path / "other"
    Encoder.of(OnlineInfomax(output="poisson", random_state=5).partial_fit(rows[::-1].copy())).save(other)
    again = EncoderStage("features", "x", basis=other)
    assert again.bases()[0].version != stage.bases()[0].version
    again.restore(stage.state())
    assert again.bases()[0].version == stage.bases()[0].version
    np.testing.assert_array_equal(
        again.process(frame(rows[:9])).arrays["features"].data, stage.process(frame(rows[:9])).arrays["features"].data
    )


def test_numba_is_not_needed(basis):
    program = (
        "import sys\n"
        "sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from stream_infomax.frames.frame import Array, Frame\n"
        "from stream_infomax.stages.encoder import EncoderStage\n"
        "from stream_infomax.run import one_process, edge\n"
        f"stage = EncoderStage('features', 'x', basis={str(basis)!r})\n"
        "out = stage.process(Frame('a', 0, arrays={'x': Array(np.zeros((4, 6)), ('time', 'channel'))}))\n"
        "assert out.arrays['features'].data.shape == (4, 6)\n"
        "heavy = {'asyncio', 'rich', 'cyclopts', 'matplotlib', 'torch', 'scipy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
