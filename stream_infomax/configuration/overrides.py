"""Changes to a configuration: what ``--set KEY.PATH=VALUE`` does."""

from __future__ import annotations

import tomllib
from typing import Any


def apply(raw: dict[str, Any], change: str) -> None:
    """Change one value of a configuration before it is checked.

    Parameters
    ----------
    raw
        What TOML gave; changed in place.
    change
        ``key.path=value``; the tables of a list are found by their ``name``. A value is TOML, or a bare text.

    Raises
    ------
    ValueError
        Where the change is not of that form, or there is no such place.
    """
    key, sign, text = change.partition("=")
    if not sign or not key:
        raise ValueError("expected KEY=VALUE, for example source.path=recordings")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # brackets within brackets
        if text[:1] in tuple("\"'[{"):  # meant as TOML
            raise ValueError(f"{text} is not TOML: {error}") from error
        value = text
    table: Any = raw
    *parents, leaf = key.split(".")
    for parent in parents:
        if isinstance(table, list):
            by_name = {entry.get("name"): entry for entry in table if isinstance(entry, dict)}
            if parent not in by_name:
                raise ValueError(f"no table of the name {parent!r}; there are {list(by_name)}")
            table = by_name[parent]
        else:
            table = table.setdefault(parent, {})
        if not isinstance(table, dict | list):
            raise ValueError(f"{parent!r} is a value, not a table")
    if isinstance(table, list):
        raise ValueError("give the name of a table and a key, for example stage.learner.block=32")
    table[leaf] = value
