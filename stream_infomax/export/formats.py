"""The formats by their names."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from stream_infomax.export.subject import Subject


def _c(one: Subject, name: str) -> bytes:
    from stream_infomax.export.c import header

    return header(one, name).encode()


def _npz(one: Subject, name: str) -> bytes:
    from stream_infomax.export.npz import arrays

    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays(one))
    return file.getvalue()


# From what is exported and its name to the bytes of a file.
FORMATS: dict[str, Callable[[Subject, str], bytes]] = {"c": _c, "npz": _npz}
