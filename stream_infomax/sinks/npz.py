"""Npz: everything that was published, in one NPZ file at the end of the stream."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from stream_infomax.frames.contracts import Mark, State
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.types import Doc
from stream_infomax.sinks.assemble import assemble
from stream_infomax.sinks.store import FrameStore


class NpzSettings(Settings, frozen=True, kw_only=True):
    """Keeps all frames in the run folder, and makes one NPZ file of them when the stream has ended."""

    path: Annotated[str, Doc("The file, for example `features.npz`; its folder has to be there.")]

    def __post_init__(self) -> None:
        if not self.path.endswith(".npz"):
            raise SettingError("path", self.path, "a name that ends in .npz")

    def try_out(self) -> None:
        """Check that the file can be made."""
        if not os.access(Path(self.path).absolute().parent, os.W_OK):
            raise SettingError("path", self.path, "a file in a folder that is there and can be written")


@configured_by(NpzSettings)
class NpzSink(FrameStore):
    """Keeps all frames in a folder, and makes one NPZ file of them when the stream has ended.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder.
    """

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        given = make(NpzSettings, settings)
        given.try_out()
        self.path = Path(given.path)
        super().__init__(folder, name)

    def save(self, mark: Mark) -> State:
        """Write what came since the last time, and the file where the stream has ended."""
        state = super().save(mark)
        if mark.finished:
            assemble(self, self.path)
        return state
