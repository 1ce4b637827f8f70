"""The pictures that a file holds: pages of a picture file, and the items of an .npz stack, decoded one by one."""

from __future__ import annotations

import logging
import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional

with optional():
    from PIL import Image, ImageOps, UnidentifiedImageError

from stream_infomax.sources.bounds import check_size
from stream_infomax.sources.labels import texts
from stream_infomax.sources.murmur import caught_with_warnings, tell
from stream_infomax.sources.npy_head import read_heads

# What Pillow and NumPy raise on files that are not what their name says.
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError, RuntimeError, struct.error),
    *(Image.DecompressionBombError, zipfile.BadZipFile, zlib.error),
)
# A value of 255 at an opacity of 0 is seen as the ground behind: the middle grey, on which black and white both stand.
GROUND = 128
DEEP = ("I", "I;16", "I;16B", "F")
# In the tag NewSubfileType of a TIFF page: a smaller copy of another page.
SUBFILE_TYPE, REDUCED = 254, 1

NOT_INCLUDED = "pictures that include does not fit"

log = logging.getLogger(__name__)
Pixels = npt.NDArray[Any]


class Picture(NamedTuple):
    """One picture: its name, its pixels, uint8 or float32 from 0 to 1, (y, x) or (y, x, 3), and its labels."""

    name: str
    pixels: Pixels
    labels: dict[str, str]


class PageError(ValueError):
    """A page of a file cannot be read."""


