"""The command line. One command a file; what is heavy is imported where it is used: --help is instant."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

from cyclopts import App, CoercionError, CycloptsError, Parameter, UnusedCliTokensError

from stream_infomax import __version__
from stream_infomax.cli.check import check
from stream_infomax.cli.conform import conform
from stream_infomax.cli.control import control
from stream_infomax.cli.devices import devices
from stream_infomax.cli.diff import diff
from stream_infomax.cli.doctor import doctor
from stream_infomax.cli.encode import encode
from stream_infomax.cli.export import export
from stream_infomax.cli.fleet import fleet
from stream_infomax.cli.init import init
from stream_infomax.cli.join import join
from stream_infomax.cli.keys import keys
from stream_infomax.cli.label import label
from stream_infomax.cli.page import page
from stream_infomax.cli.probe import probe
from stream_infomax.cli.record import record
from stream_infomax.cli.replay import replay
from stream_infomax.cli.run import run
from stream_infomax.cli.schema import schema
from stream_infomax.cli.show import show
from stream_infomax.cli.status import status
from stream_infomax.cli.tap import tap
from stream_infomax.cli.top import top
from stream_infomax.cli.verify import verify
from stream_infomax.cli.warmup import warmup
from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.settings import RunError
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.settings.printable import log_printably, printable
from stream_infomax.state.error import StateFileError

FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130
# What a stream or a file raises that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

app = App(
    name="stream-infomax",
    help="Learn from sensor streams while they run.",
    version=__version__,
    help_format="markdown",
    # What a command returns is the exit code.
    result_action="return_value",
    # Nearly all are off, empty or none; where one says more, its parameter shows it.
    default_parameter=Parameter(show_default=False),
    exit_on_error=False,
    print_error=False,
)
for command in (
    *(run, fleet, join, page, top, status, record, replay, verify, diff, encode, export, show, probe),
    *(check, devices, init, schema, conform, tap, label, control, keys, doctor, warmup),
):
    app.command(command)


def main() -> None:
    """Run the command; say in one line what a person has to change."""
    _open_closed_streams()
    _speak_utf8()
    log_printably()
    try:
        code = app()
        sys.stdout.flush()
    except (UnusedCliTokensError, CoercionError) as error:
        code = _say(misunderstood(error), UNUSABLE)
    except (ConfigError, CycloptsError, MissingExtraError) as error:
        code = _say(" ".join(str(error).split()), UNUSABLE)
    except RunError as error:
        code = _say(str(error), UNUSABLE if error.useless else FAILED)
    except BrokenPipeError:  # the reader of a pipe has gone, for example head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except StateFileError as error:
        code = _say(str(error), FAILED)
    except OSError as error:  # a disk that is full, a place that cannot be written
        unnamed = error.errno in FULL and not error.filename  # all that is written to a file names it
        code = _say(f"standard output: {error.strerror}" if unnamed else str(error), FAILED)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def misunderstood(error: UnusedCliTokensError | CoercionError) -> str:
    """Return what is wrong with arguments, in our words."""
    if isinstance(error, UnusedCliTokensError):
        return f"{' '.join(error.unused_tokens or ())!r}: no argument or option takes this; --help says what there is"
    words = {int: "a whole number", float: "a number"}
    if error.token is None or error.target_type not in words:
        return " ".join(str(error).split())
    name = error.token.keyword or (error.argument.name if error.argument else "")
    return f"{name} {error.token.value!r}: accepted is {words[error.target_type]}"


def _speak_utf8() -> None:
    """Have paths and texts as UTF-8 whatever the locale is, and no text that a stream cannot take.

    Python settles the encoding of paths when it starts; so it is started again.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_closed_streams() -> None:
    """Have something behind standard input, output and errors, or the next file that is opened would be one of them."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def _say(text: str, code: int) -> int:
    with suppress(OSError):  # the terminal is closed
        print(f"stream-infomax: {printable(text, keep=chr(10))}", file=sys.stderr)
    return code
