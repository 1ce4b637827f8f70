"""Labelled vectors for tests of classifiers."""

import numpy as np


def clouds(n, classes=3, width=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, width))
    labels = rng.integers(classes, size=n)
    return centres[labels] + rng.standard_normal((n, width)), [f"class {label}" for label in labels]
