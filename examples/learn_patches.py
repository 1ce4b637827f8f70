"""A basis for pictures in scikit-learn's manner: whiten, learn, encode, reconstruct.

python examples/learn_patches.py
"""

from pathlib import Path

import numpy as np
from skimage import data

from stream_infomax import OnlineInfomax, plots

generator = np.random.default_rng(0)
picture = data.camera() / 255
learner = OnlineInfomax(n_rank=80, random_state=0)

for _ in range(200):  # 200 blocks of 256 patches of 12 x 12 pixels, as a camera might deliver them
    y, x = generator.integers(0, 500, (2, 256))
    patches = np.stack([picture[i : i + 12, j : j + 12].ravel() for i, j in zip(y, x, strict=True)])
    patches -= patches.mean(axis=1, keepdims=True)
    learner.partial_fit(patches)

restored = learner.inverse_transform(learner.transform(patches))
print(
    f"{learner.n_components_} filters after {learner.n_rows_seen_:,} patches; objective {learner.objective_:.1f} nats"
)
print(f"variance that the basis keeps: {1 - np.var(patches - restored) / np.var(patches):.1%}")
plots.save(plots.components(learner.components_, learner.mixing_, ("y", "x"), (12, 12)), Path("filters.png"))
