"""Standing: how a run is, from the taps of its services where it goes on, else from their checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from stream_infomax.frames.ledger import Balance
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.place import Place, in_folder
from stream_infomax.run.taps import Taps
from stream_infomax.service.checkpoints import read
from stream_infomax.state.error import StateFileError
from stream_infomax.state.numbered import CHECKPOINT, numbered
from stream_infomax.transport.messages import Status

# Seconds to wait for the statuses of a run that goes on; each service gives several in one.
PATIENCE = 3.0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a service is.

    Attributes
    ----------
    from_
        Where that is known from: its ``status``, a ``checkpoint``, or ``nothing``.
    frame
        The last offset that was read, -1 before the first.
    finished
        Whether the stream has ended there.
    lost
        Frames that never came, by reason.
    refused
        Requests that were not granted, by reason.
    ledger
        What became of all that was accepted.
    problem
        Why nothing is known; else empty.
    """

    from_: str = msgspec.field(name="from")
    frame: int = -1
    finished: bool = False
    lost: dict[str, int] = {}
    refused: dict[str, int] = {}
    ledger: list[Balance] = []
    problem: str = ""


def standing(folder: RunFolder) -> tuple[bool, dict[str, Standing]]:
    """Return whether a run goes on, and how each of its services is, in the order of the data.

    Raises
    ------
    ConfigError
        Where there is no run in the folder, or its record is damaged.
    """
    place = in_folder(folder.path)
    going_on = folder.held
    heard: Mapping[str, Status] = {}
    if going_on:
        heard = asyncio.run(_hear(place))
    return going_on, {name: _of(heard[name]) if name in heard else saved(folder, name) for name in place.taps}


async def _hear(place: Place) -> dict[str, Status]:
    """Return the newest status of each service that says something in time."""
    heard: dict[str, Status] = {}
    every = asyncio.Event()
    addresses = place.taps

    def take(name: str, status: Status) -> None:
        heard[name] = status
        if len(heard) == len(addresses):
            every.set()

    with Taps(addresses, place.run, take, place.keys, place.server) as taps:
        tasks = [asyncio.create_task(taps.listen(name)) for name in addresses]
        try:
            async with asyncio.timeout(PATIENCE):
                await every.wait()
        except TimeoutError:  # a service is being restarted, or hangs
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return heard


def _of(status: Status) -> Standing:
    return Standing(
        from_="status",
        frame=status.processed,
        finished=status.finished,
        lost=status.lost,
        refused=status.refused,
        ledger=status.ledger,
    )


def saved(folder: RunFolder, name: str) -> Standing:
    """Return how a service was at its newest checkpoint that is readable."""
    problem = "no checkpoint yet"
    place = folder.path / name
    for _, path in reversed(numbered(place, CHECKPOINT) if place.is_dir() else []):
        try:
            found = read(path)
        except StateFileError as error:
            problem = str(error)
            continue
        return Standing(
            from_="checkpoint",
            frame=found.processed,
            finished=found.finished,
            lost=found.lost,
            ledger=[balance.folded() for balance in found.ledger],
        )
    return Standing(from_="nothing", problem=problem)
