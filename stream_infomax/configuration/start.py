"""Where a stage begins: the state of its namesake in another run."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.frames.contracts import State
from stream_infomax.service.checkpoints import read
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.words import one_of
from stream_infomax.state.file import StateFileError
from stream_infomax.state.numbered import newest_checkpoints

ACCEPTED = "a checkpoint, a service's folder or a run's folder with the state of this stage"


def state_at(start: str, name: str) -> State:
    """Return the state of the stage `name` that `start` leads to.

    Parameters
    ----------
    start
        A checkpoint, the folder of a service, or that of a run: the newest checkpoint is taken.
    name
        The stage.

    Raises
    ------
    SettingError
        Where there is nothing to read, or no stage of that name in it.
    """
    place = Path(start)
    found: set[str] = set()
    try:
        for path in newest_checkpoints(place) if place.is_dir() else [place]:
            states = read(path).stages
            if name in states:
                return states[name]
            found |= states.keys()
    except (StateFileError, OSError) as error:
        raise SettingError("start", start, ACCEPTED, str(error)) from error
    what = f"holds the stages {one_of(sorted(found))}" if found else "no checkpoint with stages there"
    raise SettingError("start", start, ACCEPTED, what)
