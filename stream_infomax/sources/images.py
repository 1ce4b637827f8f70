"""ImageSource: pictures as random patches, seeded crops or tiles, with random access."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline, count_values
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.shards import WHOLE, ShardText, shard_of
from stream_infomax.settings.types import Doc, NotNegative, Positive, Seed
from stream_infomax.sources import inventory
from stream_infomax.sources.files import counted, counted_files, counted_of
from stream_infomax.sources.labels import beside, compile_pattern

if TYPE_CHECKING:  # Pillow is an extra, and whoever reads a configuration does not need it
    from stream_infomax.sources.pictures import Collection

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".npz")
# Files that may hold several pictures.
SEVERAL = r"\.(tiff?|gif|webp|npz|TIFF?|GIF|WEBP|NPZ)$"

log = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]


class ImageSettings(Settings, frozen=True, kw_only=True):
    """A picture, a folder, a stack or a bundled set of pictures, cut into crops or tiles."""

    path: Annotated[
        str,
        Doc(
            "A picture, a folder with subfolders, a stack (`.npz` with the array `images` of shape (n, y, x) or (n, y, "
            "x, 3) and, maybe, `labels` of shape (n,)), or `skimage:natural`: the photographs and textures that come "
            "with the package scikit-image. Every page of a file is a picture; grey stands behind what is transparent."
        ),
    ]
    crop: Annotated[tuple[Positive, Positive], Doc("Height and width of what is cut out.")] = (12, 12)
    items: Annotated[Positive, Doc("Crops of a frame, in the mode `patches`.")] = 256
    mode: Annotated[
        Literal["patches", "crops", "tiles"],
        Doc(
            "`patches`: a frame is `items` random crops, each place in all pictures as likely as any other; they have "
            "no segment. `crops`: a frame is one random crop, a segment of its own; pictures are equally likely, "
            "places within one too. `tiles`: a frame is one of the crops that lie side by side from a picture's upper "
            "left corner on, a segment of its own."
        ),
    ] = "patches"
    colour: Annotated[bool, Doc("Keep red, green and blue; else the luma 0.299 R + 0.587 G + 0.114 B.")] = False
    frames: Annotated[
        NotNegative, Doc("Frames in all. 0, for tiles only: each tile once; more than there are begins again.")
    ] = 0
    labels: Annotated[
        str,
        Doc(
            "A regular expression, searched for in the picture's path below `path`; its named groups become labels of "
            "crops and tiles. A stack's own labels come under `label`."
        ),
    ] = ""
    labels_csv: Annotated[
        str,
        Doc(
            "A CSV file with a head line: the first column names the picture (its path below `path`, or as seen from "
            "the CSV file, or its name), the others become labels under their column's name; an empty cell is none."
        ),
    ] = ""
    include: Annotated[
        str,
        Doc(
            "A regular expression: only pictures in whose path it is found are used. Pictures of a stack are called "
            "`file.npz#00042`, pages of a file of several `file.tif#00002`."
        ),
    ] = ""
    order: Annotated[
        Literal["sorted", "shuffled"],
        Doc("Of tiles: `sorted` by picture and place, or `shuffled`, differently in each repetition."),
    ] = "sorted"
    shard: ShardText = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        shard_of(self.shard)
        if self.labels and not compile_pattern("labels", self.labels).groupindex:
            raise SettingError("labels", self.labels, "a pattern like '(?P<texture>[a-z]+)_'", "names no group")
        if self.frames == 0 and self.mode != "tiles":
            raise SettingError("frames", 0, "1 or more", f"mode = {self.mode!r} never ends")
        compile_pattern("include", self.include)

    def holds(self) -> int:
        """Return how many frames the shard has, or, where each tile is one, how many files."""
        if self.frames:
            return len(shard_of(self.shard).stretch(self.frames))
        # The pictures of a file of several have names that only the file tells.
        include = f"{self.include}|{SEVERAL}" if self.include else ""
        if self.path.startswith("skimage:"):
            from stream_infomax.sources.pictures import natural_pictures

            return counted_of(natural_pictures(self.path), include, self.shard)
        return counted_files(self.path, SUFFIXES, include, self.labels_csv, self.shard)

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the source needs."""
        return ("PIL", "skimage") if self.path.startswith("skimage:") else ("PIL",)


