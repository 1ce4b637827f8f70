"""Text from outside: what is invisible or active is escaped, the rest stays."""

import subprocess
import sys

import pytest

from stream_infomax.settings.printable import printable


@pytest.mark.parametrize("text", ["", "plain [/x] text", "Ünï 文字 ↓ κ", "a\\b"])
def test_what_can_be_read_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\u2028c", "a\\u200bb\\u2028c"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_invisible_or_active_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept_stays() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("text", ["x" * 100, "\x1b" * 100, "\x1b" * 5])
def test_no_more_than_most_characters(text: str) -> None:
    shown = printable(text, most=10)
    assert len(shown) == 10
    assert shown.endswith("…")


def test_warnings_of_modules_are_one_line_each_and_tracebacks_keep_theirs() -> None:
    program = """
import logging
from stream_infomax.settings.printable import log_printably
log_printably()
logging.getLogger("a").warning("%s is broken", "\\x1b[2Ja\\nb.wav")
try:
    raise ValueError("\\x1b[2J")
except ValueError:
    logging.getLogger("a").exception("failed")
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    lines = shown.splitlines()
    assert lines[0] == r"\x1b[2Ja\nb.wav is broken"
    assert lines[1] == "failed"
    assert len(lines) > 3
    assert all(line.isprintable() for line in lines)
