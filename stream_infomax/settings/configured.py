"""The keywords of a class, and their documentation, from its record of settings."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from stream_infomax.settings.record import Settings
from stream_infomax.settings.words import bare, doc_of

Class = TypeVar("Class", bound=type)

_UNDERLINED = re.compile(r"^[A-Z]\w+\n-{3,}$", re.MULTILINE)


def configured_by(record: type[Settings]) -> Callable[[Class], Class]:
    """Return a decorator that gives a class the record of its settings.

    The class's ``__init__`` takes ``**settings``; the decorator puts the record's fields in their place in the
    signature, documents them in the class's docstring under *Parameters*, and sets ``Settings`` to the record. Where
    ``__init__`` names settings itself, their defaults must be the record's.
    """

    def decorate(cls: Class) -> Class:
        cls.Settings = record  # type: ignore[attr-defined]
        init: Any = cls.__init__  # type: ignore[misc]
        init.__signature__ = _signature(inspect.signature(init), record)
        if "__new__" in vars(cls):  # it stands before `__init__` for whoever asks for the signature
            cls.__new__.__signature__ = init.__signature__  # type: ignore[attr-defined]
        cls.__doc__ = _documented(inspect.cleandoc(cls.__doc__ or ""), record)
        return cls

    return decorate


def _signature(own: inspect.Signature, record: type[Settings]) -> inspect.Signature:
    parameters = {name: one for name, one in own.parameters.items() if one.kind is not one.VAR_KEYWORD}
    for field in msgspec.structs.fields(record):
        default = inspect.Parameter.empty if field.required else field.default
        if field.name in parameters:
            if parameters[field.name].default != default:
                raise TypeError(f"{field.name} = {parameters[field.name].default}; {record} has {default}")
            continue
        parameters[field.name] = inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=bare(field.type)
        )
    return inspect.Signature(list(parameters.values()))


def _documented(doc: str, record: type[Settings]) -> str:
    """Return a docstring with the record's fields at the end of its section *Parameters*."""
    text = "\n".join(
        f"{field.name}\n{textwrap.indent(textwrap.fill(doc_of(field.type), 110), '    ')}"
        for field in msgspec.structs.fields(record)
    )
    heads = list(_UNDERLINED.finditer(doc))
    start = next((i for i, head in enumerate(heads) if head[0].startswith("Parameters\n")), None)
    if start is None:
        text = f"Parameters\n----------\n{text}"
        start = -1
    following = heads[start + 1].start() if start + 1 < len(heads) else len(doc)
    before, after = doc[:following].rstrip(), doc[following:]
    gap = "\n" if start >= 0 else "\n\n"
    return f"{before}{gap}{text}\n" + (f"\n{after}" if after else "")
