"""Memory: a number of bytes, written with its unit."""

from __future__ import annotations

import re
from typing import Self

from stream_infomax.settings.error import SettingError

UNITS = {"B": 1, "kB": 10**3, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}
PATTERN = rf"^[0-9]{{1,15}}(\.[0-9]{{1,9}})? ?({'|'.join(UNITS)})(?!\n)$"
LARGEST = 1 << 50  # a petabyte: more is a slip, and breaks what multiplies it
ACCEPTED = f'a number with a unit of {", ".join(UNITS)}, for example "24 MiB", or a whole number of bytes'


class Memory(int):
    """Bytes, as a whole number; its text has the largest unit that leaves it a whole number.

    Parameters
    ----------
    value
        A text like "24 MiB", or a number of bytes.

    Raises
    ------
    SettingError
        Without a key, where it is neither.

    Examples
    --------
    >>> Memory("24 MiB") + 0
    25165824
    >>> str(Memory(1 << 30))
    '1 GiB'
    """

    def __new__(cls, value: object) -> Self:
        n_bytes = -1
        if isinstance(value, int) and not isinstance(value, bool):
            n_bytes = value
        elif isinstance(value, str) and re.match(PATTERN, value):
            number = value.rstrip("BkKMGi ")
            n_bytes = round(float(number) * UNITS[value[len(number) :].strip()])
        if not 0 <= n_bytes <= LARGEST:
            raise SettingError("", value, ACCEPTED)
        return super().__new__(cls, n_bytes)

    def __str__(self) -> str:
        exact = [unit for unit, size in UNITS.items() if self and self % size == 0]
        unit = max(exact, key=UNITS.__getitem__, default="B")
        return f"{self // UNITS[unit]} {unit}"

    def __repr__(self) -> str:
        return repr(str(self))
