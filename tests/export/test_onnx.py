"""The ONNX model: what onnxruntime computes with it is what a run publishes."""

import numpy as np
import pytest
from helpers.bases import basis, rows_of
from helpers.extras import extra, needs
from helpers.fronts import encoded, sound, subject

from stream_infomax.export.formats import FORMATS
from stream_infomax.export.subject import Subject

extra("onnx")
runtime = extra("onnxruntime")


def features(one, values):
    """Return what onnxruntime makes of an input."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    content = FORMATS["onnx"](one, "encoder", "float32")
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (found,) = session.run(["features"], {given.name: values})
    return found


def check(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) <= tolerance * np.nanmax(np.abs(expected))


@pytest.mark.parametrize("output", ["potential", "halves", "rate", "log"])
@pytest.mark.parametrize(("shape", "mean"), [((13, 11, 17), 0.0), ((40, 8, 40), 0.0), ((9, 9, 9), 1e3)])
def test_rows(output, shape, mean):
    encoder = basis(*shape, output=output, mean=mean, bias=0.2)
    X = rows_of(encoder)
    X[3, 2], X[7, 0], X[9, 1] = np.nan, np.inf, -np.inf
    check(features(Subject(encoder), X), encoder.transform(X))
    assert features(Subject(encoder), X[:0]).shape == (0, encoder.width)


@pytest.mark.parametrize(("length", "hop", "channels", "center"), [(16, 5, 1, False), (7, 7, 3, True)])
def test_windows_of_a_signal(length, hop, channels, center):
    one = subject("waveform", channels, length=length, hop=hop, center=center)
    samples = sound(1000, channels)
    samples[500, 0], samples[720, -1] = np.nan, np.inf
    check(features(one, samples), encoded(one, samples))
    for n in range(length + 2 * hop + 1):
        assert len(features(one, samples[:n])) == max(0, (n - length) // hop + 1), n


@needs("kaldi_native_fbank")
@pytest.mark.parametrize("output", ["potential", "log"])
@pytest.mark.parametrize("settings", [{"length": 3, "hop": 2, "n_mels": 20}, {"length": 1, "hop": 1, "n_mels": 40}])
def test_log_mel(output, settings):
    one = subject("log-mel", rank=15, output=output, mean=-5.0, **settings)
    samples = sound()
    samples[2000:2500] = 0
    samples[4000], samples[4900] = np.nan, 2e15
    check(features(one, samples), encoded(one, samples), 1e-4)
    assert len(features(one, samples[:199])) == 0


@pytest.mark.parametrize(("patch", "stride", "colours"), [(4, 3, 1), (3, 3, 3)])
def test_patches_of_a_picture(patch, stride, colours):
    one = subject("grid", colours, patch=patch, stride=stride, center=True, output="halves", mean=0.5)
    picture = np.random.default_rng(0).uniform(size=(11, 14, colours)).astype(np.float32)
    found = features(one, picture)
    assert found.shape[:2] == ((11 - patch) // stride + 1, (14 - patch) // stride + 1)
    expected = encoded(one, picture[None] if colours > 1 else picture[None, ..., 0])
    check(found.reshape(-1, one.encoder.width), expected)


def test_the_model_says_what_it_is():
    import onnx

    one = Subject(basis(9, output="log"), "ear")
    content = FORMATS["onnx"](one, "encoder", "float32")
    assert content == FORMATS["onnx"](Subject(basis(9, output="log"), "ear"), "encoder", "float32")
    made = onnx.load_from_string(content)
    about = {entry.key: entry.value for entry in made.metadata_props}
    assert about == {"basis": one.encoder.version, "output": "log", "stage": "ear"}
    assert made.graph.name == "encoder"
