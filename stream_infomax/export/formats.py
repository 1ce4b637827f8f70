"""The formats by their names."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from stream_infomax.configuration.load import ConfigError
from stream_infomax.export.subject import Subject


def _c(one: Subject, name: str, weights: str) -> bytes:
    from stream_infomax.export.c import header

    return header(one, name, weights).encode()


def _npz(one: Subject, name: str, weights: str) -> bytes:
    from stream_infomax.export.npz import arrays

    _only_floats("npz", weights)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays(one))
    return file.getvalue()


def _onnx(one: Subject, name: str, weights: str) -> bytes:
    from stream_infomax.export.onnx import model

    _only_floats("onnx", weights)
    return model(one, name)


def _only_floats(format_: str, weights: str) -> None:
    if weights != "float32":
        raise ConfigError(f"--weights {weights}: a header in C has them; {format_} has float32")


# From what is exported, its name and how filters are kept to the bytes of a file.
FORMATS: dict[str, Callable[[Subject, str, str], bytes]] = {"c": _c, "npz": _npz, "onnx": _onnx}
