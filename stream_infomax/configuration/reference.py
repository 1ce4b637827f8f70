"""The reference of all configuration keys, made from the records of settings."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from stream_infomax.configuration.kinds import SINKS, SOURCES, STAGES, Kinds
from stream_infomax.configuration.load import own_keys
from stream_infomax.configuration.tables import Fleet, Log, Run, SinkTable, SourceTable, StageTable
from stream_infomax.journal.settings import JournalSettings
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings
from stream_infomax.settings.words import bare, doc_of, in_words

ABOUT = """\
# Configuration

One TOML file describes one pipeline: the tables `[run]` and `[source]`, and `[[stage]]` tables in the order of the
data. Every key can be set on the command line: `--set run.seed=1`, `--set source.path=FOLDER`,
`--set stage.NAME.KEY=VALUE`. Memory is text with a unit (`"24 MiB"`, `"16 MB"`) or a number of bytes.

`stream-infomax schema` prints a JSON schema. An editor with Taplo completes and checks a file whose first line is
`#:schema ./schema.json`. `stream-infomax check CONFIG` prints what a file comes to."""


def markdown() -> str:
    """Return the reference as Markdown: every key of every table and kind that is installed."""
    parts = [
        ABOUT,
        _section("`[run]`", Run),
        _section("`[source]`", SourceTable),
        *_kinds("source", SOURCES),
        _section("`[[stage]]`", StageTable),
        *_kinds("stage", STAGES),
        *([_section("`[[sink]]`", SinkTable), *_kinds("sink", SINKS)] if SINKS.names() else []),
        _section("`[fleet]`", Fleet),
        _section("`[source.log]`, `[stage.log]`", Log),
        _section("`[source.journal]`", JournalSettings),
    ]
    return "\n\n".join(parts) + "\n"


def _kinds(what: str, kinds: Kinds) -> list[str]:
    return [_section(f'A {what} with `kind = "{kind}"`', kinds.settings_of(kind), "###") for kind in kinds.names()]


def _section(title: str, record: type[Settings], level: str = "##") -> str:
    keys = own_keys(record)
    rows = [_row(field) for field in msgspec.structs.fields(record) if field.name in keys]
    about = " ".join((record.__doc__ or "").split())
    return "\n".join(
        [f"{level} {title}", "", about, "", "| key | accepted | default | what it does |", "|---|---|---|---|", *rows]
    )


def _row(field: msgspec.structs.FieldInfo) -> str:
    is_table = isinstance(bare(field.type), type) and issubclass(bare(field.type), Settings)
    accepted = "a table" if is_table else in_words(field.type)
    default = "required" if field.required else "" if is_table or field.default is None else f"`{_toml(field.default)}`"
    cells = (f"`{field.name}`", accepted, default, doc_of(field.type))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _toml(value: Any) -> str:
    """Return a default as TOML has it."""
    return json.dumps(str(value) if isinstance(value, Memory) else value, ensure_ascii=False)