@configured_by(ImageSettings)
class ImageSource:
    """Rectangles cut out of pictures; grey or colour values from 0 to 1.

    Pictures stay in memory as they are stored (8-bit ones at a byte a value). Random choices of a frame come from
    a generator seeded by (seed, offset): any frame can be made at once.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Raises
    ------
    SettingError
        A setting that is not accepted; nothing at `path`, a single picture that cannot be read, nothing readable;
        labels that fit no picture. Bad pictures of a folder, and those smaller than `crop`, are logged, counted and
        passed over.
    ValueError
        Pictures of more than 8 GiB in all.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        given = make(ImageSettings, {"path": path, **settings})
        if not given.path:
            raise SettingError("path", "", "a picture, a folder, an .npz stack or skimage:natural", "empty")
        require(*given.needs())
        self.name = name
        self.crop = given.crop
        self.items = given.items
        self.mode = given.mode
        self.colour = given.colour
        self.shuffled = given.order == "shuffled"
        self.seed = given.seed
        self.path = given.path
        # What is drawn is divided by frames, and tiles, each of which is one, by files.
        self._shard = WHOLE if given.frames else shard_of(given.shard)
        stretch = shard_of(given.shard).stretch(given.frames)
        self._first, self._frames = stretch.start, len(stretch)
        if given.frames and not self._frames:
            raise SettingError("shard", given.shard, "a shard with data", f"none of {given.frames:,} frames is in it")
        self._include = given.include
        self._labelled = given.labels, given.labels_csv
        is_bundled = self.path.startswith("skimage:")
        self._beside = "" if any(self._labelled) or is_bundled else beside(Path(self.path))
        self._read()

    def _read(self, only: Container[bytes] | None = None) -> None:
        """Take in the pictures, or only those from some of the files."""
        from stream_infomax.sources.pictures import Wanted, read

        wanted = Wanted(self.colour, compile_pattern("include", self._include), self.crop, *self._labelled, self._shard)
        self.pictures: Collection = read(self.path, wanted, only)
        # Places where a crop can begin, and tiles, as running totals over the pictures.
        heights, widths = self.pictures.heights, self.pictures.widths
        self._places = np.cumsum((heights - self.crop[0] + 1) * (widths - self.crop[1] + 1))
        self._tiles = np.cumsum((heights // self.crop[0]) * (widths // self.crop[1]))
        self.n_frames = self._frames or int(self._tiles[-1])

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.n_frames

    def outline(self) -> Outline:
        """Return what the pictures come to."""
        is_patches = self.mode == "patches"
        return Outline(
            frames=len(self),
            segments={self.items * len(self): 1} if is_patches else {1: len(self)},
            row=(*self.crop, 3) if self.colour else self.crop,
            labels={} if is_patches else count_values(self.pictures.labels),
            about=f"{len(self.pictures):,} pictures",
            left_out=self.pictures.left_out,
            warning=self._beside,
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("item", "y", "x") or with "colour" behind."""
        cut = self._patches if self.mode == "patches" else self._single
        for offset in range(max(0, start), self.n_frames):
            yield cut(offset)

    def state(self) -> State:
        """Return the inventory of the files."""
        return inventory.to_state(self.pictures.inventory)

    def restore(self, state: State) -> None:
        """Leave out the pictures in files that are not in the inventory.

        Raises
        ------
        ValueError
            Where a file that is in it is missing or has changed.
        """
        before = inventory.from_state(state)
        added = inventory.added(before, self.pictures.inventory, f"path = {str(self.path)!r}")
        if added:
            log.warning("left out, added since this run began: %s", inventory.listed(added))
            self._read(only=before)

    def counts(self) -> Counts:
        """Return the counts of pictures, and of what was left out."""
        return {
            "pictures": len(self.pictures),
            "pictures without label": self.pictures.without_label,
            **counted(self.pictures.left_out),
        }

    def _patches(self, offset: int) -> Frame:
        generator = np.random.default_rng([self.seed, self._first + offset])
        place = generator.integers(self._places[-1], size=self.items)
        picture = np.searchsorted(self._places, place, side="right")
        within = place - np.concatenate([[0], self._places])[picture]
        y, x = np.divmod(within, self.pictures.widths[picture] - self.crop[1] + 1)
        end = offset == self.n_frames - 1
        return Frame(stream=self.name, offset=offset, arrays=self._cut(picture, y, x), last=end, end=end)

    def _single(self, offset: int) -> Frame:
        picture, y, x = (self._random_crop if self.mode == "crops" else self._tile)(self._first + offset)
        return Frame(
            stream=self.name,
            offset=offset,
            segment=f"{self.pictures.names[picture]}@{y},{x}",
            arrays=self._cut(np.array([picture]), np.array([y]), np.array([x])),
            last=True,
            end=offset == self.n_frames - 1,
            labels=self.pictures.labels[picture],
        )

    def _random_crop(self, offset: int) -> tuple[int, int, int]:
        generator = np.random.default_rng([self.seed, offset])
        picture = int(generator.integers(len(self.pictures)))
        y = int(generator.integers(self.pictures.heights[picture] - self.crop[0] + 1))
        x = int(generator.integers(self.pictures.widths[picture] - self.crop[1] + 1))
        return picture, y, x

    def _tile(self, offset: int) -> tuple[int, int, int]:
        n_tiles = int(self._tiles[-1])
        round_, tile = divmod(offset, n_tiles)
        if self.shuffled:
            tile = int(_permutation(self.seed, round_, n_tiles)[tile])
        picture = int(np.searchsorted(self._tiles, tile, side="right"))
        within = tile - (int(self._tiles[picture - 1]) if picture else 0)
        y, x = divmod(within, int(self.pictures.widths[picture]) // self.crop[1])
        return picture, y * self.crop[0], x * self.crop[1]

    def _cut(self, picture: Indices, y: Indices, x: Indices) -> dict[str, Array]:
        """Return the crops whose upper left corners are given, as this source's array."""
        width = self.pictures.widths[picture]
        corner = self.pictures.starts[picture] + y * width + x
        rows = corner[:, None] + np.arange(self.crop[0]) * width[:, None]
        values = self.pictures.values(rows[:, :, None] + np.arange(self.crop[1]))
        return {self.name: Array(values, ("item", "y", "x", "colour")[: values.ndim])}


@lru_cache(maxsize=2)
def _permutation(seed: int, round_: int, size: int) -> Indices:
    return np.random.default_rng([seed, round_]).permutation(size)
