"""Collection: pictures of any size in one flat buffer, and the readers that fill it."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional, require

with optional():
    from PIL import Image, ImageOps

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.inventory import Inventory, entry

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".npz")
ACCEPTED = f"pictures that Pillow reads ({', '.join(SUFFIXES[:-1])}) and .npz stacks"
MAX_BYTES = 8 << 30

# Photographs and textures inside the scikit-image wheel; see natural_pictures().
NATURAL = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
# What Pillow and NumPy raise on files that are not what their name says.
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, KeyError, struct.error),
    *(Image.DecompressionBombError, zipfile.BadZipFile, zlib.error),
)

log = logging.getLogger(__name__)
Pixels = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@dataclass
class Collection:
    """Pictures one after the other in one flat buffer, row by row.

    Attributes
    ----------
    names
        Path below the folder; of stacks with the number behind ``#``.
    labels
        What the file itself says about each picture.
    starts, heights, widths
        Place of each picture's first pixel in the buffer, and its size: arrays of shape (n_pictures,).
    unusable
        A sentence for each file that could not be used.
    inventory
        The files that the pictures are from; empty for a bundled set.
    """

    names: list[str] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    inventory: Inventory = field(default_factory=dict)
    _pieces: list[Pixels] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    def add(self, name: str, pixels: Pixels, labels: dict[str, str]) -> None:
        """Append a picture, uint8 or float32 from 0 to 1, of shape (y, x) or (y, x, 3)."""
        self.names.append(name)
        self.labels.append(labels)
        self._pieces.append(pixels)

    def close(self) -> None:
        """Lay the pictures out in the buffer; nothing is added from here on."""
        self.heights: Indices = np.array([piece.shape[0] for piece in self._pieces])
        self.widths: Indices = np.array([piece.shape[1] for piece in self._pieces])
        sizes = self.heights * self.widths
        self.starts: Indices = np.cumsum(sizes) - sizes
        if any(piece.dtype != np.uint8 for piece in self._pieces):
            self._pieces = [_to_float(piece) for piece in self._pieces]
        self._buffer = np.concatenate([piece.reshape(-1, *piece.shape[2:]) for piece in self._pieces])
        self._pieces = []

    def values(self, places: Indices) -> npt.NDArray[np.float32]:
        """Return the pixels at `places` of the buffer, float32 from 0 to 1."""
        return _to_float(self._buffer[places])


def read(
    path: str | Path,
    *,
    colour: bool,
    include: re.Pattern[str],
    crop: tuple[int, int],
    only: Container[bytes] | None = None,
) -> Collection:
    """Return the pictures at `path` that `include` is found in and that are at least as large as `crop`.

    Where `only` is given, they come from no other files than these, named as in an inventory.
    """
    if str(path).startswith("skimage:"):
        files, folder = natural_pictures(str(path)), None
    else:
        files, folder = _find(Path(path))
    collection = Collection()
    n_bytes = 0
    for file in files:
        key = os.fsencode(file.name if folder is None else file.relative_to(folder))
        if only is not None and key not in only:
            continue
        name = key.decode("utf-8", "replace")
        read_file = _stack if file.suffix.lower() == ".npz" else _picture
        try:
            for picture_name, pixels, labels in read_file(file, name, colour, include):
                if pixels.shape[0] < crop[0] or pixels.shape[1] < crop[1]:
                    raise ValueError(f"its {pixels.shape[0]} × {pixels.shape[1]} pixels hold no crop of {crop}")
                n_bytes += pixels.nbytes
                if n_bytes > MAX_BYTES:
                    raise MemoryError(f"the pictures at {path} take more than {MAX_BYTES >> 30} GiB; include fewer")
                collection.add(picture_name, pixels, labels)
                if folder is not None and key not in collection.inventory:
                    collection.inventory[key] = entry(file)
        except UNREADABLE as error:
            collection.unusable.append(f"{file}: {error}")
    if not collection.names:
        reasons = "; ".join(collection.unusable[:3])
        if not reasons:
            reasons = f"include = {include.pattern!r} fits none" if files else "nothing there has their suffix"
        raise SettingError("path", str(path), f"{ACCEPTED}, or a folder of them", f"no usable picture ({reasons})")
    for sentence in collection.unusable:
        log.warning("passed over %s", sentence)
    collection.close()
    return collection


def natural_pictures(path: str = "skimage:natural") -> list[Path]:
    """Return the photographs and textures that are installed with scikit-image; nothing is downloaded.

    Provenance, as ``skimage.data`` states it: *astronaut* (Eileen Collins, by NASA, public domain), *camera* (by Lav
    Varshney, CC0), *chelsea* (a cat, by Stefan van der Walt, CC0), *coffee* (by Rachel Michetti, courtesy of Pikolo
    Espresso Bar, CC0), *motorcycle_left* (from the Middlebury 2014 stereo benchmark, by N. Nesic, P. Westling, X. Wang,
    Y. Kitajima, G. Krathwohl and D. Scharstein), *rocket* (by SpaceX, public domain), and the textures *brick*,
    *gravel* (CC0Textures, CC0) and *grass* (linolafett on DeviantArt, CC0).

    Raises
    ------
    SettingError
        Another set than ``skimage:natural``.
    MissingExtraError
        scikit-image is not installed.
    FileNotFoundError
        None of the pictures is in it.
    """
    if path != "skimage:natural":
        raise SettingError("path", path, "skimage:natural, the only bundled set")
    require("skimage")
    found = importlib.util.find_spec("skimage")
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent / "data"
    files = [folder / name for name in NATURAL if (folder / name).is_file()]
    if not files:
        raise FileNotFoundError(f"none of {', '.join(NATURAL)} is in {folder}")
    return files


def _find(root: Path) -> tuple[list[Path], Path]:
    if not root.exists():
        raise SettingError("path", str(root), f"{ACCEPTED}, or a folder of them", "no such file or folder")
    if not root.is_dir():
        return [root], root.parent
    files = [
        file
        for file in root.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    ]
    return sorted(files, key=lambda file: file.relative_to(root).parts), root


# For each picture of a file that is included: its name, its pixels and its labels.
_Read = Iterator[tuple[str, Pixels, dict[str, str]]]


def _picture(file: Path, name: str, colour: bool, include: re.Pattern[str]) -> _Read:
    if not include.search(name):
        return
    with Image.open(file) as image:
        picture = ImageOps.exif_transpose(image)
        if picture.mode in ("I", "I;16", "I;16B", "F"):
            yield name, _deep(picture, colour), {}
        else:
            yield name, np.asarray(picture.convert("RGB" if colour else "L")), {}


def _deep(picture: Image.Image, colour: bool) -> Pixels:
    """Return a grey picture of 16 bits as float32 from 0 to 1."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.max(initial=0) > 65535 or values.min(initial=0) < 0:
        raise ValueError(f"its mode is {picture.mode}; accepted are 8 and 16 bits a value")
    grey = values.astype(np.float32) / np.float32(65535)
    return np.repeat(grey[:, :, None], 3, axis=2) if colour else grey


def _stack(file: Path, name: str, colour: bool, include: re.Pattern[str]) -> _Read:
    with file.open("rb") as opened:
        arrays = np.load(opened, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is no .npz archive")
        images, labels = arrays["images"], arrays.get("labels")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(
            f"its array images is {images.dtype} of shape {images.shape}; accepted is uint8 (n, y, x[, 3])"
        )
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"its array labels has shape {labels.shape}; accepted is {images.shape[:1]}")
    for i, pixels in enumerate(images):
        numbered = f"{name}#{i:05d}"
        if include.search(numbered):
            if colour != (pixels.ndim == 3):
                pixels = np.asarray(Image.fromarray(pixels).convert("RGB" if colour else "L"))
            yield numbered, pixels, {} if labels is None else {"label": str(labels[i])}


def _to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) * np.float32(1 / 255)
    return pixels.astype(np.float32, copy=False)
