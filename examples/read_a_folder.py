"""Learn features from a folder of recordings in one pass, then keep their mean over each recording.

    python examples/read_a_folder.py FOLDER features.npz

Everything is a plain object here: no configuration, no processes. `stream-infomax run` starts the same stages behind
sockets.
"""

import sys

import numpy as np

from stream_infomax import AudioSource, LearnerStage, Pipeline, WindowsStage

if len(sys.argv) != 3:
    raise SystemExit(__doc__)
_, folder, output = sys.argv

source = AudioSource(folder, rate=16000, order="shuffled")
# 10 mel frames of 40 bands are one row; a new row begins every 2 mel frames, which is 20 ms. The first 1,000 rows
# (20 s) settle the number of filters.
patches = WindowsStage("patches", "source", form="log-mel", length=10, hop=2, n_mels=40)
learner = LearnerStage("learner", "patches", energy=0.97, output="halves", warmup=1000)

for frame in Pipeline([patches, learner])(source.frames()):
    if frame.last:
        print(f"{frame.offset + 1} of {len(source)} frames, {frame.update} updates, {frame.segment}")

# A second pass without learning: the same basis encodes all recordings.
encoder = LearnerStage("learner", "patches", learn=False, energy=0.97, output="halves", warmup=1000)
encoder.restore(learner.state())
features: dict[str, list[np.ndarray]] = {}
for frame in Pipeline([patches, encoder])(source.frames()):
    features.setdefault(frame.segment, []).append(frame.arrays["learner"].rows())

# Recordings shorter than one patch (115 ms) have no row, and rows that touch a bad sample are NaN.
joined = {segment: np.concatenate(rows) for segment, rows in features.items()}
means = {
    segment: rows[np.isfinite(rows).all(axis=1)].mean(axis=0)
    for segment, rows in joined.items()
    if np.isfinite(rows).all(axis=1).any()
}
np.savez(output, segments=np.array(list(means)), features=np.stack(list(means.values())))
print(f"{len(means)} recordings, {learner.learner.n_components_} filters, written to {output}")
