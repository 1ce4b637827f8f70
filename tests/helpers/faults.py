"""What goes wrong, what is seen of it, what is lost and what to do: a record for each fault that a test makes.

The table of docs/operations.md is made of them by ``python -m faults``, which runs the tests.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

BEGIN = "<!-- made by python -m faults -->"
END = "<!-- to here -->"


@dataclass(frozen=True)
class Fault:
    """A row of the table; what stands between backticks in `seen` is there to be read, word by word."""

    what: str
    seen: str
    lost: str = "nothing"
    do: str = "nothing"
    code: str = "0"


FAULTS = {
    # Processes.
    "killed": Fault("a service is killed, crashes, or runs out of memory", "`restarting (restart 1)`"),
    "asked": Fault(
        "somebody sends SIGTERM to one service", "`restarting (restart 1)`", do="signal the supervisor instead"
    ),
    "stopped": Fault(
        "a service hangs, or is held",
        "`waiting` before it, behind it `nothing heard of`",
        do="kill it",
    ),
    "crash loop": Fault(
        "it dies five times without progress",
        "`5 times` without progress, its last words",
        do="mend it, resume",
        code="1",
    ),
    "supervisor": Fault("the supervisor is killed", "nothing; all is gone", do="resume", code="–"),
    "terminal": Fault("the terminal is closed", "`stopped and saved`", do="resume"),
    "pipe": Fault("the reader of a pipe has gone", "nothing; all is saved", do="resume", code="1"),
    "cannot save": Fault(
        "a service cannot save when asked to stop",
        "its last words and where its log is",
        "nothing saved",
        "mend it, resume",
        "1",
    ),
    # What the machine has no more of.
    "full": Fault("the disk is full", "the file, `No space left on device`", "nothing saved", "make room, resume", "1"),
    "read-only": Fault(
        "the folder becomes read-only",
        "the file, `Read-only file system`",
        "nothing saved",
        "make it writable, resume",
        "1",
    ),
    "journal stop": Fault(
        "the disk of a [journal](journal.md) is full",
        "`nothing is accepted until there is room`",
        do="make room",
        code="–",
    ),
    "journal drop": Fault(
        'with `on_full = "drop"`',
        "`its frames are in no journal until there is room`",
        "them from the journal",
        "make room",
        "–",
    ),
    "journal torn": Fault(
        "a machine dies, and tears a journal",
        "`damaged at the death before`",
        "the last `flush_seconds`",
        "resume",
        "–",
    ),
    # More than there is time for.
    "overload": Fault(
        "a sensor gives too much, in `drop-oldest`",
        "`gone` grows",
        "what is `gone`",
        "`budget_ms`, or `wait`",
    ),
    "slowed": Fault("the same, in `wait`", "the log is full, the sensor is slowed"),
    "thinned": Fault(
        "learning takes more than `budget_ms`",
        "event `thin`, rows set aside: `thinned`",
        "no feature",
        "a larger budget",
    ),
    "slow": Fault("the disk is slow", "fewer frames a second, where logs are short", do="larger logs"),
    "descriptors": Fault(
        "a service has too few descriptors",
        "`Too many open files`",
        "nothing saved",
        "raise the limit, resume",
        "1",
    ),
    "clock": Fault("the clock is set back or forth", "nothing; no result depends on it"),
    # The network.
    "peer gone": Fault(
        "a service is gone with its host",
        "`waiting` before it, behind it `nothing heard of`",
        do="start it again",
    ),
    "partition": Fault(
        "a connection is cut, half-open",
        "`nothing heard of`, then `is heard again`",
    ),
    "delay": Fault("200 ms of delay each way", "fewer frames a second: 64 for each round trip at most"),
    "address": Fault(
        "another process has an address", "`address already in use`, at once", do="another address", code="2"
    ),
    "tap": Fault("others publish at a tap's address", "`passing over a status`, why", do="another address"),
    # Files.
    "folder": Fault("the run folder is removed", "`cannot be started`, the path", "what was saved", "a new run", "1"),
    "checkpoint": Fault("the newest checkpoint is damaged", "a warning with its name"),
    "commands": Fault(
        "the commands of a service are damaged",
        "`commands.jsonl: line 1 is no command`",
        do="mend it, or `--fresh`",
        code="2",
    ),
    "part": Fault(
        "a part of the recorder, or of a file sink, is damaged",
        "a warning with its name",
        "its frames, counted",
        code="3",
    ),
    "added": Fault(
        "recordings or pictures are added", "`left out, added since this run began`", do="a new run takes them"
    ),
    "missing": Fault(
        "one of them is missing or has changed",
        "`is not what it was when this run began`",
        do="put it back, resume",
        code="2",
    ),
    "record": Fault("`run.json` is damaged", "one line with its name", "the summary", "`--fresh`, or put it back", "2"),
    "configuration": Fault(
        "the folder holds another configuration",
        "the keys that differ",
        do="go back, another folder, `--fresh`",
        code="2",
    ),
    "supervisors": Fault(
        "another supervisor has the folder", "`in use by process`", do="wait, or stop that one", code="2"
    ),
}


def fault(name: str) -> pytest.MarkDecorator:
    """Say that a test makes a fault."""
    assert name in FAULTS, name
    return pytest.mark.fault(name)


def see(name: str, *texts: str) -> None:
    """Check that the words of a fault's record are in what was seen."""
    words = re.findall(r"`([^`]+)`", FAULTS[name].seen)
    assert words, f"{name}: there is nothing to be seen"
    for word in words:
        assert any(word in text for text in texts), f"{name}: no {word!r} in {texts}"


def table() -> list[str]:
    """Return the lines of the table."""
    heads = ("what happens", "what you see", "what is lost", "what to do", "code")
    rows = [(one.what, one.seen, one.lost, one.do, one.code) for one in FAULTS.values()]
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def write(page: Path) -> None:
    """Put the table into a page, in the place of the one that is there."""
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_table(text: str) -> str:
    """Return the text of a page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    assert end, f"the page has no {BEGIN} and {END}"
    return "\n".join([before + BEGIN, "", *table(), "", END + behind])
