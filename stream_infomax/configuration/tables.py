"""The tables of a configuration, as typed records: what holds for a run, and for every source, stage and sink.

The settings of a kind stand beside its class; `settings` of a table holds their record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from stream_infomax.journal.settings import JournalSettings
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.host_port import host_and_port
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings
from stream_infomax.settings.sink import SinkSettings
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import (
    Doc,
    Insecure,
    KeysFolder,
    Name,
    NameOrNothing,
    NotNegative,
    NotNegativeFloat,
    Positive,
    PositiveFloat,
    SeedNumber,
)

# Stands for the number of the shard, in texts of a fleet's configuration.
SHARD = "{shard}"
# The sink that keeps what is published, for ``--save-features``.
RECORDER = "recorder"


class Log(Settings, frozen=True, kw_only=True):
    """A service's output log: its bounds, and the addresses where it is served."""

    frames: Annotated[Positive, Doc("Frames that it holds at most.")] = 1024
    memory: Annotated[Memory, Doc("What its frames take at most.")] = Memory("64 MiB")
    bind: Annotated[
        str, Doc("Address of the outlet, for example `tcp://127.0.0.1:5600`; empty: a Unix socket in the run folder.")
    ] = ""
    tap: Annotated[str, Doc("Address of the tap; empty: a Unix socket in the run folder.")] = ""
    control: Annotated[
        str, Doc("Address where its service takes commands; empty: a Unix socket in the run folder.")
    ] = ""

    def __post_init__(self) -> None:
        if not self.memory:
            raise SettingError("memory", self.memory, "more than 0 B")
        for key, address in (("bind", self.bind), ("tap", self.tap), ("control", self.control)):
            port = address.rpartition(":")[2].replace(SHARD, "00")
            if address.startswith("tcp://") and port != "*" and not (port.isdecimal() and 1 <= int(port) <= 65535):
                raise SettingError(key, address, "a port from 1 to 65535, or *")


class Run(Settings, frozen=True, kw_only=True):
    """What holds for the whole run."""

    folder: Annotated[str, Doc("The folder of everything that the run writes.")]
    seed: Annotated[SeedNumber, Doc("Of every random choice of every source and stage.")] = 0
    policy: Annotated[
        Literal["wait", "drop-oldest"],
        Doc("What a full log does: make its source or stage wait, or drop its oldest frames and count them."),
    ] = "wait"
    checkpoint_every: Annotated[
        Positive,
        Doc(
            "Frames between two checkpoints; frames and not seconds, which makes a run repeatable. At most a third of "
            "what the log above holds: it keeps what comes after the second newest checkpoint."
        ),
    ] = 512
    keep: Annotated[Positive, Doc("Checkpoints that each service keeps.")] = 3
    record: Annotated[
        bool,
        Doc(
            "Whether the arrays of all stages but windows are passed on to the end and kept in the run folder, as with "
            "`--save-features`."
        ),
    ] = False

    keys: KeysFolder = ""
    insecure: Insecure = False
    metrics: Annotated[
        str,
        Doc(
            "Where `run`, `record` and a small box serve `/metrics` (for Prometheus), `/livez` and `/readyz`, for "
            "example `127.0.0.1:9464`; empty: nowhere."
        ),
    ] = ""

    def __post_init__(self) -> None:
        if not self.folder:
            raise SettingError("folder", self.folder, "a path", "empty")
        if self.metrics:
            try:
                host_and_port(self.metrics)
            except ValueError as error:
                raise SettingError("metrics", self.metrics, str(error)) from None

    def needs(self) -> tuple[str, ...]:
        """Return the packages that it needs."""
        return ("prometheus_client",) if self.metrics else ()


class Fleet(Settings, frozen=True, kw_only=True):
    """How a fleet runs the pipeline: on shards of the data at once, whose learners learn one basis."""

    workers: Annotated[Positive, Doc("Processes that the shards are divided among. They change no bit.")] = 1
    shards: Annotated[NotNegative, Doc("Parts of the data, each with a learner; 0: as many as workers.")] = 0
    round: Annotated[
        NotNegative,
        Doc("Rows that each learner learns between two merges; 0: merged when 5 % more rows have come in all."),
    ] = 0
    bind: Annotated[
        str,
        Doc(
            "Address where the learners hand in what they learnt, for example `tcp://*:5700`; empty: a Unix socket in "
            "the run folder."
        ),
    ] = ""
    patience: Annotated[
        NotNegativeFloat,
        Doc("Seconds after the first delta of a round until it is merged without those that are missing; 0: never."),
    ] = 0.0


class Table(Settings, frozen=True, kw_only=True):
    """What a source, a stage and a sink have: a kind and the settings of that kind."""

    kind: Annotated[str, Doc("Which kind it is; each has keys of its own.")]
    settings: Settings


class SourceTable(Table, frozen=True, kw_only=True):
    """What every source has."""

    name: Annotated[Name, Doc("Name of its service, its stream and its array.")] = "source"
    pace: Annotated[
        Literal["fast", "live"],
        Doc("`fast`: as fast as its readers are. `live`: at the rate at which the data were recorded."),
    ] = "fast"
    speed: Annotated[PositiveFloat, Doc('With `pace = "live"`: how many times as fast as they were recorded.')] = 1.0
    label_bind: Annotated[
        str,
        Doc(
            "Address where labels from outside come to, for a source that is live; empty: a Unix socket in the run "
            "folder."
        ),
    ] = ""
    journal: Annotated[JournalSettings, Doc("What a live source accepts, on disk.")] = JournalSettings()
    log: Annotated[Log, Doc("Its output log.")] = Log()

    def needs(self) -> tuple[str, ...]:
        """Return the packages of the journal; `settings` says its own."""
        return self.journal.needs()


