"""Service: one service of a shard as this process, where stages name the nodes that they run on.

``python -m stream_infomax.fleet.service --config RUN/pipeline.toml --shard 0 --service NAME``. Prints READY, FINISHED
and exits as every service. What came of the shard is noted by whichever of its services ends last.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stream_infomax.configuration.compose import service_of, take_over
from stream_infomax.configuration.load import Config, load
from stream_infomax.configuration.serving import parts_of
from stream_infomax.fleet.layout import Shard, shards
from stream_infomax.fleet.worker import chosen, finish, joining
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.learning.kernels import compile_used
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.summary import is_over
from stream_infomax.service.process import run
from stream_infomax.settings.printable import log_printably, printable
from stream_infomax.stages.learner import LearnerStage

# Seconds that a service waits for another one of its shard that notes what came of it.
PATIENCE = 60.0


def serve(config: Config, every: Sequence[Shard], shard: Shard, name: str) -> int:
    """Be a service of a shard until its stream ends or a signal comes; return the exit code."""
    folder = RunFolder(Path(shard.config.run.folder))
    upstream, stages, sinks = parts_of(shard.config, name)
    code = run(
        replace(service_of(shard.config, name), run=folder.id),
        upstream,
        stages,
        sinks,
        compile_kernels=compile_used,
        start=lambda: take_over(shard.config, stages),
        joining=joining(config, every, shard) if _learns(stages) else None,
    )
    if code == 0:
        _note_end(shard, folder)
    return code


def _learns(stages: Pipeline) -> bool:
    return any(isinstance(stage, LearnerStage) for stage in stages.stages)


def _note_end(shard: Shard, folder: RunFolder) -> None:
    """Note what came of a shard, if all its services have finished and nobody else has done so."""
    until = time.monotonic() + PATIENCE
    while is_over(shard.config, folder, in_process=False) and folder.summary() is None:
        try:
            with folder.lock():
                if folder.summary() is None:
                    finish(shard, folder)
        except ValueError:  # another one is at it
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def main() -> int:
    """Be the service that the command line names; return the exit code."""
    log_printably()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, type=Path, help="the fleet's pipeline")
    parser.add_argument("--shard", required=True, help="number of the shard")
    parser.add_argument("--service", required=True, help="which of its services")
    given = parser.parse_args()
    try:
        config = load(given.config)
        every = shards(config)
        (shard,) = chosen(every, given.shard)
        return serve(config, every, shard, given.service)
    except (ValueError, OSError) as error:
        print(printable(f"{given.shard}-{given.service}: {error}"), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
