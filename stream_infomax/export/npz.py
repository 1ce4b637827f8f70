"""A file of arrays: what NumPy alone, or what reads its files, needs to encode as the learner does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax import __version__
from stream_infomax.export.subject import Subject

# Of the names in a file and their meaning.
FORMAT = 1


def arrays(one: Subject) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, by name; docs/export.md says what they mean."""
    encoder = one.encoder
    held: dict[str, NDArray[Any]] = {name: getattr(encoder, name) for name in encoder.ARRAYS}
    texts = {"output": encoder.output, "version": encoder.version, "written_by": f"stream_infomax {__version__}"}
    held |= {"format": np.array(FORMAT), "amplitude": np.array(encoder.amplitude)}
    held |= {name: np.array(text) for name, text in texts.items()}
    if encoder.feature_names:
        held["feature_names"] = np.array(encoder.feature_names)
    return held
