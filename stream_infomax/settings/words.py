"""A setting's type in words: what an error says is accepted, and what the reference says of a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec.inspect as types

from stream_infomax.settings.memory import ACCEPTED, Memory


def in_words(kind: Any) -> str:
    """Return what values of a type are accepted.

    Examples
    --------
    >>> from stream_infomax.settings.types import Positive
    >>> in_words(Positive)
    'a whole number >= 1'
    """
    if get_origin(bare(kind)) is Literal:  # in the order in which they are written
        return _choices(get_args(bare(kind)))
    return _words(types.type_info(kind))


def doc_of(kind: Any) -> str:
    """Return the documentation that stands in an annotation."""
    node = types.type_info(kind)
    schema = node.extra_json_schema if isinstance(node, types.Metadata) else None
    return str((schema or {}).get("description", ""))


def bare(kind: Any) -> Any:
    """Return a type without what is annotated to it."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def one_of(choices: Any) -> str:
    """Return choices as a list in words."""
    return ", ".join(map(str, choices))


def _words(node: types.Type) -> str:
    match node:
        case types.Metadata():
            return str((node.extra_json_schema or {}).get("title") or _words(node.type))
        case types.BoolType():
            return "true or false"
        case types.IntType() | types.FloatType():
            return " ".join(["a whole number" if isinstance(node, types.IntType) else "a number", *_bounds(node)])
        case types.StrType():
            return "text"
        case types.LiteralType():
            return _choices(node.values)
        case types.UnionType():
            return " or ".join(_words(kind) for kind in node.types if not isinstance(kind, types.NoneType))
        case types.DictType():
            return "a table"
        case types.VarTupleType():
            return f"a list; in it {_words(node.item_type)}"
        case types.TupleType():
            return f"a list of {len(node.item_types)}; in it {_words(node.item_types[0])}"
        case types.StructType():
            return f"a table with {one_of(field.encode_name for field in node.fields)}"
        case types.CustomType() if node.cls is Memory:
            return ACCEPTED
        case _:
            return type(node).__name__


def _choices(values: Iterable[Any]) -> str:
    return one_of(f'"{value}"' for value in values)


def _bounds(node: types.IntType | types.FloatType) -> list[str]:
    signs = ((">=", node.ge), (">", node.gt), ("<=", node.le), ("<", node.lt))
    bounds = [f"{sign} {value}" for sign, value in signs if value is not None]
    return [" and ".join(bounds)] if bounds else []
