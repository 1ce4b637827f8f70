"""Any iterable of frames can be learnt from: here three microphones in a room with three speakers.

python examples/own_frames.py
"""

from pathlib import Path

import numpy as np

from stream_infomax import Array, Frame, LearnerStage, Pipeline, plots

generator = np.random.default_rng(0)
mixing = generator.standard_normal((3, 3))


def microphones(n_frames=400, rows=256, rate=8000):
    """Frames of 32 ms from three microphones; each records a mixture of all speakers."""
    for offset in range(n_frames):
        recorded = generator.laplace(size=(rows, 3)) @ mixing.T
        arrays = {"room": Array(recorded.astype(np.float32), ("time", "channel"))}
        end = offset == n_frames - 1
        yield Frame("room", offset, arrays=arrays, time=offset * rows / rate, rate=rate, end=end)


learner = LearnerStage("speakers", "room")
for frame in Pipeline([learner])(microphones()):
    separated = frame.arrays["speakers"].data  # (rows, 3): one column a speaker; NaN until the warm-up is over

product = learner.learner.components_ @ mixing
print("Share of each speaker (column) in each filter's output (row), of the largest:")
print(np.round(np.abs(product) / np.abs(product).max(axis=1, keepdims=True), 2))
plots.save(plots.recovery(product), Path("recovery.png"))
