"""The command line. One command a file; what is heavy is imported where it is used, so that --help is instant."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError

from stream_infomax import __version__
from stream_infomax.cli.check import check
from stream_infomax.cli.probe import probe
from stream_infomax.cli.run import run
from stream_infomax.cli.show import show
from stream_infomax.cli.tap import tap
from stream_infomax.cli.warmup import warmup
from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.settings import RunError
from stream_infomax.settings.extras import MissingExtraError

FAILED = 1
UNUSABLE = 2

app = App(
    name="stream-infomax",
    help="Learn from sensor streams while they run.",
    version=__version__,
    help_format="plaintext",
    # What a command returns is the exit code.
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
for command in (run, show, probe, check, tap, warmup):
    app.command(command)


def main() -> None:
    """Run the command; say in one line what a person has to change."""
    try:
        code = app()
    except (ConfigError, CycloptsError, MissingExtraError) as error:
        print(f"stream-infomax: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(UNUSABLE)
    except RunError as error:
        print(f"stream-infomax: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except BrokenPipeError:  # the reader of a pipe has gone, for example head
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:  # a disk that is full, a place that cannot be written
        print(f"stream-infomax: {error}", file=sys.stderr)
        sys.exit(FAILED)
    sys.exit(code)
