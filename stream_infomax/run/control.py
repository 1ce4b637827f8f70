"""Control: a run that goes on is told what to do, by a person at a terminal or at the page."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, get_args

import zmq

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.command import MAX_VALUE, Action
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.run.place import Place
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


def control(
    place: Place, action: str, stage: str = "", value: str = "", *, command: str = "", patience: float = PATIENCE
) -> list[Answer]:
    """Tell a run what to do, and return what each of its services that it concerns answers.

    It waits for the answers: in an event loop call it by ``asyncio.to_thread``.

    Parameters
    ----------
    place
        Where the run is.
    action
        ``pause``, ``resume``, ``hold``, ``undo``, ``mark`` or ``save``.
    stage
        The one that is meant; empty for every one that it concerns.
    value
        Of ``undo`` a version, of ``mark`` a text.
    command
        Its id: the same one again gives the same answer, and does nothing twice. Empty: one is drawn.
    patience
        Seconds until nobody answers.

    Raises
    ------
    ConfigError
        Where the run does not go on, or nothing of that name can be told so.
    """
    if action not in ACTIONS:
        raise ConfigError(f"action {action!r}; accepted are {one_of(ACTIONS)}")
    if value and action not in ("undo", "mark"):
        raise ConfigError(f"{action} takes no value; given was {value!r}")
    if len(value) > MAX_VALUE:
        raise ConfigError(f"{action}: a value of {len(value)} characters; accepted are {MAX_VALUE}")
    if place.folder is not None and not place.folder.held:
        ended = place.folder.record.summary is not None
        raise ConfigError(f"{place.name}: this run {'has finished' if ended else 'does not go on'}")
    addresses = _addresses(place, action, stage)
    order = Order(command or secrets.token_hex(8), action, stage, value)
    with zmq.Context() as context, ThreadPoolExecutor(min(AT_ONCE, len(addresses))) as pool:

        def heard(service: str) -> tuple[Answer, bool]:
            try:
                answer = ask(context, addresses[service], order, show=place.call, patience=patience)
            except StreamError as error:
                ended = place.folder is not None and not place.folder.held
                return Answer(service, problem="the run ended before it answered" if ended else str(error)), True
            if isinstance(answer, Refused):
                return Answer(service, problem=answer.text), answer.reason != "elsewhere"
            return Answer(service, answer.offset), True

        answers = list(pool.map(heard, addresses))
    return [answer for answer, is_here in answers if is_here] or [answer for answer, _ in answers]


def _addresses(place: Place, action: str, stage: str) -> Mapping[str, str]:
    """Return where the services that a command may concern are told what to do."""
    config = place.config
    services = {config.source.name: config.source.name, **{one.name: one.service_name for one in config.stage}}
    if stage and stage not in services:
        raise ConfigError(f"stage {stage!r}; accepted are {one_of(services)}")
    if place.in_process:
        return {IN_PROCESS: config.control_of(config.services()[-1])}
    addresses = {name: config.control_of(name) for name in config.services()}
    if place.folder is None:  # another machine; whether the run is in one process is not known
        reached = {name: address for name, address in addresses.items() if address.startswith("tcp://")}
        if not reached:
            raise ConfigError(f"{place.name}: no log.control is a tcp address; none can be reached from here")
        return reached
    if action == "mark":
        return {config.source.name: addresses[config.source.name]}
    return {services[stage]: addresses[services[stage]]} if stage else addresses
