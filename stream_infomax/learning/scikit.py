"""What a class owes scikit-learn where that is loaded: its errors, warnings and tables, without importing it."""

from __future__ import annotations

import functools
import sys
from typing import Any

OUTPUTS = ("default", "pandas", "polars")


class NotFittedError(ValueError, AttributeError):
    """Raised where something is asked of an object that has not learnt it yet.

    Where scikit-learn is loaded, what is raised is its ``NotFittedError`` too.
    """

    def __new__(cls, *args: object) -> NotFittedError:
        return super().__new__(_also(cls, "NotFittedError"), *args)

    def __reduce__(self) -> tuple[Any, ...]:
        own = next(one for one in type(self).__mro__ if one.__module__.startswith(__name__.partition(".")[0]))
        return own, self.args


def category(name: str) -> type[Warning]:
    """Return scikit-learn's category of warnings of that name where it is loaded, UserWarning elsewhere."""
    return getattr(sys.modules.get("sklearn.exceptions"), name, UserWarning)


def _also(cls: type, name: str) -> type:
    """Return a class that is also scikit-learn's error of that name, where it is loaded."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), name, None)
    return cls if theirs is None or issubclass(cls, theirs) else _both(cls, theirs)


@functools.cache
def _both(ours: type, theirs: type) -> type:
    return type(ours.__name__, (ours, theirs), {"__module__": theirs.__module__, "__doc__": ours.__doc__})


def output_of(one: Any) -> str:
    """Return what kind of table an object puts out: what `set_output` says, else scikit-learn's configuration."""
    chosen = getattr(one, "_sklearn_output_config", {}).get("transform")
    sklearn = sys.modules.get("sklearn")
    if chosen is None and sklearn is not None:
        chosen = sklearn.get_config()["transform_output"]
    return chosen or "default"


def table(kind: str, data: Any, names: Any, given: Any) -> Any:
    """Return an array (n, width) as the kind of table that is wanted.

    Parameters
    ----------
    kind
        One of `OUTPUTS`; "default" is the array itself.
    data, names
        The array, and the names of its columns.
    given
        What was put in; a table of pandas lends its index.
    """
    match kind:
        case "pandas":
            import pandas

            index = given.index if isinstance(given, pandas.DataFrame) else None
            return pandas.DataFrame(data, index=index, columns=names, copy=False)
        case "polars":
            import polars

            return polars.DataFrame(data, schema=list(names), orient="row")
    return data
