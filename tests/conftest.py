"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real recordings and pictures, named by STREAM_INFOMAX_DATA."""
    value = os.environ.get("STREAM_INFOMAX_DATA")
    if not value:
        pytest.skip("STREAM_INFOMAX_DATA is not set: it names the folder of recordings and pictures")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"STREAM_INFOMAX_DATA={value} is not a folder")
    return folder
