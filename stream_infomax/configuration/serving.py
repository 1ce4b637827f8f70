"""Serving: one service of a configuration as this process. The scripts under services/ call it.

``python -m stream_infomax.configuration.serving --config FILE --service NAME`` is the same, for sinks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream_infomax.configuration.compose import pipeline_of, service_of, sink_of, source_of, take_over
from stream_infomax.configuration.load import Config, load
from stream_infomax.frames.contracts import Pipeline, Sink
from stream_infomax.learning.kernels import compile_used
from stream_infomax.service.process import FromLog, FromSource, Upstream, run
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.settings.printable import log_printably, printable


def serve(description: str) -> int:
    """Be one service of a configuration, which the command line names.

    Parameters
    ----------
    description
        The script's docstring.

    Returns
    -------
    The exit code: 0 finished or asked to stop, 1 a death, 2 where starting again would end the same way.
    """
    log_printably()
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the pipeline's TOML file")
    parser.add_argument("--service", help="which of its services this process is (default: the source)")
    arguments = parser.parse_args()
    name = arguments.service or "source"
    try:
        config = load(arguments.config)
        name = arguments.service or config.source.name
        upstream, stages, sinks = parts_of(config, name)
        service = service_of(config, name)
    except (ValueError, MissingExtraError) as error:
        print(printable(f"{name}: {error}"), file=sys.stderr)
        return 2
    return run(
        service,
        upstream,
        stages,
        sinks,
        compile_kernels=compile_used,
        start=lambda: take_over(config, stages),
    )


def parts_of(config: Config, name: str) -> tuple[Upstream, Pipeline, list[Sink]]:
    """Return where the frames of a service come from, its stages, and its sinks beside its log."""
    if name == config.source.name:
        return FromSource(source_of(config), config.source.pace, config.source.speed), Pipeline([]), []
    if name in config.sinks():
        stages, sinks = Pipeline([]), [sink_of(config, name)]
    else:
        stages, sinks = pipeline_of(config, name), []
    return FromLog(config.addresses(config.upstream_of(name))[0]), stages, sinks


if __name__ == "__main__":
    sys.exit(serve("A sink: keeps or passes on what the last service publishes."))
