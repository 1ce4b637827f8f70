"""The page of a run: what is known of it from its folder, its taps and its commands, put together and served."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import signal
from functools import partial
from threading import Thread
from typing import Any
from urllib.parse import unquote

import numpy as np

from stream_infomax.configuration.load import ConfigError
from stream_infomax.configuration.survey import outlines
from stream_infomax.frames.basis import Basis
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.page.access import Access, token_in
from stream_infomax.page.hearing import sound_of as sound_of_unit
from stream_infomax.page.listening import Listener
from stream_infomax.page.origin import Origin, origin
from stream_infomax.page.sections import SECTIONS
from stream_infomax.page.server import PageServer
from stream_infomax.page.sound import sound_of
from stream_infomax.page.watched import Watched
from stream_infomax.run.control import Answer, control
from stream_infomax.run.folder import as_toml
from stream_infomax.run.place import Place
from stream_infomax.run.recalled import UNKNOWN, checkpoints, come_to_rest, known, recall_versions, stages_of
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.settings.host_port import host_and_port
from stream_infomax.settings.printable import printable
from stream_infomax.transport.keys import KeysError

# Seconds between two looks at what the folder of a run says, and until a service that has ended is heard to the end.
LOOK, LAST_WORDS = 2.0, 1.0
# Letters of an answer that are shown.
LONGEST = 400
# Messages that the page writes to its log in its life: what is published, and who looks, is not to fill a disk.
MOST_LOGGED = 1000


def address_of(bind: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; empty is this machine and the first port that is free.

    Raises
    ------
    ConfigError
        Where it is no such address.
    """
    try:
        return host_and_port(bind) if bind else ("127.0.0.1", 0)
    except ValueError as error:
        raise ConfigError(f"--bind {bind!r}: accepted is {error}") from error


class Few(logging.Filter):
    """Lets the first messages through, and says after the last of them that there are no more."""

    def __init__(self, most: int = MOST_LOGGED) -> None:
        super().__init__()
        self._left = most

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is one of the first."""
        self._left -= 1
        if self._left == 0:
            record.msg, record.args = f"{record.getMessage()} (the last message: no more are written)", ()
        return self._left >= 0


def serve(place: Place, host: str, port: int, *, child: bool = False) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Parameters
    ----------
    place
        The run.
    host, port
        Where; port 0 is the first one that is free from the usual one on.
    child
        Whether the run has started this process, and ends it.

    Raises
    ------
    ConfigError
        Where keys cannot be used, or the address cannot be bound.
    """
    few = Few()
    for handler in logging.getLogger().handlers:
        handler.addFilter(few)
    asyncio.run(_serve(place, host, port, child))


async def _serve(place: Place, host: str, port: int, child: bool) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    watched = known(place)
    try:
        access = Access(token_in(place.folder.path if place.folder else None))
    except OSError as error:
        raise ConfigError(f"the page's token: {error}") from error
    page = PageServer(watched, SECTIONS, access, partial(_control, place), _Downloads(place, watched).fetch)

    try:
        listener = Listener(
            watched,
            place.taps,
            place.config.source.name,
            show=place.call,
            is_run=partial(_is_run, place),
            looked_at=lambda: page.looked_at,
        )
    except KeysError as error:
        raise ConfigError(str(error)) from error
    try:
        address = page.start(host, port)
    except OSError as error:
        raise ConfigError(str(error.strerror)) from error
    print(f"{address}?token={access.token}", flush=True)
    _survey(place, watched)
    listening = asyncio.create_task(listener.listen())
    following = asyncio.create_task(_follow(place, watched))
    await asyncio.wait([listening, asyncio.create_task(over.wait())], return_when=asyncio.FIRST_COMPLETED)
    await page.stop(_farewell(place) if child else "The page was stopped. The run goes on without it.")
    failed = listening.done()
    for task in (listening, following):
        task.cancel()
    await asyncio.wait([listening, following])
    listener.close()
    if failed:
        listening.result()


async def _follow(place: Place, watched: Watched) -> None:
    """Notice when the run ends and when it goes on again, and which bases it keeps."""
    if place.folder is None:
        return
    goes_on = place.folder.held
    while True:
        await asyncio.sleep(LOOK)
        was, goes_on = goes_on, place.folder.held
        with contextlib.suppress(*UNKNOWN):
            if was and not goes_on:
                await asyncio.sleep(LAST_WORDS)
                come_to_rest(place, watched, await asyncio.to_thread(checkpoints, place))
            elif goes_on:
                watched.over = []
                recall_versions(place, watched)


