"""What the commands share: a configuration with its changes, and where the services' scripts are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stream_infomax.configuration.compose import access_of
from stream_infomax.configuration.load import Config, ConfigError, load
from stream_infomax.configuration.shipped import folders
from stream_infomax.configuration.tables import Table
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import MissingExtraError, require

# sun_path holds 108 bytes with the closing zero; ZeroMQ says no more than "invalid argument" beyond.
LONGEST_SOCKET_PATH = 107

Changes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set", negative=(), help="KEY.PATH=VALUE, for example source.path=recordings or stage.learner.block=32."
    ),
]

Flag = Annotated[bool, Parameter(negative=())]


class RunError(Exception):
    """A run that cannot go on: says why, and what the service at fault had to say.

    Parameters
    ----------
    text
        Why.
    useless
        Whether the same command would end the same way.
    """

    def __init__(self, text: str, useless: bool = False) -> None:
        super().__init__(text)
        self.useless = useless


def read(path: Path, changes: Sequence[str]) -> Config:
    """Return the configuration in `path`; raises ConfigError, also where a package that it needs is not installed."""
    config = load(path, changes)
    check(config)
    return config


def check(config: Config) -> None:
    """Raise ConfigError where packages that a configuration needs are missing, or an address cannot be used."""
    _check_extras(config)
    access_of(config)
    for service in config.services():
        for address in (*config.addresses(service), config.control_of(service)):
            _check_address(config, service, address)
    placed = config.source.settings.placed(Path(config.run.folder).resolve(), config.source.name)
    _check_depth(config, getattr(placed, "bind", ""))


def _check_extras(config: Config) -> None:
    """Raise ConfigError where a package that something needs is not installed: nothing starts without it."""
    tables: dict[str, Table] = {"the source": config.source}
    tables |= {f"stage {stage.name!r}": stage for stage in config.stage}
    tables |= {f"sink {sink.service_name!r}": sink for sink in config.sink}
    needs = {"run.metrics": config.run.needs()}
    needs |= {who: (*table.needs(), *table.settings.needs()) for who, table in tables.items()}
    for who, packages in needs.items():
        try:
            require(*packages)
        except MissingExtraError as error:
            raise ConfigError(f"{who} needs {error}") from error


def _check_address(config: Config, service: str, address: str) -> None:
    key = "source.log" if service == config.source.name else f"stage.{config.stages_of(service)[-1].name}.log"
    if "*" in address:
        accepted = "an address like tcp://127.0.0.1:5600 (tcp://0.0.0.0:5600 for all interfaces)"
        raise ConfigError(str(SettingError(key, address, accepted, "it can be bound but not connected to")))
    _check_depth(config, address)


def _check_depth(config: Config, address: str) -> None:
    file = address.removeprefix("ipc://")
    if file != address and len(file.encode()) > LONGEST_SOCKET_PATH:
        problem = f"too deep for a socket: {file} has {len(file.encode())} bytes of {LONGEST_SOCKET_PATH}"
        accepted = "a shorter path, or tcp addresses of all logs"
        raise ConfigError(str(SettingError("run.folder", config.run.folder, accepted, problem)))


def service_script(name: str) -> Path:
    """Return the service script of that name, from a source checkout or an installed wheel."""
    places = folders("services")
    for folder in places:
        path = folder / f"{name}.py"
        if path.is_file():
            return path
    raise ConfigError(f"no script {name}.py for the services in {', '.join(map(str, places))}")
