"""Packages that are installed only where they are needed, and the line that says how to install a missing one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

# top-level package -> the extra of stream_infomax that installs it
EXTRAS = {
    "PIL": "images",
    "av": "video",
    "bokeh": "page",
    "edfio": "tables",
    "kaldi_native_fbank": "speech",
    "matplotlib": "plots",
    "mcap": "journal",
    "onnx": "onnx",
    "paho": "mqtt",
    "prometheus_client": "metrics",
    "pyarrow": "tables",
    "pylsl": "lsl",
    "pyxdf": "lsl",
    "ray": "fleet",
    "scipy": "probe",
    "skimage": "images",
    "sounddevice": "microphone",
    "torch": "contrast",
}


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed; the message is one line with the command that installs it.

    Attributes
    ----------
    extra
        The extra of stream_infomax that installs the package.
    """

    def __init__(self, package: str) -> None:
        self.extra = EXTRAS[package]
        super().__init__(f'{package} is not installed: pip install "stream_infomax[{self.extra}]"', name=package)


@contextmanager
def optional() -> Iterator[None]:
    """Turn a failed import of an extra's package into MissingExtraError; other imports fail as they do.

    Examples
    --------
    >>> with optional():
    ...     import torch
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingExtraError(package) from error


def installed(package: str) -> bool:
    """Return whether a package of an extra can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(*packages: str) -> None:
    """Raise MissingExtraError for the first of `packages` that is not installed; nothing is imported."""
    for package in packages:
        if not installed(package):
            raise MissingExtraError(package)
