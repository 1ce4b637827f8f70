"""Composition: what a configuration describes, as objects. Every service and every in-process run starts here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from stream_infomax.configuration import kinds
from stream_infomax.configuration.load import Config, ConfigError, load, to_builtins
from stream_infomax.configuration.tables import StageTable
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import MissingExtraError

if TYPE_CHECKING:
    from stream_infomax.frames.contracts import Pipeline, Seekable, Stage
    from stream_infomax.service.process import Service

# Keys that neither shape an array nor change a result that is already there.
MAY_CHANGE = ("run.folder", "run.keep", "run.checkpoint_every", "run.record", "pace", "log.*", "half_life", "device")


def source_of(config: Config) -> Seekable:
    """Return the source that `config` describes. Raises ConfigError, with the key, where it cannot be used."""
    table = config.source
    try:
        source: Seekable = kinds.SOURCES.load(table.kind)(name=table.name, **asdict(table.settings))
    except SettingError as error:
        raise ConfigError(str(error.under("source"))) from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"source: {error}") from error
    return source


def stage_of(config: Config, table: StageTable) -> Stage:
    """Return the stage that one of the tables of `config` describes."""
    make = kinds.STAGES.load(table.kind)
    stage: Stage = make(table.name, config.input_of(table), table.carry, **asdict(table.settings))
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


def service_of(config: Config, name: str) -> Service:
    """Return name, addresses and bounds of a service, as its loop wants them."""
    from stream_infomax.service.process import Service

    log = config.log_of(name)
    outlet, tap = config.addresses(name)
    return Service(
        name=name,
        outlet=outlet,
        tap=tap,
        folder=Path(config.run.folder) / name,
        readers=config.readers_of(name),
        policy=config.run.policy,
        log_frames=log.frames,
        log_bytes=int(log.memory),
        checkpoint_every=config.run.checkpoint_every,
        keep=config.run.keep,
        config=to_builtins(config),
        may_change=MAY_CHANGE,
    )


def take_over(config: Config, pipeline: Pipeline) -> None:
    """Give each stage that has a `start` the state that its namesake has there.

    Raises
    ------
    ConfigError
        Where no state of a stage of that name can be read there, or it does not fit.
    """
    from stream_infomax.configuration.start import ACCEPTED, state_at

    tables = {stage.name: stage for stage in config.stage}
    for stage in pipeline.stages:
        start = tables[stage.name].start
        if not start:
            continue
        try:
            state = state_at(start, stage.name)
            try:
                stage.restore(state)
            except (KeyError, ValueError) as error:
                raise SettingError("start", start, ACCEPTED, f"it does not fit: {error}") from error
        except SettingError as error:
            raise ConfigError(str(error.under(f"stage.{stage.name}"))) from error


def serve(description: str, compile_kernels: Callable[[], None] | None = None) -> int:
    """Run the stages of one service as a process: what the scripts under services/ have in common.

    Parameters
    ----------
    description
        The script's docstring.
    compile_kernels
        Called before READY.

    Returns
    -------
    The exit code: 0 finished or asked to stop, 1 a death, 2 where starting again would end the same way.
    """
    from stream_infomax.service.process import run

    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the pipeline's TOML file")
    parser.add_argument("--service", required=True, help="which of its services this process is")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
        pipeline = pipeline_of(config, arguments.service)
        upstream, _ = config.addresses(config.upstream_of(arguments.service))
    except (ValueError, MissingExtraError) as error:
        print(f"{arguments.service}: {error}", file=sys.stderr)
        return 2
    return run(
        pipeline,
        service_of(config, arguments.service),
        upstream,
        compile_kernels=compile_kernels,
        start=lambda: take_over(config, pipeline),
    )
