"""``stream-infomax keys``: make a pair of keys, and say who else gets in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cyclopts import App

keys = App(name="keys", help="Make a pair of keys, and say whose keys are allowed besides.", help_format="plaintext")


@keys.command
def new(folder: Path) -> int:
    """Make a folder with a new pair of keys. Give others own.public; own.secret is nobody else's.

    Parameters
    ----------
    folder
        Is made.
    """
    from stream_infomax.settings.printable import printable
    from stream_infomax.transport.keys import PUBLIC, new

    with _said():
        made = new(folder)
    print(f"{printable(str(folder / PUBLIC))}: {made.public}")
    return 0


@keys.command
def allow(folder: Path, name: str, public: Path) -> int:
    """Let in somebody who has a pair of keys, at once: a run that goes on does not have to be started again.

    Parameters
    ----------
    folder
        The run's folder of keys.
    name
        Whose key it is; of the logs of a run it may read those whose reader has this name.
    public
        The file own.public of their folder.
    """
    from stream_infomax.transport.keys import Keys, allow

    with _said():
        allow(Keys(folder), public, name)
    return 0


@keys.command
def revoke(folder: Path, name: str) -> int:
    """Let somebody in no longer: the next connection and the next request are refused.

    Parameters
    ----------
    folder
        The run's folder of keys.
    name
        Whose key it is.
    """
    from stream_infomax.transport.keys import Keys, revoke

    with _said():
        revoke(Keys(folder), name)
    return 0


@keys.command(name="list")
def show(folder: Path) -> int:
    """Print the public key of a folder, and those that are allowed besides.

    Parameters
    ----------
    folder
        A folder of keys.
    """
    from stream_infomax.settings.printable import printable
    from stream_infomax.transport.keys import OWN, Keys

    with _said():
        found = Keys(folder)
        print(f"{found.public}  {OWN}")
        for name, key in found.allowed().items():
            print(printable(f"{key}  {name}"))
    return 0


@contextmanager
def _said() -> Iterator[None]:
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.transport.keys import KeysError

    try:
        yield
    except (KeysError, OSError) as error:
        raise ConfigError(str(error)) from error
