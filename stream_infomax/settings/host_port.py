"""HOST:PORT, where something is served over HTTP."""

from __future__ import annotations

import re

ACCEPTED = "HOST:PORT, for example 127.0.0.1:9464 (this machine alone), [::1]:9464 or 0.0.0.0:9464 (all of a network)"
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})(?!\n)")


def host_and_port(place: str) -> tuple[str, int]:
    """Return host and port of `place`. Raises ValueError where it is something else.

    Examples
    --------
    >>> host_and_port("[::1]:9464")
    ('::1', 9464)
    """
    match = _PLACE.fullmatch(place)
    if match is None or int(match[3]) > 65535:
        raise ValueError(ACCEPTED)
    return match[1] or match[2], int(match[3])
