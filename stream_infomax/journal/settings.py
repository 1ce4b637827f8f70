"""JournalSettings: whether a live source keeps a journal, and how much of it."""

from __future__ import annotations

from typing import Annotated, Literal

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings
from stream_infomax.settings.types import Doc, NotNegativeFloat

# The folder of a journal in that of its source.
JOURNAL = "journal"


class JournalSettings(Settings, frozen=True, kw_only=True):
    """What a live source accepts, as MCAP files in the run folder, written before it is published."""

    enabled: Annotated[
        bool,
        Doc("Whether a live source keeps one (with mcap). Off by default: it writes down all that is heard or seen."),
    ] = False
    flush_seconds: Annotated[
        NotNegativeFloat,
        Doc(
            "Seconds after which what was written is on the disk, whatever happens to the machine; 0: before each "
            "frame is published. A process that dies loses nothing that it wrote."
        ),
    ] = 1.0
    part: Annotated[
        Memory,
        Doc(
            "Bytes with which a file is complete and the next begins; so much, and the memory of the source's log, "
            "stays free on the disk."
        ),
    ] = Memory("64 MiB")
    keep: Annotated[
        Memory,
        Doc(
            "What the files take at most: the oldest are removed, but none that a reader has not committed; 0: none is "
            "for its size."
        ),
    ] = Memory("1 GiB")
    keep_seconds: Annotated[
        NotNegativeFloat,
        Doc(
            "Files are removed of which the newest frame came so many seconds ago, but none that a reader has not "
            "committed; 0: none is for its age."
        ),
    ] = 0.0
    on_full: Annotated[
        Literal["stop", "drop"],
        Doc("Where the disk is full: `stop` accepts nothing until there is room; `drop` goes on without a journal."),
    ] = "stop"

    def __post_init__(self) -> None:
        if not self.part:
            raise SettingError("part", self.part, "more than 0 B")

    def needs(self) -> tuple[str, ...]:
        """Return the package that writes the files."""
        return ("mcap",) if self.enabled else ()
