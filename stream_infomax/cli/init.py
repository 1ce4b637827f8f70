"""``stream-infomax init``: copy a shipped configuration."""

from __future__ import annotations

from pathlib import Path


def init(name: str, destination: Path | None = None) -> int:
    """Copy a shipped configuration here, to change it. A file that is there is never overwritten.

    Parameters
    ----------
    name
        The name of the configuration, for example recordings.
    destination
        The new file, or a folder for it; by default NAME.toml in this folder.
    """
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.configuration.shipped import configurations

    shipped = configurations()
    if name not in shipped:
        raise ConfigError(f"no shipped configuration {name!r}; there are {', '.join(shipped)}")
    path = destination or Path()
    if path.is_dir():
        path = path / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(shipped[name].read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already, and is not overwritten") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    print(path)
    return 0
