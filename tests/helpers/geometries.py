"""Bases of every geometry of a row, as they come over a tap."""

import numpy as np

from stream_infomax.frames.basis import Basis

EEG = (
    *("Fp1", "Fpz", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8"),
    *("P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2"),
)
GEOMETRIES = {
    "picture": (("y", "x"), (12, 12)),
    "colour": (("y", "x", "colour"), (8, 9, 3)),
    "wave": (("sample",), (64,)),
    "plane": (("sample", "mel"), (10, 40)),
    "head": (("channel",), (len(EEG),)),
    "bars": (("component",), (30,)),
}


def basis(axes: tuple[str, ...], shape: tuple[int, ...], n: int = 7, mixing: np.ndarray | None = None) -> Basis:
    K = int(np.prod(shape))
    columns = np.random.default_rng(0).standard_normal((K, n)) if mixing is None else mixing
    return Basis(
        stage="learner",
        encoder="e",
        version="v",
        output="potential",
        amplitude=1.0,
        mean=np.zeros(K),
        components=np.linalg.pinv(columns).astype(np.float32),
        mixing=columns.astype(np.float32),
        beta=np.ones(columns.shape[1], np.float32),
        bias=np.zeros(columns.shape[1], np.float32),
        axes=axes,
        shape=shape,
    )
