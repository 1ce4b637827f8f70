"""The types that settings have: bounds, patterns, and the text that documents a setting."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# A person's path is no name: what becomes a file, a socket or a folder of a run has this form.
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,63}(?!\n)$"

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NotNegativeFloat = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Name = Annotated[
    str, Meta(pattern=NAME_PATTERN, title="a letter and up to 63 letters, digits, hyphens and underscores")
]
NameOrNothing = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z][A-Za-z0-9_-]{0,63})?(?!\n)$",
        title="a letter and up to 63 letters, digits, hyphens and underscores, or nothing",
    ),
]


def Doc(text: str) -> Meta:
    """Return the documentation of a setting, to stand in its annotation: ``Annotated[Positive, Doc("…")]``."""
    return Meta(description=text)


KeysFolder = Annotated[
    str,
    Doc(
        "Folder of keys (`stream-infomax keys new`), which guard every address but `ipc://`; empty: there are none, "
        "and addresses that others can reach are refused."
    ),
]
Insecure = Annotated[bool, Doc("Whether addresses that others can reach are served without keys, to everyone.")]
SeedNumber = Annotated[int, Meta(ge=0, lt=2**32)]
Seed = Annotated[SeedNumber, Doc("Of every random choice; in a configuration that of `[run]`.")]
