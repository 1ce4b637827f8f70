"""What the commands share: a configuration with its changes, and where the services' scripts are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stream_infomax.configuration.load import (
    Config,
    ConfigError,
    ContrastSettings,
    ImageSettings,
    WindowsSettings,
    load,
)
from stream_infomax.settings.extras import MissingExtraError, require

# sun_path holds 108 bytes with the closing zero; ZeroMQ says no more than "invalid argument" beyond.
LONGEST_SOCKET_PATH = 107

Changes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set", negative=(), help="KEY.PATH=VALUE, for example source.path=recordings or stage.learner.block=32."
    ),
]


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
    _check_extras(config)
    for service in config.services():
        for address in config.addresses(service):
            _check_address(config, service, address)
    return config


def _check_extras(config: Config) -> None:
    """Raise ConfigError where source or stage needs a package that is not installed: nothing starts without it."""
    needs = {}
    if isinstance(config.source, ImageSettings):
        needs["PIL"] = "the source"
        if config.source.path.startswith("skimage:"):
            needs["skimage"] = "the source"
    for stage in config.stage:
        if isinstance(stage, ContrastSettings):
            needs["torch"] = f"stage {stage.name!r}"
        if isinstance(stage, WindowsSettings) and stage.form == "log-mel":
            needs["kaldi_native_fbank"] = f"stage {stage.name!r}"
    for package, who in needs.items():
        try:
            require(package)
        except MissingExtraError as error:
            raise ConfigError(f"{who} needs {error}") from error


def _check_address(config: Config, service: str, address: str) -> None:
    if "*" in address:
        raise ConfigError(
            f"the log of service {service!r}: address {address!r} can be bound but not connected to; "
            f"accepted are addresses like tcp://127.0.0.1:5600 (tcp://0.0.0.0:5600 for all interfaces)"
        )
    file = address.removeprefix("ipc://")
    if file != address and len(file.encode()) > LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"run.folder = {config.run.folder!r} is too deep for a socket: {file} has {len(file.encode())} "
            f"bytes, accepted are {LONGEST_SOCKET_PATH}; choose a shorter path, or tcp addresses"
        )


def service_script(name: str) -> Path:
    """Return the service script of that name, from a source checkout or an installed wheel."""
    checkout = Path(__file__).parents[2] / "services"
    installed = Path(sys.prefix) / "share" / "stream_infomax" / "services"
    for folder in (checkout, installed):
        path = folder / f"{name}.py"
        if path.is_file():
            return path
    raise ConfigError(f"no script {name}.py for the services, neither in {checkout} nor in {installed}")