async def _control(place: Place, action: str, stage: str, value: str) -> list[dict[str, str]]:
    """Ask the services for something; return a line for each answer."""
    if place.folder is not None and not place.folder.held:
        return [{"text": "This run does not go on: there is nobody to be told."}]
    try:
        answers = await asyncio.to_thread(control, place, action, stage, value)
    except ConfigError as error:
        return [{"text": printable(str(error), LONGEST)}]
    return [{"text": _answer_text(action, one)} for one in answers]


def _answer_text(action: str, answer: Answer) -> str:
    service = printable(answer.service, LONGEST)
    if answer.problem:
        return f"{service}: {action} was refused: {printable(answer.problem, LONGEST)}"
    if action == "save":
        return f"{service}: saved; all before frame {answer.offset:,} is on disk"
    return f"{service}: {action} takes effect at frame {answer.offset:,}"


def _is_run(place: Place, run: str) -> bool:
    """Return whether the run of this id is the one in the folder now; any is where there is no folder."""
    if place.folder is None or run == place.run:
        return True
    try:
        return place.folder.id == run
    except ConfigError:
        return False


def _farewell(place: Place) -> str:
    """Return what the viewers are told when the run ends."""
    with contextlib.suppress(ConfigError):
        if place.folder is not None and place.folder.summary() is not None:
            return f"The run has finished. stream-infomax page {place.folder.path} shows what came of it."
    return "The run was stopped. When it is resumed, this page goes on."


def _survey(place: Place, watched: Watched) -> None:
    """Have source and stages described as the data tell, too; a thread looks at them, which may be many files."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        with contextlib.suppress(*UNKNOWN, RuntimeError):  # no data there any more, or the loop is closed
            loop.call_soon_threadsafe(watched.describe, stages_of(place, outlines(place.config)))

    Thread(target=look, daemon=True).start()


class _Downloads:
    """What a viewer can keep."""

    def __init__(self, place: Place, watched: Watched) -> None:
        self._place, self._watched = place, watched

    async def fetch(self, path: str) -> tuple[str, str, bytes] | None:
        """Return file name, content type and bytes of what is behind a path; None where there is nothing."""
        kind, _, name = path.partition("/")
        if kind == "sound":
            return self._sound(name)
        if name == "configuration.toml":
            return name, "application/toml", as_toml(self._place.config).encode()
        if name == "bases.npz":
            return _npz(name, {f"{key}.{array}": getattr(basis, array) for key, basis in self._watched.bases.items()
                               for array in Encoder.ARRAYS})  # fmt: skip
        if name == "features.npz":
            return _npz(name, self._rows())
        if name == "filters.png":
            bases = list(self._watched.bases.values())
            content = await asyncio.to_thread(_picture, bases[-1], origin(self._watched, bases[-1])) if bases else None
            return (name, "image/png", content) if content else None
        return None

    def _sound(self, name: str) -> tuple[str, str, bytes] | None:
        key, _, number = name.removesuffix(".wav").rpartition("/")
        if not number.isdecimal() or len(number) > 9:
            return None
        if key.startswith("heard/"):
            heard = sound_of_unit(self._watched, unquote(key.removeprefix("heard/")), int(number) - 1)
            return (f"unit-{number}.wav", "audio/wav", heard) if heard else None
        content = sound_of(self._watched, unquote(key), int(number) - 1)
        return (f"component-{number}.wav", "audio/wav", content) if content else None

    def _rows(self) -> dict[str, Any]:
        rings = {name: self._watched.ring(name) for name in (self._place.config.source.name, *self._watched.services)}
        arrays: dict[str, Any] = {}
        for name, ring in rings.items():
            if ring is not None:
                arrays |= {f"{name}.rows": ring.rows, f"{name}.offsets": ring.offsets, f"{name}.seconds": ring.seconds}
        return arrays


def _npz(name: str, arrays: dict[str, Any]) -> tuple[str, str, bytes] | None:
    if not arrays:
        return None
    content = io.BytesIO()
    # Names of streams are in it, which may have a slash.
    np.savez(content, **{key.replace("/", "-"): array for key, array in arrays.items()})
    return name, "application/octet-stream", content.getvalue()


def _picture(basis: Basis, of: Origin) -> bytes | None:
    try:
        from stream_infomax import plots
    except MissingExtraError:
        return None
    figure = plots.components(basis.components, basis.mixing, basis.axes, basis.shape, of.rate, of.channels)
    content = io.BytesIO()
    figure.savefig(content, dpi=150)
    return content.getvalue()
