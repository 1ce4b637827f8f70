"""Followed: one run that somebody watches, whether it goes on, stops, or is started again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.run.place import place_of
from stream_infomax.run.standing import saved
from stream_infomax.run.taps import Taps
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.board import Board
from stream_infomax.watch.history import Curves, read

# Seconds between two looks at what the folder says.
LOOK = 1.0


class Followed:
    """Keeps a board of a run: from its taps while it goes on, else from its last checkpoints.

    Parameters
    ----------
    path, keys, server
        See `place_of`.

    Attributes
    ----------
    place
        Where it is.
    board
        What is known of it.
    problem
        Why nothing is known any more; else empty.

    Raises
    ------
    ConfigError
        Where there is no run.
    """

    def __init__(self, path: Path, keys: Path | None = None, server: Path | None = None) -> None:
        self._given = path, keys, server
        self.place = place_of(*self._given)
        self.board = self._new_board()
        self.problem = ""
        self._goes_on = False

    @property
    def state(self) -> str:
        """How it is, in a word: what is wrong with a service comes first."""
        states = [row.state for row in self.board.rows.values()]
        if all(state == "finished" for state in states):
            return "finished"
        if not self._goes_on:
            return "stopped"
        wrong = next((state for state in ("disk full", "silent") if state in states), "")
        return wrong or ("running" if {"running", "waiting"} & set(states) else "starting")

    async def follow(self) -> None:
        """Keep what is known up to date; never returns."""
        while True:
            try:
                self._look()
                await (self._listen() if self._goes_on else self._rest())
                self.problem = ""
            except (ConfigError, OSError) as error:  # the folder is being removed, for example
                self._goes_on, self.problem = False, printable(str(error))
                await asyncio.sleep(LOOK)

    def _look(self) -> None:
        """Find out which run is there, and whether it goes on."""
        place = place_of(*self._given)
        if (place.run, list(place.taps)) != (self.place.run, list(self.place.taps)):
            self.place = place
            self.board = self._new_board()
        self.place = place
        self._goes_on = place.folder is None or place.folder.held

    def _new_board(self) -> Board:
        return Board(self.place.name, list(self.place.taps), supervised=False)

    async def _listen(self) -> None:
        """Take in what the services say until the run ends or is another one."""
        place = self.place
        await self._recall()
        if place.folder is not None:  # until they say more, and of one that hangs
            for name, row in self.board.rows.items():
                found = await asyncio.to_thread(saved, place.folder, name)
                row.newest, row.lost = found.frame, found.lost
        with Taps(place.taps, place.run, self._hear, place.keys, place.server) as taps:
            listening = [asyncio.create_task(taps.listen(name)) for name in place.taps]
            try:
                while place.folder is None or (place.folder.held and place.folder.id == place.run):
                    await asyncio.sleep(LOOK)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)

    def _hear(self, name: str, status: Status) -> None:
        if name == IN_PROCESS and name not in self.board.rows:  # on another machine: only now it is known
            self.board = Board(self.place.name, [name], supervised=False)
        if name in self.board.rows:
            self.board.hear(name, status)

    async def _rest(self) -> None:
        """Take in what the checkpoints say; wait until the run goes on or is another one."""
        folder = self.place.folder
        assert folder is not None
        run = self.place.run
        for name in self.board.rows:
            found = await asyncio.to_thread(saved, folder, name)
            self.board.rows[name].rest("finished" if found.finished else "stopped", found.frame, found.lost)
        await self._recall()
        while not folder.held and folder.id == run:
            await asyncio.sleep(LOOK)

    async def _recall(self) -> None:
        """Take in how the run went so far."""
        if self.place.folder is not None:
            curves: Curves = {}
            with suppress(FileNotFoundError):
                curves = await asyncio.to_thread(read, self.place.folder.history)
            in_process = self.place.in_process
            stages = self.place.config.stage
            services = {stage.name: IN_PROCESS if in_process else stage.service_name for stage in stages}
            self.board.recall(curves, services)
