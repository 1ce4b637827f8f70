"""Fixtures of the tests of streaming."""

import pytest
from toys import Keeping


@pytest.fixture
def context():
    """A ZeroMQ context that closes what a test left open."""
    context = Keeping()
    yield context
    context.destroy(linger=0)
    context.kept.clear()
