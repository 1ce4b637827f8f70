"""``stream-infomax init``: copy a shipped configuration, or write one that fits a file or a folder."""

from __future__ import annotations

import textwrap
from pathlib import Path

from stream_infomax.settings.printable import printable

WIDTH = 100


def init(name: str, destination: Path | None = None) -> int:
    """Copy a shipped configuration here, to change it, or write one that fits a file or a folder of yours.

    A file that is there is never overwritten.

    Parameters
    ----------
    name
        The name of a shipped configuration, for example recordings; or a file or folder of recordings, pictures,
        videos or tables (CSV, NumPy, Parquet, EDF).
    destination
        The new file, or a folder for it; by default NAME.toml in this folder.
    """
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.configuration.shipped import configurations

    shipped = configurations()
    said: list[str] = []
    if name in shipped:
        title, text = name, shipped[name].read_text(encoding="utf-8")
        if Path(name).exists():
            said = [f"{name} is the shipped configuration of that name; for what lies here: init ./{name}"]
    elif Path(name).exists():
        from stream_infomax.configuration.propose import propose

        title, text, said = propose(Path(name))
    else:
        raise ConfigError(f"no shipped configuration {name!r}; there are {', '.join(shipped)}; and no file or folder")
    path = destination or Path()
    if path.is_dir():
        path = path / f"{title}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already, and is not overwritten") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    for sentence in said:
        print(textwrap.fill(printable(sentence), WIDTH, break_long_words=False, break_on_hyphens=False))
    print(printable(str(path)))
    if name not in shipped:
        print(printable(f"Next: stream-infomax run {path} --save-features features.npz"))
    return 0
