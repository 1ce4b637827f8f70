"""``stream-infomax diff``: what differs between two runs."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.configuration.load import ConfigError


def diff(run: Path, other: Path, *, out: Path | None = None) -> int:
    """Put two runs beside each other: settings, measures, matched components, and features where both have kept them.

    Parameters
    ----------
    run
        The folder of a run, finished or under way.
    other
        That of another one.
    out
        A .png file for the same as a picture.
    """
    from rich.console import Console

    from stream_infomax.run.diff import difference, side
    from stream_infomax.run.diff_text import shown
    from stream_infomax.settings.printable import printable
    from stream_infomax.state.error import StateFileError

    if out is not None and out.suffix != ".png":
        raise ConfigError(f"--out {out}: accepted is a name that ends in .png")
    try:
        found = difference(side(run), side(other))
    except (StateFileError, ConfigError):
        raise
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{run}, {other}: not comparable by this version: {error}") from error
    Console(highlight=False).print(shown(found))
    if out is not None:
        from stream_infomax.run.pictures import draw_difference

        print(printable(f"picture: {draw_difference(found, out)}"))
    return 0
