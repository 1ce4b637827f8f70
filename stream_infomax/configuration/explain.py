"""What msgspec says of a configuration, in words for who wrote it: the key path, the value and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec.inspect

_AT = re.compile(r" - at `\$\.?(.*)`$")


def explain(text: str, raw: Any, kind: type) -> str:
    """Turn msgspec's ``… - at `$.stage[0].hop` `` into ``stage.windows.hop = value: …``.

    Parameters
    ----------
    text
        The message of a msgspec.ValidationError.
    raw
        The tree of plain values that was refused.
    kind
        The record that it was to become.
    """
    found = _AT.search(text)
    reason, keys = (text[: found.start()], re.findall(r"[^.\[\]]+", found.group(1))) if found else (text, [])
    node: msgspec.inspect.Type | None = msgspec.inspect.type_info(kind)
    value, path = raw, []
    for key in keys:
        node, value, name = _step(node, value, key)
        path.append(name)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", reason)
    if unknown:
        node = _chosen(node, value)
        value = value.get(unknown[1]) if isinstance(value, dict) else None
        path.append(unknown[1])
        reason = "unknown key"
    choices = _choices(node, tag=keys[-1:])
    if choices and (unknown or reason.startswith("Invalid")):
        reason = f"{reason if unknown else 'not known'}; accepted are {', '.join(choices)}"
    shown = "" if value is None or isinstance(value, dict | list | tuple) else f" = {value!r}"
    return f"{'.'.join(path)}{shown}: {reason}" if path else reason


def _step(node: msgspec.inspect.Type | None, value: Any, key: str) -> tuple[Any, Any, str]:
    """Go one key down in the types and in the values; a table in a list is called by its name."""
    node = _chosen(node, value)
    if isinstance(value, list | tuple):
        child = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        name = child.get("name", key) if isinstance(child, dict) else key
        return getattr(node, "item_type", None), child, str(name)
    child = value.get(key) if isinstance(value, dict) else None
    if isinstance(node, msgspec.inspect.StructType):
        types = {field.encode_name: field.type for field in node.fields}
        return types.get(key), child, key
    return node, child, key  # the key that tells the records of a union apart


def _chosen(node: msgspec.inspect.Type | None, value: Any) -> msgspec.inspect.Type | None:
    """Return the record of a union whose tag the value has."""
    if isinstance(node, msgspec.inspect.Metadata):
        node = node.type
    if isinstance(node, msgspec.inspect.UnionType) and isinstance(value, dict):
        for kind in node.types:
            if isinstance(kind, msgspec.inspect.StructType) and value.get(kind.tag_field) == kind.tag:
                return kind
    return node


def _choices(node: msgspec.inspect.Type | None, tag: Sequence[str]) -> list[str]:
    if isinstance(node, msgspec.inspect.StructType):
        return [field.encode_name for field in node.fields]
    if isinstance(node, msgspec.inspect.LiteralType):
        return [str(value) for value in node.values]
    if isinstance(node, msgspec.inspect.UnionType):
        records = [kind for kind in node.types if isinstance(kind, msgspec.inspect.StructType)]
        return [str(kind.tag) for kind in records if [kind.tag_field] == list(tag)]
    return []
