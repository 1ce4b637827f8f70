"""A run in one process: the same loop over source, stages and sinks, the same features to the last bit."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from stream_infomax.configuration.compose import pipeline_of, service_of, sink_of, source_of, take_over
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.learning.kernels import compile_used
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.service.loop import Loop
from stream_infomax.service.process import FromSource, opened
from stream_infomax.service.signals import Signals
from stream_infomax.transport.messages import Status
from stream_infomax.transport.observer import Observer

if TYPE_CHECKING:
    from stream_infomax.service.rounds import Joining
    from stream_infomax.watch.monitor import Monitor


class _Shown(Observer):
    """The monitor of a run as an observer of its loop."""

    def __init__(self, watch: Monitor) -> None:
        self._watch = watch

    def status(self, status: Status) -> None:
        """Show how it stands."""
        self._watch.update(IN_PROCESS, status)
        self._watch.refresh()


def run(config: Config, folder: RunFolder, watch: Monitor, joining: Joining | None = None) -> bool:
    """Run source, stages and sinks here, with `joining` together with others.

    Returns
    -------
    Whether the source came to its end; False where a signal stopped it.

    Raises
    ------
    ConfigError
        Where source, stages and sinks cannot be made, or do not fit the checkpoint.
    RunError
        Where a stage cannot go on.
    """
    from stream_infomax.run.settings import RunError

    with ExitStack() as stack:
        signals = stack.enter_context(closing(Signals()))
        try:
            loop = stack.enter_context(whole(config, folder, signals, _Shown(watch), joining=joining))
        except (ValueError, OSError) as error:
            raise ConfigError(str(error)) from error
        if watch.tally:
            watch.tally.pids = lambda: {IN_PROCESS: os.getpid()}
        watch.change(IN_PROCESS, "running", 0)
        try:
            finished = loop.run()
        except ValueError as error:
            watch.change(IN_PROCESS, "failed", 0)
            raise RunError(str(error)) from error
        watch.change(IN_PROCESS, "finished" if finished else "stopped", 0)
    return finished


@contextmanager
def whole(
    config: Config, folder: RunFolder, signals: Signals, *beside: Observer, joining: Joining | None = None
) -> Iterator[Loop]:
    """Give the loop over source, stages and sinks, set to the newest checkpoint.

    Parameters
    ----------
    beside
        Who watches beside the tap, which is that of the last service.
    joining
        How it learns with others; None: it learns alone.
    """
    pipeline = pipeline_of(config)
    last = service_of(config, config.services()[-1])
    source = service_of(config, config.source.name)
    service = replace(
        source,
        name=IN_PROCESS,
        outlet="",
        tap=last.tap,
        control=last.control,
        readers=(),
        run=folder.id,
        folder=folder.path / IN_PROCESS,
    )
    compile_used()
    with opened(
        service,
        FromSource(source_of(config), config.source.pace, config.source.speed),
        pipeline,
        [sink_of(config, name) for name in config.sinks()],
        signals,
        beside=beside,
        start=lambda: take_over(config, pipeline),
        joining=joining,
    ) as loop:
        gc.collect()
        gc.freeze()  # what is there now stays
        yield loop
