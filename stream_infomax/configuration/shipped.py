"""What is installed beside the package: configurations by their name, and the services' scripts."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def folders(name: str) -> list[Path]:
    """Return where a shared folder, "configs" or "services", may be: in a checkout, or beside an installed wheel."""
    prefixes = [sys.prefix, sysconfig.get_path("data"), sysconfig.get_path("data", f"{os.name}_user")]
    installed = [Path(prefix) / "share" / "stream_infomax" / name for prefix in dict.fromkeys(prefixes)]
    return [CHECKOUT / name, *installed] if (CHECKOUT / "pyproject.toml").is_file() else installed


def configurations() -> dict[str, Path]:
    """Return the shipped configurations by name."""
    for folder in folders("configs"):
        found = sorted(folder.glob("*.toml"))
        if found:
            return {path.stem: path for path in found}
    return {}


def find(place: str | Path) -> Path:
    """Return the file at `place`, or the shipped configuration of that name where there is no such file."""
    path = Path(place)
    return path if path.is_file() else configurations().get(str(place), path)
