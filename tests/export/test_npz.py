"""The file of arrays: the program in docs/export.md encodes with it, with NumPy alone."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.bases import basis, rows_of
from helpers.extras import needs
from helpers.fronts import encoded, sound, subject

from stream_infomax.configuration.load import ConfigError
from stream_infomax.export.formats import FORMATS
from stream_infomax.export.subject import Subject

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def documented():
    """The functions of the page."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    return names


def opened(one):
    content = FORMATS["npz"](one, "encoder", "float32")
    assert content == FORMATS["npz"](one, "encoder", "float32")
    return np.load(io.BytesIO(content), allow_pickle=False)


@pytest.mark.parametrize("output", ["potential", "halves", "rate", "log"])
def test_rows(documented, output):
    encoder = basis(9, 7, 12, output=output, mean=3.0)
    X = rows_of(encoder)
    with opened(Subject(encoder)) as file:
        found = documented["features"](file, documented["rows_of"](file, X))
        np.testing.assert_allclose(found, encoder.transform(X), rtol=1e-5, atol=1e-6)
        assert (str(file["version"]), int(file["format"])) == (encoder.version, 1)


FRONTS = [
    ("waveform", {"channels": 2, "length": 12, "hop": 5, "center": True}),
    ("waveform", {"length": 7, "hop": 7}),
    pytest.param("log-mel", {"rank": 15, "length": 2, "hop": 1, "n_mels": 20}, marks=needs("kaldi_native_fbank")),
    ("grid", {"channels": 3, "patch": 4, "stride": 3, "center": True}),
    ("patches", {"patch": 4, "center": True}),
]


@pytest.mark.parametrize(("form", "settings"), FRONTS)
def test_what_makes_the_rows(documented, form, settings):
    one = subject(form, **settings)
    values = sound(2000, one.front.channels)
    if form in ("grid", "patches"):
        values = np.random.default_rng(0).uniform(size=(1, 14, 11, 3) if form == "grid" else (5, 4, 4)).astype("f4")
    expected = encoded(one, values)
    given = values[0] if form == "grid" else values.reshape(5, -1) if form == "patches" else values
    with opened(one) as file:
        found = documented["features"](file, documented["rows_of"](file, given))
        assert str(file["rows_from"]) == form
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_names_of_columns_are_kept():
    encoder = basis(2)
    named = type(encoder)(**{**vars(encoder), "feature_names": ("left", "right")})
    with opened(Subject(named)) as file:
        assert list(file["feature_names"]) == ["left", "right"]


@pytest.mark.parametrize("format_", ["npz", "onnx"])
def test_integers_are_for_headers(format_):
    with pytest.raises(ConfigError, match=f"{format_} has float32"):
        FORMATS[format_](Subject(basis(3)), "encoder", "int8")
