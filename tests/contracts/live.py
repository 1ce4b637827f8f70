"""What every live source promises before there is a device: small checks, and an example of every kind."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.kinds import SOURCES
from contracts.settings import described
from contracts.stages import counted
from helpers.extras import extra

from stream_infomax.frames.contracts import Live, Seekable
from stream_infomax.settings.record import make
from stream_infomax.state import file as state_file

KINDS = {kind: source for kind, source in SOURCES.items() if hasattr(source, "receive")}


@dataclass(frozen=True)
class Example:
    """A live source of a kind."""

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self):
        return self.kind


EXAMPLES = [
    Example("devices", {"axes": ("time", "channel"), "row": (2,), "rate": 100.0}),
]


class Subject:
    """A live source of an example, which nobody opens."""

    def __init__(self, example, folder):
        self.example, self.kind, self.folder = example, KINDS[example.kind], folder
        for package in make(self.kind.Settings, example.settings).needs():
            extra(package)

    def make(self, **changes):
        """Return a new source."""
        return self.kind(**{**self.example.settings, **changes})


def it_is_live(subject):
    source = subject.make(name="ear")
    assert isinstance(source, Live)
    assert not isinstance(source, Seekable)
    assert source.name == "ear"


def making_it_takes_no_device(subject):
    subject.make()
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else []
    source = subject.make()
    assert len(before) == (len(os.listdir("/proc/self/fd")) if before else 0)
    assert not source.finished


def it_can_be_closed_without_having_been_opened(subject):
    source = subject.make()
    source.close()
    source.close()


def its_losses_are_counted_by_reason(subject):
    assert subject.make().lost == Counter()


def it_goes_on_from_its_state(subject):
    source = subject.make()
    state_file.save(subject.folder / "state", source.state())
    again = subject.make()
    again.restore(state_file.load(subject.folder / "state"))
    assert again.counts() == source.counts()
    again.close()


def its_settings_are_documented(subject):
    described(subject.kind, subject.example.settings)


def it_counts_in_the_type_declared(subject):
    counted(subject.make().counts())


def its_outline_says_that_it_is_live(subject):
    outline = subject.make().outline()
    assert outline.live
    assert (outline.frames, outline.segments) == (0, {})


CHECKS = [
    it_is_live,
    making_it_takes_no_device,
    it_can_be_closed_without_having_been_opened,
    its_losses_are_counted_by_reason,
    it_goes_on_from_its_state,
    its_settings_are_documented,
    it_counts_in_the_type_declared,
    its_outline_says_that_it_is_live,
]
