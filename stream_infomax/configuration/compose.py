"""Composition: what a configuration describes, as objects. Every service and every in-process run starts here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from stream_infomax.configuration import kinds
from stream_infomax.configuration.load import Config, ConfigError, to_builtins
from stream_infomax.configuration.tables import RECORDER, Log, StageTable
from stream_infomax.settings.error import SettingError

if TYPE_CHECKING:
    from stream_infomax.frames.contracts import Live, Pipeline, Seekable, Sink, Stage
    from stream_infomax.service.process import Service
    from stream_infomax.transport.keys import Access

# Keys that neither shape an array nor change a result that is already there.
MAY_CHANGE = (
    *("run.folder", "run.keep", "run.checkpoint_every", "run.record", "run.keys", "run.insecure", "run.metrics"),
    *("pace", "source.speed", "log.*", "source.journal.*", "label_bind", "bind"),
    *("stage.*.node", "fleet.workers", "fleet.bind", "fleet.patience"),
    *("half_life", "adapt", "false_alarm_rows", "budget_ms", "device"),
    *("sink.*.path", "sink.*.part", "sink.*.part_seconds", "sink.*.keep", "sink.*.keep_seconds"),
    # Who is connected to which broker, and how.
    *("host", "port", "keepalive", "client_id", "username_from", "password_from", "tls", "queue", "in_flight"),
)


def source_of(config: Config) -> Seekable | Live:
    """Return the source that `config` describes. Raises ConfigError, with the key, where it cannot be used."""
    table = config.source
    try:
        settings = table.settings.placed(Path(config.run.folder).resolve(), table.name)
        source: Seekable | Live = kinds.SOURCES.load(table.kind)(name=table.name, **asdict(settings))
    except SettingError as error:
        raise ConfigError(str(error.under("source"))) from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"source: {error}") from error
    return source


def stage_of(config: Config, table: StageTable) -> Stage:
    """Return the stage that one of the tables of `config` describes."""
    make = kinds.STAGES.load(table.kind)
    place = config.stage.index(table)
    settings = table.settings.settled({one.name: one.settings for one in config.stage[:place]})
    stage: Stage = make(table.name, config.input_of(table), config.carry_of(table), **asdict(settings))
    return stage


def pipeline_of(config: Config, service: str | None = None) -> Pipeline:
    """Return the stages of one service, or of all of them, in a row.

    Raises
    ------
    ConfigError
        Where there is no such service.
    """
    from stream_infomax.frames.contracts import Pipeline

    wanted = config.stage if service is None else config.stages_of(service)
    return Pipeline([stage_of(config, table) for table in wanted], name=service or "pipeline")


def sink_of(config: Config, name: str) -> Sink:
    """Return the sink that runs in the process `name`. Raises ConfigError, with the key, where it cannot be used."""
    folder = Path(config.run.folder) / name
    if name == RECORDER:
        from stream_infomax.sinks.store import FrameStore

        return FrameStore(folder, name)
    table = next(table for table in config.sink if table.service_name == name)
    try:
        sink: Sink = kinds.SINKS.load(table.kind)(name, folder, **asdict(table.settings))
    except SettingError as error:
        raise ConfigError(str(error.under(f"sink.{name}"))) from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"sink.{name}: {error}") from error
    return sink


def service_of(config: Config, name: str) -> Service:
    """Return name, addresses and bounds of a service, as its loop wants them."""
    from stream_infomax.service.process import Service

    log = Log() if name in config.sinks() else config.log_of(name)
    outlet, tap = config.addresses(name)
    return Service(
        name=name,
        outlet=outlet,
        tap=tap,
        control=config.control_of(name),
        labels=config.label_address() if name == config.source.name and is_live(config) else "",
        folder=Path(config.run.folder) / name,
        readers=config.readers_of(name),
        policy=config.run.policy,
        log_frames=log.frames,
        log_bytes=int(log.memory),
        checkpoint_every=checkpoint_every(config, name),
        keep=config.run.keep,
        journal=config.source.journal,
        config=to_builtins(config),
        access=access_of(config),
        may_change=MAY_CHANGE,
    )


def access_of(config: Config) -> Access:
    """Return who gets in. Raises ConfigError where the keys cannot be used."""
    from stream_infomax.transport.keys import Access, KeysError

    try:
        return Access.of(config.run.keys, config.run.insecure)
    except KeysError as error:
        raise ConfigError(f"run.keys = {config.run.keys!r}: {error}") from error


def checkpoint_every(config: Config, name: str) -> int:
    """Return the frames between two checkpoints of a service.

    The log above keeps what two checkpoints are not behind yet: it must not be full before the next one is on disk.
    """
    services = config.services()
    before = services.index(name) - 1 if name in services else len(services) - 1
    if before < 0:
        return config.run.checkpoint_every
    return min(config.run.checkpoint_every, max(1, config.log_of(services[before]).frames // 3))


def is_live(config: Config) -> bool:
    """Return whether the source is of a kind that gives each frame once."""
    return kinds.is_live(config.source.kind, config.source.settings)


def take_over(config: Config, pipeline: Pipeline) -> None:
    """Give each stage that has a `start` the state that its namesake has there.

    Raises
    ------
    ConfigError
        Where no state of a stage of that name can be read there, or it does not fit.
    """
    from stream_infomax.configuration.start import ACCEPTED, state_at
    from stream_infomax.state.error import fitting

    tables = {stage.name: stage for stage in config.stage}
    for stage in pipeline.stages:
        start = tables[stage.name].start
        if not start:
            continue
        try:
            state = state_at(start, stage.name)
            try:
                with fitting("it does not fit"):
                    stage.restore(state)
            except ValueError as error:
                raise SettingError("start", start, ACCEPTED, str(error)) from error
        except SettingError as error:
            raise ConfigError(str(error.under(f"stage.{stage.name}"))) from error
