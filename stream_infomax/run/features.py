"""``--save-features``: what was kept of the last service's frames, in one file."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.configuration.load import RECORDER, Config
from stream_infomax.run.feature_files import write_frames
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.settings import RunError
from stream_infomax.service.checkpoints import checkpoints_in, read
from stream_infomax.sinks.store import FrameStore
from stream_infomax.stages.classifier import ClassifierStage


def save_features(config: Config, folder: RunFolder, in_process: bool, path: Path) -> dict[str, int]:
    """Write the features that a run has made so far.

    Returns
    -------
    What of them is missing because a file of the recorder is damaged, by what it is.

    Raises
    ------
    RunError
        Where one file cannot hold them.
    """
    store = FrameStore(folder.path / RECORDER)
    try:
        write_frames(path, store.frames, _classes(config, folder, in_process))
    except ValueError as error:
        raise RunError(f"--save-features {path}: {error}") from error
    return {what: int(count) for what, count in store.counts().items()}


def _classes(config: Config, folder: RunFolder, in_process: bool) -> dict[str, list[str]]:
    """Return the names of each classifier's classes, in the order of the columns of what it publishes."""
    found = {}
    for stage in config.stage:
        if stage.kind == "classifier":
            newest = checkpoints_in(folder.path / (IN_PROCESS if in_process else stage.service_name))[-1]
            restored = {one.name: one for one in stages_in(read(newest), str(newest))}[stage.name]
            assert isinstance(restored, ClassifierStage)
            found[stage.name] = restored.classes
    return found
