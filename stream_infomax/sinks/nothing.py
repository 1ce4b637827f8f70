"""Nothing: a sink that takes every frame and keeps none, so that a pipeline runs at its own speed to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream_infomax.frames.contracts import Mark, Output, Sink, State
from stream_infomax.frames.ledger import Account
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import Settings, make


class NothingSettings(Settings, frozen=True, kw_only=True):
    """Takes every frame and keeps none."""


@configured_by(NothingSettings)
class NothingSink(Sink):
    """Takes every frame and keeps none.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder; it stays empty.
    """

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        make(NothingSettings, settings)
        self.name = name
        self.account: Account = Account(name, "sink", "frames")

    def accept(self, output: Output) -> None:
        """Let the frame go."""
        self.account.process(output.frame.stream)

    def save(self, mark: Mark) -> State:
        """Nothing has to be saved."""
        return {}
