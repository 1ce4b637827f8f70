"""Text from outside (names of files, streams and segments, labels, messages) as a terminal or a picture may show it."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TypeAlias

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def printable(text: str, most: int | None = None, keep: str = "") -> str:
    r"""Return `text` with everything invisible or active escaped.

    Escaped are control characters (C0 and C1, so no escape sequence, title or line break gets through), formatting
    characters such as bidirectional overrides and zero-width joiners, lone surrogates, and unassigned code points.

    Parameters
    ----------
    text
        Anything.
    most
        The most characters to return; what is longer ends in an ellipsis.
    keep
        Characters that stay as they are, for example a line break.

    Examples
    --------
    >>> printable("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    >>> printable("Ünïcode stays", most=8)
    'Ünïcode…'
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    shown = "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
    return shown if most is None or len(shown) <= most else shown[: most - 1] + "…"


def as_json(value: Any) -> str:
    """Return a value as JSON in which everything that is no plain ASCII is escaped: a terminal may show it."""
    import msgspec

    return json.dumps(msgspec.to_builtins(value, str_keys=True))


class _Printable(logging.Formatter):
    """A message on one line; line breaks stay in tracebacks only."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: _Raised) -> str:
        return printable(super().formatException(ei), keep="\n")


def log_printably() -> None:
    """Send warnings of all modules, and what this package has to say, to stderr, as text that a terminal can show."""
    sys.excepthook = _tell_printably
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("stream_infomax").setLevel(logging.INFO)


def _tell_printably(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Tell of an error that nobody has caught; its text may be from outside."""
    print(printable("".join(traceback.format_exception(kind, error, where)), keep="\n"), end="", file=sys.stderr)
