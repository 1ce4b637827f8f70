"""Fixtures that tests of sources share."""

import pytest


@pytest.fixture
def opening():
    """Open live sources, set to a state where there is one; close them at the end."""
    made = []

    def open_one(source, state=None):
        made.append(source)
        if state is not None:
            source.restore(state)
        source.open()
        return source

    yield open_one
    for source in made:
        source.close()