class Reader:
    """Reads files of pictures, and counts what it leaves out of them.

    Parameters
    ----------
    colour
        Whether pictures are red, green and blue; else grey.
    include
        Pictures in whose name it is found are read. A page of several is called ``file.tif#00002``, like an item of a
        stack.

    Attributes
    ----------
    left_out
        How many of what is not used.
    passed_over
        The names of the pictures that `include` does not fit.
    """

    def __init__(self, colour: bool, include: re.Pattern[str]) -> None:
        self.colour = colour
        self.include = include
        self.left_out: Counter[str] = Counter()
        self.passed_over: list[str] = []

    def read(self, file: Path, name: str) -> Iterator[Picture | Exception]:
        """Yield the pictures of a file, and why one could not be read; the others come all the same."""
        read = self._stack if file.suffix.lower() == ".npz" else self._pages
        try:
            yield from read(file, name)
        except UnidentifiedImageError:
            yield ValueError("Pillow finds no picture in it")
        except UNREADABLE as error:
            yield error
        except MemoryError:
            yield ValueError("it announces more than the memory holds")

    def _wanted(self, name: str) -> bool:
        if self.include.search(name):
            return True
        self.left_out[NOT_INCLUDED] += 1
        self.passed_over.append(name)
        return False

    def _pages(self, file: Path, name: str) -> Iterator[Picture | Exception]:
        said: list[str] = []
        try:
            with caught_with_warnings(said):
                image = Image.open(file)
            with image:
                with caught_with_warnings(said):
                    n_pages = int(getattr(image, "n_frames", 1))
                yield from self._pages_of(file, image, n_pages, name, said)
        finally:
            tell(file, [line for line in said if "decompression bomb" not in line])  # all together are limited

    def _pages_of(
        self, file: Path, image: Image.Image, n_pages: int, name: str, said: list[str]
    ) -> Iterator[Picture | Exception]:
        n_bytes = 0
        if image.format == "MPO":  # previews, depth and gain maps of a camera
            self.left_out["further images of MPO files"] += n_pages - 1
            n_pages = 1
        for page in range(n_pages):
            numbered = name if n_pages == 1 else f"{name}#{page:05d}"
            if not self._wanted(numbered):
                continue
            try:
                with caught_with_warnings(said):
                    image.seek(page)
            except UNREADABLE as error:
                yield PageError(f"page {page} of {n_pages}, and those behind it: {error}")
                return
            if page and _is_smaller_copy(image):
                self.left_out["smaller copies of TIFF pages"] += 1
                continue
            working, kept = self._bytes_of(image)
            try:
                check_size(file, n_bytes + working, f"page {page} with those before it" if page else "it")
            except ValueError as error:
                yield PageError(f"{error}; pages {page} to {n_pages - 1} are left out") if page else error
                return
            try:
                with caught_with_warnings(said):
                    pixels = self._pixels(image, numbered)
                n_bytes += kept
                yield Picture(numbered, pixels, {})
            except UNREADABLE as error:
                reason = str(error)
                reason = f"its data are damaged ({reason})" if "decoder error" in reason else reason
                yield ValueError(reason) if n_pages == 1 else PageError(f"page {page}: {reason}")

    def _bytes_of(self, image: Image.Image) -> tuple[int, int]:
        """Return the bytes that a picture takes while it is decoded, and those of its pixels then."""
        n_pixels, colours = math.prod(image.size), 3 if self.colour else 1
        if image.mode in DEEP:
            return n_pixels * 4 * (2 + colours), n_pixels * 4 * colours
        stored = 12 if image.has_transparency_data else 2 * len(image.getbands())
        return n_pixels * (stored + colours), n_pixels * colours

    def _pixels(self, image: Image.Image, name: str) -> Pixels:
        picture = ImageOps.exif_transpose(image)
        if picture.mode in DEEP:
            return _deep(picture, self.colour)
        mode = "RGB" if self.colour else "L"
        if not picture.has_transparency_data:
            return np.asarray(picture.convert(mode))
        seen = picture.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (GROUND, GROUND, GROUND, 255))
        pixels = np.asarray(Image.alpha_composite(ground, seen).convert(mode))
        if np.asarray(seen)[..., 3].min() < 255 and pixels.min() == pixels.max():
            log.warning("%s: nothing is to be seen on a ground of grey, which stands behind what is transparent", name)
        return pixels

    def _stack(self, file: Path, name: str) -> Iterator[Picture]:
        with file.open("rb") as opened:
            arrays = np.load(opened, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is no .npz archive")
            archive = arrays.zip
            assert archive is not None  # it is open
            used = ("images.npy", "labels.npy")
            check_size(file, sum(entry.file_size for entry in archive.infolist() if entry.filename in used))
            read_heads(file, used)  # none of them says that it is larger
            images, labels = _array(arrays, "images"), _array(arrays, "labels") if "labels" in arrays else None
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
            raise ValueError(
                f"its array images is {images.dtype} of shape {images.shape}; accepted is uint8 (n, y, x[, 3])"
            )
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"its array labels has shape {labels.shape}; accepted is {images.shape[:1]}")
        words = [None] * len(images) if labels is None else texts(labels)
        for i, (pixels, label) in enumerate(zip(images, words, strict=True)):
            numbered = f"{name}#{i:05d}"
            if self._wanted(numbered):
                if self.colour != (pixels.ndim == 3):
                    pixels = np.asarray(Image.fromarray(pixels).convert("RGB" if self.colour else "L"))
                yield Picture(numbered, pixels, {} if label is None else {"label": label})


def _is_smaller_copy(page: Image.Image) -> bool:
    kind = getattr(page, "tag_v2", {}).get(SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & REDUCED)


def _array(arrays: np.lib.npyio.NpzFile, key: str) -> npt.NDArray[Any]:
    if key not in arrays:
        raise ValueError(f"it holds no array {key}, but {', '.join(arrays)}")
    try:
        array = arrays[key]
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError(f"its array {key} holds Python objects; accepted are numbers and texts") from error
        raise
    if not isinstance(array, np.ndarray):
        raise ValueError(f"its {key} is no array")
    return array


def _deep(picture: Image.Image, colour: bool) -> Pixels:
    """Return a grey picture of 16 bits as float32 from 0 to 1."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.max(initial=0) > 65535 or values.min(initial=0) < 0:
        raise ValueError(f"its mode is {picture.mode}; accepted are 8 and 16 bits a value")
    grey = values.astype(np.float32)
    grey /= np.float32(65535)
    return np.repeat(grey[:, :, None], 3, axis=2) if colour else grey
