"""Rows to learn from."""

import numpy as np
import pytest
from helpers.mixtures import mixed_sources


@pytest.fixture(scope="module")
def rows():
    return mixed_sources(3000, 6)[0].astype(np.float32)
