"""Nodes: on which machine each service of a shard runs, where its stages say so."""

from __future__ import annotations

from stream_infomax.configuration.load import Config, ConfigError


def are_placed(config: Config) -> bool:
    """Return whether a stage names a node: then each service of a shard is a process of its own."""
    return any(stage.node for stage in config.stage)


def nodes(config: Config) -> dict[str, str]:
    """Return the node of every service and sink of a pipeline; empty where any will do.

    What names none runs where its input comes from; the source runs where the first stage does.

    Raises
    ------
    ConfigError
        Where stages of one service name different nodes, or a service could not be reached from the next one's node.
    """
    first, *following = config.services()
    found, here = {first: ""}, ""
    for service in following:
        named = {stage.name: stage.node for stage in config.stages_of(service) if stage.node}
        if len(set(named.values())) > 1:
            stage, node = [*named.items()][1]
            raise ConfigError(f"stage.{stage}.node = {node!r}: service {service!r} is one process")
        before, here = here, next(iter(named.values()), here)
        if service == following[0]:
            found[first] = here
        elif here != before:
            _check_reached(config, config.upstream_of(service), before, here)
        found[service] = here
    return found | dict.fromkeys(config.sinks(), here)


def _check_reached(config: Config, service: str, before: str, here: str) -> None:
    """Check that a service on one node can be read from another."""
    if not config.log_of(service).bind:
        raise ConfigError(
            f"stage.{config.stages_of(service)[-1].name}.log.bind: empty, a Unix socket; service {service!r} on node "
            f"{before or 'any'!r} is read on {here!r}, and accepted is an address that is reached from there, for "
            "example tcp://10.0.0.5:5600"
        )
