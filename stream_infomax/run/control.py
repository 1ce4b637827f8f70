"""Control: a run that goes on is told what to do, by a person at a terminal or at the page."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, get_args

import zmq

from stream_infomax.configuration.load import Config, ConfigError, convert
from stream_infomax.frames.command import MAX_VALUE, Action
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.settings.words import one_of
from stream_infomax.transport.control import PATIENCE, ask
from stream_infomax.transport.messages import Order, Refused
from stream_infomax.transport.sockets import StreamError

ACTIONS = (*get_args(Action), "save")
# Services that are asked at once.
AT_ONCE = 32


class Answer(NamedTuple):
    """What a service says to a command: from which frame on it holds, or why not."""

    service: str
    offset: int = -1
    problem: str = ""


class _Heard(NamedTuple):
    answer: Answer
    elsewhere: bool = False


def under_way(place: Path) -> tuple[Config, bool]:
    """Return the configuration of a run that goes on, and whether it runs in one process.

    Parameters
    ----------
    place
        Its folder.

    Raises
    ------
    ConfigError
        Where there is no run, or it does not go on.
    """
    folder = RunFolder(place)
    record = folder.record
    if not folder.held:
        how = "has finished" if record.summary is not None else "does not go on: no process has its folder"
        raise ConfigError(f"{place}: this run {how}")
    raw = {**record.config, "run": {**record.config.get("run", {}), "folder": str(place)}}
    return convert(raw, str(place / "run.json")), record.in_process


def control(
    config: Config,
    action: str,
    stage: str = "",
    value: str = "",
    *,
    in_process: bool = False,
    keys: str | Path = "",
    server: str | Path = "",
    command_id: str = "",
    patience: float = PATIENCE,
) -> list[Answer]:
    """Tell a run what to do, and return what each of its services that it concerns answers.

    It waits for the answers: in an event loop call it by ``asyncio.to_thread``.

    Parameters
    ----------
    config
        Of the run; its addresses are asked.
    action
        ``pause``, ``resume``, ``hold``, ``undo``, ``mark`` or ``save``.
    stage
        The one that is meant; empty for every one that it concerns.
    value
        Of ``undo`` a version, of ``mark`` a text.
    in_process
        Whether the run is in one process.
    keys, server
        As of a `TapReader`; empty: those that the configuration names.
    command_id
        Of the command; the same one again gives the same answer, and does nothing twice. Empty: one is drawn.
    patience
        Seconds until nobody answers.

    Raises
    ------
    ConfigError
        Where nothing of that name can be told so.
    """
    if action not in ACTIONS:
        raise ConfigError(f"{action!r}; accepted are {one_of(ACTIONS)}")
    if len(value) > MAX_VALUE:
        raise ConfigError(f"{action}: a value of {len(value)} characters; accepted are {MAX_VALUE}")
    addresses = _addresses(config, action, stage, in_process=in_process)
    order = Order(command_id or secrets.token_hex(8), action, stage, value)
    keys = keys or config.run.keys
    with zmq.Context() as context, ThreadPoolExecutor(min(AT_ONCE, len(addresses))) as pool:

        def heard(service: str) -> _Heard:
            try:
                answer = ask(context, addresses[service], order, keys=keys, server=server, patience=patience)
            except (StreamError, ValueError) as error:
                return _Heard(Answer(service, problem=str(error)))
            if isinstance(answer, Refused):
                return _Heard(Answer(service, problem=answer.text), answer.reason == "elsewhere")
            return _Heard(Answer(service, answer.offset))

        answers = list(pool.map(heard, addresses))
    here = [one.answer for one in answers if not one.elsewhere]
    return here or [one.answer for one in answers]


def _addresses(config: Config, action: str, stage: str, *, in_process: bool) -> Mapping[str, str]:
    """Return where the services that a command may concern are told what to do."""
    services = {config.source.name: config.source.name, **{one.name: one.service_name for one in config.stage}}
    if stage and stage not in services:
        raise ConfigError(f"stage {stage!r}; accepted are {one_of(services)}")
    if in_process:
        return {IN_PROCESS: config.control_of(config.services()[-1])}
    if action == "mark":
        names = [config.source.name]
    elif stage:
        names = [services[stage]]
    else:
        names = config.services()
    return {name: config.control_of(name) for name in names}
