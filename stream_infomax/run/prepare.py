"""What is done before the services start, in a process of its own: source and stages are tried, kernels compiled.

``python -m stream_infomax.run.prepare CONFIG``. One line on stderr and exit code 2 where the configuration cannot be
used. Kernels are compiled here, once: several services that write numba's cache at once get in each other's way.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from threading import Timer

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import Config, load
from stream_infomax.configuration.survey import survey
from stream_infomax.frames.contracts import Seekable
from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.service.parent import end_with_parent
from stream_infomax.settings.printable import log_printably, printable
from stream_infomax.state.error import fitting

log = logging.getLogger(__name__)

# Seconds that reading the compiled kernels takes at most; after that a person is told what takes so long.
USUAL_WARMUP = 4.0


def main(path: Path) -> int:
    """Try what the configuration in `path` describes; return the exit code."""
    end_with_parent()
    log_printably()
    try:
        try_out(load(path))
    except (ValueError, OSError, MemoryError) as error:
        print(printable(" ".join(str(error).split())), file=sys.stderr)
        return 2
    if "numba" in sys.modules:  # not where rows are only encoded
        compile_all()
    return 0


def try_out(config: Config) -> None:
    """Make the source, as the run that is resumed had it, and the stages. Raises ValueError or OSError."""
    folder = Path(config.run.folder) / config.source.name
    saved = Checkpoints(folder).latest() if folder.is_dir() else None
    if saved is None:
        for name, outline in survey(config).items():
            if outline is not None and outline.warning:
                log.warning("%s: %s", name, outline.warning)
    elif isinstance(source := source_of(config), Seekable):
        with fitting(f"the checkpoint in {folder}"):
            source.restore(saved.source)
    pipeline_of(config)


def compile_all() -> None:
    """Compile what no run has compiled yet; say so where it takes long."""
    from stream_infomax.learning.infomax import kernels as infomax
    from stream_infomax.learning.kernels import compile_kernels
    from stream_infomax.learning.measures import kernels as measures

    def tell() -> None:
        kernels = (*vars(infomax).values(), *vars(measures).values())
        if any(kernel.stats.cache_misses for kernel in kernels if hasattr(kernel, "stats")):
            print("compiling the kernels, once for this machine …", flush=True)

    timer = Timer(USUAL_WARMUP, tell)
    timer.start()
    try:
        compile_kernels()
    finally:
        timer.cancel()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
