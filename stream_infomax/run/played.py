"""Played: a pipeline over a journal in the place of its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream_infomax.configuration.load import Config, ConfigError, convert, load, to_builtins
from stream_infomax.configuration.overrides import apply

# What a source has whatever its kind is, and keeps.
KEPT = ("name", "log")


def is_journal(place: Path) -> bool:
    """Return whether a path is a file of a journal, or a folder of such."""
    return place.suffix == ".mcap" or (place.is_dir() and any(place.glob("part-*.mcap")))


def journal_within(run: Path) -> Path | None:
    """Return the journal in the folder of a run, or of its source; None where there is none."""
    return next((place for place in sorted([*run.glob("journal"), *run.glob("*/journal")]) if is_journal(place)), None)


def played(
    journal: Path, pipeline: Path | None, start: int, speed: float, to: Path | None, changes: Sequence[str]
) -> Config:
    """Return the configuration of a pipeline that reads a journal.

    Parameters
    ----------
    journal
        The file or folder.
    pipeline
        The configuration whose stages and sinks are taken; None: there are none, and the frames are only published.
    start
        The first frame, by its offset.
    speed
        How many times as fast as the frames came; 0: as fast as they are read.
    to
        The folder of the run; None: the journal's name with -replayed behind.
    changes
        ``key.path=value`` each.

    Raises
    ------
    ConfigError
        Where that cannot be used.
    """
    raw: dict[str, Any] = to_builtins(load(pipeline)) if pipeline else {"run": {}, "source": {}}
    kept = {key: value for key, value in raw["source"].items() if key in KEPT}
    pace = {"pace": "live", "speed": speed} if speed else {"pace": "fast"}
    raw["source"] = {"kind": "journal", "path": str(journal), "start": start, **pace, **kept}
    raw["run"]["folder"] = str(to or journal.with_name(f"{journal.resolve().stem}-replayed"))
    for change in changes:
        try:
            apply(raw, change)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {error}") from error
    return convert(raw, str(pipeline or journal))
