"""Archive: what a coordinator keeps on disk, so that every answer is the same when it is given again.

rounds.jsonl        a line for each round: what was merged into it
rounds/NNNNNN.safetensors
                    what all learners went on from in it
rounds/guests.json  with which round each guest went on
rounds.lock         held by the one coordinator
rounds.address      where the coordinator is
fleet.id            the id of the fleet
basis.safetensors   what all have learnt, once the streams are over
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from stream_infomax.fleet.names import ADDRESS, BASIS, LINES, ROUNDS
from stream_infomax.learning.infomax.exchange import Shared
from stream_infomax.state.error import StateFileError
from stream_infomax.state.file import replacing
from stream_infomax.state.lock import HeldError, exclusive, open_lock
from stream_infomax.state.numbered import numbered
from stream_infomax.transport.sockets import RefusedError

SHARED = re.compile(r"([0-9]+)\.safetensors")
ID = re.compile(r"[0-9a-f]{16}")


class Merged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of rounds.jsonl: how a round came about.

    Attributes
    ----------
    number
        Of the round.
    digest
        Of what all went on from in it.
    rows, learners, agreement
        As of `Shared`.
    parts
        Rows that were merged into it, by member.
    bases, digests
        With which round each of these began, and the digest of what was handed in.
    late
        Members that it did not wait for.
    discount
        What the filters of a member counted for that began with an older round; 1 for all others.
    done
        Members whose stream is over.
    since
        The rounds that shards may have to begin with once more.
    refused
        What was refused until then, by reason.
    seconds
        That merging took.
    """

    number: int
    digest: str
    rows: float
    learners: int
    agreement: float
    parts: dict[str, int]
    bases: dict[str, int]
    digests: dict[str, str]
    late: list[str] = []
    discount: dict[str, float] = {}
    done: list[str] = []
    since: dict[str, int] = {}
    refused: dict[str, int] = {}
    seconds: float = 0.0


class Archive:
    """The rounds of a fleet in its run folder.

    Parameters
    ----------
    run
        The run folder of the fleet.

    Attributes
    ----------
    fleet
        The id of the fleet.
    lines
        Of all rounds.

    Raises
    ------
    StateFileError
        Where what is there is damaged.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / ROUNDS
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fleet = self._fleet()
        self.lines = self._read()
        for number, path in numbered(self.folder, SHARED):
            if number > self.newest:  # nobody was told of it
                path.unlink(missing_ok=True)
        self._known: dict[int, Shared] = {}

    @property
    def newest(self) -> int:
        """The number of the newest round; -1 before the first."""
        return len(self.lines) - 1

    def path(self, number: int) -> Path:
        """Return where what all went on from in a round is."""
        return self.folder / f"{number:06}.safetensors"

    def holds(self, number: int) -> bool:
        """Whether a round is still there."""
        return self.path(number).is_file()

    def content(self, number: int) -> bytes:
        """Return the bytes of a round. Raises StateFileError where they cannot be read."""
        try:
            return self.path(number).read_bytes()
        except OSError as error:
            raise StateFileError(f"{self.path(number)}: not readable: {error}") from error

    def shared(self, number: int) -> Shared:
        """Return what all went on from in a round. Raises StateFileError where it is not the one that was merged."""
        if number not in self._known:
            found = Shared.load(self.path(number))
            if found.digest != self.lines[number].digest:
                raise StateFileError(f"{self.path(number)}: another one than {self.run / LINES} says: damaged")
            self._known[number] = found
            if len(self._known) > 2:
                del self._known[min(self._known)]
        return self._known[number]

    def keep(self, shared: Shared, line: Merged) -> None:
        """Have a round on disk, before anybody hears of it. Raises StateFileError where the disk does not take it."""
        shared.save(self.path(line.number))
        path = self.run / LINES
        content = msgspec.json.encode(line) + b"\n"
        try:
            with path.open("ab") as file:
                before = file.tell()
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file.fileno(), before)
                    raise
        except OSError as error:
            raise StateFileError(f"{path}: not written: {error.strerror}") from error
        self.lines.append(line)
        self._known[line.number] = shared

    def prune(self, least: int, kept: set[int]) -> None:
        """Forget the rounds below `least`, but not those in `kept`."""
        for number, path in numbered(self.folder, SHARED):
            if number < least and number not in kept and number != self.newest:
                path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Write what all have learnt."""
        with replacing(self.run / BASIS) as file:
            file.write(self.content(self.newest))

    def guests(self) -> dict[str, int]:
        """Return with which round each guest went on."""
        path = self.folder / "guests.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, int]) if path.exists() else {}
        except (OSError, msgspec.DecodeError) as error:
            raise StateFileError(f"{path}: not readable: {error}") from error

    def keep_guests(self, guests: dict[str, int]) -> None:
        """Write with which round each guest went on."""
        with replacing(self.folder / "guests.json") as file:
            file.write(msgspec.json.encode(guests))

    def publish(self, address: str) -> None:
        """Write where the coordinator is."""
        with replacing(self.run / ADDRESS) as file:
            file.write(f"{address}\n".encode())

    def _fleet(self) -> str:
        """Return the id of the fleet, made at its first start."""
        path = self.run / "fleet.id"
        if not path.exists():
            with replacing(path) as file:
                file.write(f"{secrets.token_hex(8)}\n".encode())
        found = path.read_text("ascii", "replace").strip()
        if not ID.fullmatch(found):
            raise StateFileError(f"{path}: {found[:32]!r} is no id of a fleet; accepted are 16 hexadecimal digits")
        return found

    def _read(self) -> list[Merged]:
        """Return the lines that are there; one that was cut off in the middle was never answered, and goes."""
        path = self.run / LINES
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        lines = []
        for number, text in enumerate(content[:whole].splitlines()):
            try:
                line = msgspec.json.decode(text, type=Merged)
            except msgspec.DecodeError as error:
                raise StateFileError(f"{path}: line {number + 1} is not readable: {error}") from error
            if line.number != number:
                raise StateFileError(f"{path}: line {number + 1} is of round {line.number}: damaged")
            lines.append(line)
        return lines


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the rounds of a fleet for this process.

    Raises
    ------
    RefusedError
        Where another coordinator has them; names its process.
    """
    run.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(open_lock(run / "rounds.lock")))
        except HeldError as error:
            raise RefusedError(f"{run}: this fleet has a coordinator, process {error.holder}") from error
        yield
