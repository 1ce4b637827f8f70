"""Any iterable of frames can be learnt from: here three microphones that hear three speakers at once.

python examples/own_frames.py
"""

import numpy as np

from stream_infomax import Array, Frame, LearnerStage, Pipeline

generator = np.random.default_rng(0)
mixing = generator.standard_normal((3, 3))


def microphones(n_frames=400, rows=256, rate=8000):
    """Frames of 32 ms from three microphones; each hears all speakers."""
    for offset in range(n_frames):
        heard = generator.laplace(size=(rows, 3)) @ mixing.T
        arrays = {"room": Array(heard.astype(np.float32), ("time", "channel"))}
        end = offset == n_frames - 1
        yield Frame("room", offset, arrays=arrays, time=offset * rows / rate, rate=rate, end=end)


learner = LearnerStage("speakers", "room")
for frame in Pipeline([learner])(microphones()):
    apart = frame.arrays["speakers"].data  # (rows, 3): one column a speaker; NaN until the warm-up is over

product = learner.learner.components_ @ mixing
print("Which speaker each filter hears (1 is one of them alone):")
print(np.round(np.abs(product) / np.abs(product).max(axis=1, keepdims=True), 2))