class StageTable(Table, frozen=True, kw_only=True):
    """What every stage has."""

    settings: StageSettings
    name: Annotated[Name, Doc("Name of the stage and of the array that it adds.")]
    service: Annotated[
        NameOrNothing,
        Doc("Stages with the same service share a process; empty: one of its own, called like the stage."),
    ] = ""
    node: Annotated[
        NameOrNothing,
        Doc("In a fleet, the node that its service runs on: a Ray resource of that name; empty: any."),
    ] = ""
    input: Annotated[str, Doc("The array that it reads; empty: that of the stage before it.")] = ""
    carry: Annotated[tuple[str, ...], Doc("Arrays of the incoming frame that are passed on.")] = ()
    log: Annotated[Log, Doc("The output log of its service; that of the service's last stage counts.")] = Log()
    start: Annotated[
        str,
        Doc(
            "State of this stage that a fresh run begins with: a checkpoint, a service's folder or a run's folder, of "
            "which the newest checkpoint is taken."
        ),
    ] = ""

    @property
    def service_name(self) -> str:
        """The process that this stage runs in."""
        return self.service or self.name


class SinkTable(Table, frozen=True, kw_only=True):
    """What every sink has. Each is a process of its own that reads what the last service publishes."""

    name: Annotated[NameOrNothing, Doc("Name of its process and of its folder in the run folder; empty: its kind.")] = (
        ""
    )

    @property
    def service_name(self) -> str:
        """The process that this sink runs in."""
        return self.name or self.kind


class Config(Settings, frozen=True, kw_only=True):
    """One pipeline."""

    run: Run
    source: SourceTable
    stage: tuple[StageTable, ...] = ()
    sink: tuple[SinkTable, ...] = ()
    fleet: Fleet | None = None

    def services(self) -> list[str]:
        """Return the names of the processes in the order of the data, the source's first."""
        return list(dict.fromkeys([self.source.name, *(stage.service_name for stage in self.stage)]))

    def sinks(self) -> list[str]:
        """Return the names of the sinks' processes, which all read the last service."""
        return [*([RECORDER] if self.run.record else []), *(sink.service_name for sink in self.sink)]

    def stages_of(self, service: str) -> tuple[StageTable, ...]:
        """Return the stages that run in `service`. Raises ConfigError where there is no such service."""
        stages = tuple(stage for stage in self.stage if stage.service_name == service)
        if not stages:
            raise ConfigError(f"no service {service!r}; there are {self.services()[1:]}")
        return stages

    def carry_of(self, stage: StageTable) -> tuple[str, ...]:
        """Return what a stage passes on: what its table lists, and what is kept of source and stages before it."""
        before = self.stage[: self.stage.index(stage)]
        made = [self.source.name, *(name for other in before for name in other.settings.adds(other.name))]
        return tuple(dict.fromkeys([*stage.carry, *(name for name in self.wanted() if name in made)]))

    def wanted(self) -> list[str]:
        """Return the arrays that are passed on to the end: those that are recorded, and those that a sink keeps."""
        kept = [name for stage in self.stage for name in stage.settings.kept(stage.name)]
        settings = [sink.settings for sink in self.sink]
        wanted = [name for one in settings if isinstance(one, SinkSettings) for name in one.wants(kept)]
        return list(dict.fromkeys([*(kept if self.run.record else ()), *wanted]))

    def input_of(self, stage: StageTable) -> str:
        """Return the name of the array that a stage reads."""
        chain = [self.source.name, *(stage.name for stage in self.stage)]
        return stage.input or chain[self.stage.index(stage)]

    def log_of(self, service: str) -> Log:
        """Return the log of `service`: that of its last stage."""
        return self.source.log if service == self.source.name else self.stages_of(service)[-1].log

    def addresses(self, service: str) -> tuple[str, str]:
        """Return the addresses of the outlet and of the tap of `service`; a sink has no outlet."""
        folder = Path(self.run.folder).resolve()
        if service in self.sinks():
            return "", f"ipc://{folder}/{service}.tap"
        log = self.log_of(service)
        return (
            log.bind or f"ipc://{folder}/{service}.outlet",
            log.tap or f"ipc://{folder}/{service}.tap",
        )

    def control_of(self, service: str) -> str:
        """Return where a service takes commands; a sink takes none."""
        if service in self.sinks():
            return ""
        return self.log_of(service).control or f"ipc://{Path(self.run.folder).resolve()}/{service}.control"

    def label_address(self) -> str:
        """Return where labels of a live source come to."""
        return self.source.label_bind or f"ipc://{Path(self.run.folder).resolve()}/{self.source.name}.labels"

    def readers_of(self, service: str) -> tuple[str, ...]:
        """Return the names under which the log of `service` is read: the next service, or the sinks."""
        if service in self.sinks():
            return ()
        services = self.services()
        following = services[services.index(service) + 1 :]
        return tuple(following[:1] or self.sinks())

    def upstream_of(self, service: str) -> str:
        """Return the service that `service` reads from."""
        services = self.services()
        return services[-1] if service in self.sinks() else services[services.index(service) - 1]


class ConfigError(ValueError):
    """A configuration that cannot be used: names the key, the value and what would be accepted."""
