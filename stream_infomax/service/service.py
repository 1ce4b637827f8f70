"""Service: what one process of a pipeline is called, where it is had and how much it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_infomax.journal.settings import JournalSettings
from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.log import Policy


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a service is called, where it is had, and how much it keeps.

    Attributes
    ----------
    name
        Its name: what it reads under, and the first word after READY.
    outlet, tap
        The addresses to bind; an empty outlet for a service that publishes nothing and has other sinks, an empty tap
        where nobody watches.
    control
        The address where commands come to; empty: none come.
    labels
        The address where labels of a live source come to; empty: none come.
    folder
        Where its checkpoints lie, nobody else's.
    readers
        The names of the services (and collectors) that read its log and must commit; none: the log keeps nothing.
    policy
        What a full log does.
    log_frames, log_bytes
        The log's bounds.
    checkpoint_every
        Frames between checkpoints.
    keep
        Checkpoints kept.
    config
        Plain values that a checkpoint stores; a restart under other values is refused, by naming the key.
    journal
        Whether, and how, a live source keeps a journal.
    access
        Who gets in at addresses that others can reach; its keys are shown to other services, too.
    run
        Id of the run that it belongs to; empty: that of its process.
    may_change
        Patterns of keys that may differ all the same: see `checkpoint.differences`.
    """

    name: str
    outlet: str
    tap: str
    folder: Path
    control: str = ""
    labels: str = ""
    readers: tuple[str, ...] = ()
    policy: Policy = "wait"
    log_frames: int = 1024
    log_bytes: int = 64 << 20
    checkpoint_every: int = 512
    keep: int = 3
    config: Mapping[str, Any] = field(default_factory=dict)
    journal: JournalSettings = field(default_factory=JournalSettings)
    access: Access = LOCAL
    run: str = ""
    may_change: tuple[str, ...] = ()
