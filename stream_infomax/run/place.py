"""Place: where a run is that somebody watches or steers: its folder here, or the addresses of another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zmq

from stream_infomax.configuration.compose import access_of
from stream_infomax.configuration.load import Config, ConfigError, convert, load
from stream_infomax.configuration.shipped import find
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.taps import taps_of
from stream_infomax.transport.keys import Keys, KeysError, public_key


@dataclass(frozen=True)
class Place:
    """A run that can be listened to.

    Attributes
    ----------
    name
        As somebody gave it.
    config
        What runs there.
    folder
        Of the run; None where it is on another machine.
    run
        The id of the run; None where only the run itself knows it.
    in_process
        Whether it runs in one process; on another machine only the run itself knows.
    keys, server
        What is shown where others can reach an address; the public key of the run, empty for that of `keys`.
    """

    name: str
    config: Config
    folder: RunFolder | None
    run: str | None
    in_process: bool
    keys: Keys | None = None
    server: str = ""

    @property
    def taps(self) -> dict[str, str]:
        """The addresses of the taps that can be reached, by the names of those that publish there."""
        taps = taps_of(self.config, in_process=self.in_process)
        if self.folder is not None:
            return taps
        return {name: address for name, address in taps.items() if address.startswith("tcp://")}

    def call(self, socket: zmq.Socket[Any], address: str) -> None:
        """Let a socket, before it is connected, show the keys."""
        if self.keys is not None:
            self.keys.call(socket, address, self.server)


def place_of(path: Path, keys: Path | None = None, server: Path | None = None) -> Place:
    """Return the run that is in a folder, or at the addresses of a configuration.

    Parameters
    ----------
    path
        The folder of a run; or a configuration. One that has taps at tcp addresses is that of a run on any machine,
        another one names its folder here.
    keys, server
        The folder of one's own keys and the file with the run's public key; without `keys` those of the configuration.

    Raises
    ------
    ConfigError
        Where there is no run, or nothing of it can be reached.
    """
    if path.is_dir():
        return in_folder(path, path, keys, server)
    if not find(path).is_file():
        raise ConfigError(f"{path}: there is no such folder of a run, and no configuration file")
    config = load(path)
    shown, of_run = _keys(config, keys, server)
    place = Place(str(path), config, None, None, in_process=False, keys=shown, server=of_run)
    return place if place.taps else in_folder(Path(config.run.folder), path, keys, server)


def in_folder(path: Path, name: Path | None = None, keys: Path | None = None, server: Path | None = None) -> Place:
    """Return the run in a folder, which is called `name`; see `place_of`."""
    folder = RunFolder(path)
    record = folder.record
    found = convert(record.config, str(path / "run.json"))
    # It may have been started from another folder, which paths of the configuration begin at.
    config = msgspec.structs.replace(found, run=msgspec.structs.replace(found.run, folder=str(path.resolve())))
    shown, of_run = _keys(config, keys, server)
    return Place(str(name or path), config, folder, record.id, record.in_process, shown, of_run)


def _keys(config: Config, keys: Path | None, server: Path | None) -> tuple[Keys | None, str]:
    try:
        if keys is None and server is not None:
            raise KeysError(f"{server}: the key of a server alone; a folder with one's own keys is needed too")
        shown = Keys(keys) if keys is not None else access_of(config).keys
        return shown, public_key(server) if server is not None else ""
    except KeysError as error:
        raise ConfigError(str(error)) from error
