"""JSON schema of a configuration's TOML, for editors that complete and check it while one writes."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_infomax.configuration.kinds import SINKS, SOURCES, STAGES, Kinds
from stream_infomax.configuration.load import own_keys
from stream_infomax.configuration.tables import Fleet, Run, SinkTable, SourceTable, StageTable, Table
from stream_infomax.settings.memory import LARGEST, PATTERN, Memory
from stream_infomax.settings.record import Settings
from stream_infomax.settings.words import bare, doc_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of a whole configuration, with every kind that is installed."""
    sinks = _any_of(SinkTable, SINKS)
    return {
        "$schema": DIALECT,
        "title": "stream_infomax configuration",
        "type": "object",
        "properties": {
            "run": _table(Run),
            "source": _any_of(SourceTable, SOURCES),
            "stage": {"type": "array", "items": _any_of(StageTable, STAGES)},
            "sink": {"type": "array", "items": sinks} if sinks["anyOf"] else {"type": "array", "maxItems": 0},
            "fleet": _table(Fleet),
        },
        "required": ["run", "source"],
        "additionalProperties": False,
    }


def _any_of(table: type[Table], kinds: Kinds) -> dict[str, Any]:
    return {"anyOf": [_of_kind(table, kind, kinds.settings_of(kind)) for kind in kinds.names()]}


def _of_kind(table: type[Table], kind: str, settings: type[Settings]) -> dict[str, Any]:
    """Return the schema of a table of one kind: the keys of every such table, and those of the kind."""
    for_all, for_kind = _table(table), _table(settings)
    for_all["properties"]["kind"] = {"const": kind}
    return {
        **for_kind,
        "title": kind,
        "properties": {**for_all["properties"], **for_kind["properties"]},
        "required": [*for_all["required"], *for_kind["required"]],
    }


def _table(record: type[Settings]) -> dict[str, Any]:
    fields = {field.name: field for field in msgspec.structs.fields(record) if field.name in own_keys(record)}
    return {
        "type": "object",
        "description": " ".join((record.__doc__ or "").split()),
        "properties": {name: _key(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _key(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    kind = bare(field.type)
    if isinstance(kind, type) and issubclass(kind, Settings):
        return {**_table(kind), "description": doc_of(field.type)}
    found = _plain(msgspec.json.schema(field.type, schema_hook=_custom))
    if not field.required and field.default is not None:
        found["default"] = str(field.default) if isinstance(field.default, Memory) else field.default
    return found


def _custom(kind: type) -> dict[str, Any]:
    if kind is not Memory:
        raise NotImplementedError(kind)
    return {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "integer", "minimum": 0, "maximum": LARGEST}]}


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Return a type's schema without what TOML does not have (null), and with lists that every draft can read."""
    if "prefixItems" in node:
        items = node.pop("prefixItems")
        return {**node, "items": items[0]}
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
        if len(choices) == 1:
            return {**{key: value for key, value in node.items() if key != "anyOf"}, **choices[0]}
    return node
