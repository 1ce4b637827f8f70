"""Scratch: arrays that a step writes before it reads them, kept from one step to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Arrays by name: memory that is new to the process costs as much as the passes over it.

    What they hold is nobody's state. Copies and pickles start with none.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, *shape: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the array of this name, with anything in it; a new one where its shape is another.

        Parameters
        ----------
        name
            Its name: one for each purpose.
        shape
            Its shape.
        dtype
            Its type, always the same for a name.
        """
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()
