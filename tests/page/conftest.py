"""The page needs bokeh, without it there is nothing to test here; and what tests of the page watch."""

import pytest
from helpers.extras import installed

from stream_infomax.page.watched import Stage, Watched

collect_ignore_glob = [] if installed("bokeh") else ["test_*.py"]


class Clock:
    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watched(clock):
    stages = [Stage("source", "audio", "source"), Stage("learner", "learner", "learner", "source")]
    return Watched("run", ["source", "learner"], stages, now=clock)
