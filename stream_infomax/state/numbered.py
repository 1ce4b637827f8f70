"""Files that carry a running number in their names, in the order of the numbers.

Names are written with leading zeros for people; their order as text is another one from the millionth on.
"""

from __future__ import annotations

import re
from pathlib import Path

# A checkpoint of a service: its number, and after how many frames it was written.
CHECKPOINT = re.compile(r"checkpoint-([0-9]+)-at-([0-9]+)\.safetensors")

# Where a service keeps what it went on from as a guest of a fleet: see service/guests.py.
ROUNDS = "rounds"

# Where pages of large arrays lie beside the checkpoints, and what they are called: see pages.py.
PAGES = "pages"
PAGE = re.compile(r"[01]-[0-9a-f]{32}")


def numbered(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """Return the files in `folder` whose whole names fit `pattern`, lowest number first.

    Parameters
    ----------
    folder
        Where they lie.
    pattern
        Its first group is the number.
    """
    found = [(match, path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def newest_checkpoints(folder: Path) -> list[Path]:
    """Return the newest checkpoint in the folder of a service, or of every service in that of a run."""
    services = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    return [files[-1][1] for service in services if (files := numbered(service, CHECKPOINT))]


def next_number(files: list[tuple[int, Path]], first: int) -> int:
    """Return the number after the last one that was given, `first` where none was; gaps stay."""
    return files[-1][0] + 1 if files else first


def frames_behind(path: Path) -> int:
    """Return after how many frames a checkpoint was written, as its name has it."""
    match = CHECKPOINT.fullmatch(path.name)
    assert match is not None
    return int(match[2])
