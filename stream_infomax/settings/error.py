"""SettingError: what is wrong with a setting, as key, value and what is accepted."""

from __future__ import annotations

from typing import Any, Final

from stream_infomax.settings.printable import printable

MISSING: Final = object()  # the value of a setting that is not there


class SettingError(ValueError):
    """A setting that cannot be used.

    Parameters
    ----------
    key
        The setting; keys of tables are joined by dots.
    value
        What was given; `MISSING` where nothing was.
    accepted
        What would have been accepted.
    problem
        What is wrong with the value, where key and value do not say it.

    Examples
    --------
    >>> str(SettingError("hop", 20, "1 to 10").under("stage.windows"))
    'stage.windows.hop = 20; accepted: 1 to 10'
    """

    def __init__(self, key: str, value: object, accepted: str, problem: str = "") -> None:
        super().__init__(key, value, accepted, problem)
        self.key = key
        self.value = value
        self.accepted = accepted
        self.problem = "missing" if value is MISSING else problem

    def under(self, table: str) -> SettingError:
        """Return the same error with its key seen from above `table`."""
        key = f"{table}.{self.key}" if self.key else table
        return SettingError(key, self.value, self.accepted, self.problem)

    def __str__(self) -> str:
        shown = "" if self.value is MISSING else f" = {_short(self.value)}"
        problem = f": {self.problem}" if self.problem else ""
        text = f"{self.key}{shown}{problem}; accepted: {self.accepted}"
        return printable(text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:190]} …"
