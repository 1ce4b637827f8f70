"""The file of arrays: NumPy alone encodes with it."""

import io

import numpy as np
import pytest
from helpers.bases import basis, rows_of

from stream_infomax.export.formats import FORMATS
from stream_infomax.export.subject import Subject


def encode(file, x):
    """The formula of docs/export.md."""
    y = (x - file["mean"]).astype(np.float32) @ file["components"].T
    raw = y / np.float32(file["amplitude"])
    if file["output"] == "halves":
        return np.concatenate([np.maximum(y, 0), np.maximum(-y, 0)], axis=1)
    if file["output"] == "log":
        return np.log(np.abs(raw) + np.float32(0.1))
    if file["output"] == "rate":
        return (0.5 + 0.5 * np.tanh(0.5 * (file["beta"] * raw + file["bias"]))) ** 2 / 4
    return y


@pytest.mark.parametrize("output", ["potential", "halves", "rate", "log"])
def test_numpy_alone(output):
    encoder = basis(9, 7, 12, output=output, mean=3.0)
    content = FORMATS["npz"](Subject(encoder), "encoder", "float32")
    assert content == FORMATS["npz"](Subject(encoder), "encoder", "float32")
    X = rows_of(encoder)
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        np.testing.assert_allclose(encode(file, X), encoder.transform(X), rtol=1e-5, atol=1e-6)
        assert (str(file["version"]), int(file["format"])) == (encoder.version, 1)
