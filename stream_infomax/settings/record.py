"""Settings: a typed record in which name, type, default, bounds and documentation of each setting are written once.

It stands beside the class that uses it. The configuration, the keywords of the class, ``check``, the reference and the
JSON schema come from it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from numbers import Number
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from stream_infomax.settings.error import MISSING, SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.words import bare, in_words, one_of


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of settings.

    Every field is ``name: Annotated[type, Doc("what it does")] = default``. What only holds between fields is checked
    in ``__post_init__``, which raises SettingError.
    """

    def needs(self) -> tuple[str, ...]:
        """Return the packages, not installed with stream_infomax itself, that these settings need."""
        return ()

    def placed(self, folder: Path, name: str) -> Self:
        """Return the settings with what follows from a run's folder (absolute) and the name of who has them."""
        return self

    def try_out(self) -> None:
        """Check what only this machine can tell, before a run starts. Raises SettingError."""


Record = TypeVar("Record", bound=Settings)


def make(record: type[Record], values: Mapping[str, Any]) -> Record:
    """Check values and return the record of them.

    Parameters
    ----------
    record
        What to make.
    values
        By name, as TOML or Python have them.

    Raises
    ------
    SettingError
        With the key, the value and what is accepted.
    """
    fields = {field.name: field for field in msgspec.structs.fields(record)}
    for key, value in values.items():
        if key not in fields:
            raise SettingError(key, value, one_of(fields), "unknown key")
    for key, field in fields.items():
        if field.required and key not in values:
            raise SettingError(key, MISSING, in_words(field.type))
    return record(**{key: _convert(key, value, fields[key].type) for key, value in values.items()})


def plain(record: Settings, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return a record as plain values, as TOML and JSON have them; memory as text."""
    return {key: _plain(getattr(record, key)) for key in record.__struct_fields__ if key not in leave_out}


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Memory) else value


def _convert(key: str, value: Any, kind: Any) -> Any:
    if isinstance(bare(kind), type) and issubclass(bare(kind), Settings):
        return _table(key, value, bare(kind))
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, Number) and hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    if isinstance(value, str) and "\0" in value:
        raise SettingError(key, value, in_words(kind), "holds a zero byte")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise SettingError(key, value, in_words(kind), "too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(key, value, in_words(kind), "not finite")
    try:
        return msgspec.convert(value, kind, dec_hook=_custom)
    except (msgspec.ValidationError, SettingError):
        raise SettingError(key, value, in_words(kind)) from None


def _table(key: str, value: Any, kind: type[Record]) -> Record:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise SettingError(key, value, in_words(kind))
    try:
        return make(kind, value)
    except SettingError as error:
        raise error.under(key) from None


def _custom(kind: type, value: Any) -> Any:
    return kind(value) if kind is Memory else value
