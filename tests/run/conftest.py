"""Fixtures of the tests of runs."""

from pathlib import Path

import pytest
from helpers.programs import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)
