"""Collection: pictures of any size in one flat buffer, and how it is filled."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.shards import WHOLE, Shard
from stream_infomax.sources.files import UNREADABLE, Found, find, key_of, name_of
from stream_infomax.sources.images import SUFFIXES
from stream_infomax.sources.inventory import LATER, Inventory, entry
from stream_infomax.sources.labels import Labels
from stream_infomax.sources.pages import PageError, Picture, Pixels, Reader

ACCEPTED = f"pictures that Pillow reads ({', '.join(SUFFIXES[:-1])}) and .npz stacks"
MAX_BYTES = 8 << 30
TOO_SMALL = "pictures smaller than crop"
UNREADABLE_PAGES = "unreadable pages"

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

log = logging.getLogger(__name__)
Indices = npt.NDArray[np.int64]


@dataclass
class Collection:
    """Pictures one after the other in one flat buffer, row by row.

    Attributes
    ----------
    names
        Path below the folder; of stacks with the number behind ``#``.
    labels
        Of each picture.
    starts, heights, widths
        Place of each picture's first pixel in the buffer, and its size: arrays of shape (n_pictures,).
    left_out
        How many of what is not used.
    refused
        A sentence on each file or page that cannot be used.
    without_label
        How many pictures have no label although there are some.
    inventory
        The files that the pictures are from; empty for a bundled set.
    """

    names: list[str] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    without_label: int = 0
    inventory: Inventory = field(default_factory=dict)
    _pieces: list[Pixels] = field(default_factory=list)
    _n_bytes: int = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    def take(self, picture: Picture | Exception, file: Path, crop: tuple[int, int], labels: Labels) -> None:
        """Append a picture of a file, or note why it cannot be used.

        Raises
        ------
        ValueError
            Where all together take more than `MAX_BYTES`.
        """
        if isinstance(picture, Exception):
            kind = UNREADABLE_PAGES if isinstance(picture, PageError) else UNREADABLE
            self._refuse(kind, f"{file}: {picture}")
            return
        y, x = picture.pixels.shape[:2]
        if y < crop[0] or x < crop[1]:
            self._refuse(TOO_SMALL, f"{file}: its {y} × {x} pixels hold no crop of {crop}")
            return
        self._n_bytes += picture.pixels.nbytes
        if self._n_bytes > MAX_BYTES:
            raise ValueError(f"the pictures take more than {MAX_BYTES:,} bytes; accepted are fewer, by `include`")
        self.names.append(picture.name)
        self.labels.append({**picture.labels, **labels.of(picture.name, picture.labels)})
        self._pieces.append(picture.pixels)

    def _refuse(self, kind: str, why: str) -> None:
        self.left_out[kind] += 1
        if why not in self.refused[-1:]:  # once for the pictures of a stack
            self.refused.append(why)

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


class Wanted(NamedTuple):
    """Which pictures are wanted, and with which labels.

    Attributes
    ----------
    colour
        Red, green and blue; else grey.
    include
        What is found in their names.
    crop
        What they are at least as large as.
    labels, labels_csv
        A pattern and a CSV file; empty for none.
    shard
        Whose files are used.
    """

    colour: bool
    include: re.Pattern[str]
    crop: tuple[int, int]
    labels: str
    labels_csv: str
    shard: Shard = WHOLE


def read(path: str, wanted: Wanted, only: Container[bytes] | None = None) -> Collection:
    """Return the pictures at `path`.

    Where `only` is given, they come from no other files than these, named as in an inventory.
    """
    bundled = path.startswith("skimage:")
    table = Path(wanted.labels_csv) if wanted.labels_csv else None
    found = natural_pictures(path) if bundled else find(Path(path), SUFFIXES, ACCEPTED, table, wanted.shard)
    labels = Labels(wanted.labels, wanted.labels_csv, None if bundled else Path(path), "picture")
    collection = Collection(left_out=found.left_out)
    reader = Reader(wanted.colour, wanted.include)
    for file in found.files:
        key = key_of(file, found.folder)
        if not wanted.shard.has(key):
            continue
        if only is not None and key not in only:
            collection.left_out[LATER] += 1
            continue
        first = len(collection)
        for picture in reader.read(file, key.decode("utf-8", "replace")):
            collection.take(picture, file, wanted.crop, labels)
        if len(collection) > first and not bundled:
            of_file = dict(zip(collection.names[first:], collection.labels[first:], strict=True))
            collection.inventory[key] = entry(file, of_file if table else {})
    collection.left_out += reader.left_out
    if not collection.names:
        reasons = "; ".join(collection.refused[:3])
        if not reasons:
            here = [file for file in found.files if wanted.shard.has(key_of(file, found.folder))]
            reasons = f"include = {wanted.include.pattern!r} fits none" if found.files else found.nothing()
            reasons = f"none of {len(found.files):,} files is of its shard" if found.files and not here else reasons
        raise SettingError("path", path, f"{ACCEPTED}, or a folder of them", f"no usable picture ({reasons})")
    for sentence in collection.refused:
        log.warning("passed over %s", sentence)
    names = [*collection.names, *reader.passed_over, *(name_of(file, found.folder) for file in found.files)]
    collection.left_out += labels.check(Path(path), collection.names[0], names)
    collection.without_label = labels.without
    collection.close()
    return collection


def natural_pictures(path: str = "skimage:natural") -> Found:
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
    return Found(files, folder, Counter())


def _to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) * np.float32(1 / 255)
    return pixels.astype(np.float32, copy=False)
