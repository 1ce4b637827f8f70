"""The metrics of a run: the address where they are served, and what is served there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stream_infomax.configuration.compose import checkpoint_every
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.standing import saved
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.host_port import host_and_port
from stream_infomax.watch.health import live, ready
from stream_infomax.watch.http import Server
from stream_infomax.watch.tally import Layout, Tally


@contextmanager
def served(config: Config) -> Iterator[Server | None]:
    """Hold the address that `config` gives to the metrics, while the block lasts; None where it gives none.

    Raises
    ------
    ConfigError
        Where the address cannot be had.
    """
    if not config.run.metrics:
        yield None
        return
    try:
        server = Server(*host_and_port(config.run.metrics))
    except OSError as error:
        problem = error.strerror or str(error)
        accepted = "another address, or the port of a run that has ended"
        raise ConfigError(str(SettingError("run.metrics", config.run.metrics, accepted, problem.lower()))) from error
    with server:
        yield server


def serve(server: Server, config: Config, folder: RunFolder, in_process: bool) -> Tally:
    """Serve metrics and health of a run from now on; return who is to be told of it."""
    from stream_infomax.watch.metrics import Exposition

    layout = layout_of(config, folder, in_process)
    found = {name: saved(folder, name) for name in layout.upstream}
    tally = Tally(layout, {name: (one.lost, one.ledger) for name, one in found.items() if one.from_ == "checkpoint"})
    metrics = Exposition(tally)
    server.pages = {
        "/metrics": metrics.page,
        "/livez": lambda: live(tally),
        "/healthz": lambda: live(tally),
        "/readyz": lambda: ready(tally),
    }
    print(f"metrics: {server.url}/metrics", flush=True)
    return tally


def layout_of(config: Config, folder: RunFolder, in_process: bool) -> Layout:
    """Return what a run is made of."""
    from stream_infomax.stages.learner_settings import LearnerSettings

    services, sinks = config.services(), config.sinks()
    upstream = {name: config.upstream_of(name) if name != services[0] else "" for name in (*services, *sinks)}
    every = {name: checkpoint_every(config, name) for name in upstream}
    stages = {stage.name: stage.settings for stage in config.stage}
    learning = {name for name, one in stages.items() if isinstance(one, LearnerSettings) and one.learn}
    return Layout(
        run=folder.id,
        folder=folder.path,
        upstream={IN_PROCESS: ""} if in_process else upstream,
        names=frozenset({*upstream, *stages, IN_PROCESS}),
        learning=frozenset(learning),
        pausing=frozenset(name for name, one in stages.items() if getattr(one, "learn", False)),
        checkpoint_every={IN_PROCESS: config.run.checkpoint_every} if in_process else every,
    )
