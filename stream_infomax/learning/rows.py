"""Rows as they come from outside: arrays, tables, lists; read as a matrix of floats, or refused with the reason."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Names = NDArray[np.object_]

ACCEPTED = "accepted are real numbers (n, n_features)"
SHOWN = 5


def matrix(X: Any) -> Floats:
    """Return X as a C-contiguous float32 or float64 matrix; what is masked or missing becomes NaN.

    Raises
    ------
    TypeError
        Where an object in X is no number.
    ValueError
        Where X is no matrix of real numbers.
    """
    if hasattr(X, "tocsr"):
        raise ValueError(f"X is a sparse {type(X).__name__}; {ACCEPTED}: X.toarray()")
    rows = np.ma.asanyarray(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    if rows.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X has dtype {rows.dtype}; {ACCEPTED}")
    if rows.dtype.kind == "O":
        rows = _numbers(X, rows)
    if rows.dtype.kind not in "fiub":
        raise ValueError(f"X has dtype {rows.dtype}; {ACCEPTED}")
    if rows.ndim != 2:
        hint = "; Reshape your data: X.reshape(-1, 1) of one feature, X.reshape(1, -1) of one row" * (rows.ndim == 1)
        raise ValueError(f"X has shape {rows.shape}; {ACCEPTED}{hint}")
    if rows.shape[1] == 0:
        raise ValueError(f"X has 0 feature(s) (shape={rows.shape}) while a minimum of 1 is required; {ACCEPTED}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if isinstance(rows, np.ma.MaskedArray):
        rows = rows.filled(np.nan)
    return np.ascontiguousarray(rows)


def _numbers(X: Any, rows: NDArray[np.object_]) -> Floats:
    """Return objects as float64: numbers, booleans, what is missing in a table."""
    try:
        if hasattr(X, "to_numpy") and hasattr(X, "iloc"):  # pandas knows what is missing, but takes times for numbers
            times = [str(name) for name, dtype in X.dtypes.items() if dtype.kind in "mM"]
            if times:
                raise ValueError(f"{', '.join(times)} hold times")
            return np.asarray(X.to_numpy(dtype=np.float64, na_value=np.nan))
        numbers: Floats = rows.astype(np.float64)  # stays masked where it is
        return numbers
    except ValueError as error:
        raise ValueError(f"X has dtype object: {error}; {ACCEPTED}") from None


def names_of(X: Any) -> Names | None:
    """Return the names of a table's columns; None where there are none, or they are no texts.

    Raises
    ------
    TypeError
        Where some are texts and some are not.
    """
    if not hasattr(X, "to_numpy") or not hasattr(X, "columns") or len(X.columns) == 0:
        return None
    names = np.array(list(X.columns), dtype=object)
    kinds = sorted({type(name).__qualname__ for name in names})
    if all(isinstance(name, str) for name in names):
        return names
    if any(isinstance(name, str) for name in names):
        raise TypeError(f"X has names of columns of the types {kinds}; accepted are texts, or no text at all")
    return None


def check_names(known: Names | None, X: Any, owner: str) -> None:
    """Compare the names of a table's columns with those that are known.

    Warns where only one of them has names. The words are scikit-learn's, whose checks look for them.

    Raises
    ------
    ValueError
        Where a name is unknown or missing, or the order is another.
    """
    names = names_of(X)
    if known is None and names is None:
        return
    if known is None:
        warnings.warn(f"X has feature names, but {owner} was fitted without feature names", stacklevel=4)
    elif names is None:
        warnings.warn(f"X does not have valid feature names, but {owner} was fitted with feature names", stacklevel=4)
    elif not np.array_equal(known, names):
        unseen, missing = sorted(set(names) - set(known)), sorted(set(known) - set(names))
        text = "The feature names should match those that were passed during fit.\n"
        if unseen:
            text += f"Feature names unseen at fit time:\n{_listed(unseen)}"
        if missing:
            text += f"Feature names seen at fit time, yet now missing:\n{_listed(missing)}"
        if not unseen and not missing:
            text += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(text)


def _listed(names: list[str]) -> str:
    return "".join(f"- {name}\n" for name in names[:SHOWN]) + "- ...\n" * (len(names) > SHOWN)
