"""A nested state (dicts of arrays and JSON values) as one safetensors file, and back; never pickle."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file


def save(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a state to `path`, wholly or not at all: arrays by their path of keys, the rest as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    values = _take_arrays(state, "", arrays)
    target = Path(path)
    part = target.with_name(target.name + ".part")
    save_file(arrays, part, metadata={"state": json.dumps(values)})
    part.replace(target)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state that `save` wrote; raises ValueError where the file is something else."""
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("state")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a saved state: {error}") from error
    if text is None:
        raise ValueError(f"{path} holds arrays without a state; accepted is what save() wrote")
    state: dict[str, Any] = json.loads(text)
    for name, array in arrays.items():
        *folders, last = name.split("/")
        level = state
        for folder in folders:
            level = level[folder]
        level[last] = array
    return state


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """The same state with arrays of its own."""
    copy: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            copy[name] = copied(value)
        else:
            copy[name] = value.copy() if isinstance(value, np.ndarray) else value
    return copy


def _take_arrays(state: dict[str, Any], prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            values[name] = _take_arrays(value, f"{prefix}{name}/", arrays)
        elif isinstance(value, np.ndarray):
            arrays[f"{prefix}{name}"] = np.ascontiguousarray(value)
        else:
            values[name] = value
    return values
