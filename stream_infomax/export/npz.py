"""A file of arrays: what NumPy alone, or what reads its files, needs to encode as the learner does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax import __version__
from stream_infomax.export.mel import Mel
from stream_infomax.export.subject import Front, Subject

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
    return held | _front(one.front)


def _front(front: Front | None) -> dict[str, NDArray[Any]]:
    """Return what says how rows are made."""
    if front is None:
        return {"rows_from": np.array("rows"), "center": np.array(False)}
    given = front.windows
    held: dict[str, Any] = {"rows_from": front.form, "center": given.center}
    if front.form == "grid":
        held |= {"patch": given.patch, "stride": given.stride}
    if front.form in ("waveform", "log-mel"):
        held |= {"length": given.length, "hop": given.hop, "channels": front.channels}
    if front.form == "log-mel":
        mel = Mel.of(front)
        held |= {"rate": front.rate, "shift": mel.shift, "taper": mel.taper, "n_fft": mel.n_fft, "bands": mel.bands}
    return {name: np.asarray(value) for name, value in held.items()}
