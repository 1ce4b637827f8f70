"""View: what of a video's or a camera's picture becomes the rows of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.types import Doc, NotNegative, Positive

if TYPE_CHECKING:  # PyAV is an extra
    from av import VideoFrame

Pixels = npt.NDArray[np.float32]

Mode = Annotated[
    Literal["pictures", "patches"],
    Doc(
        "`pictures`: a frame is one picture, which windows of the form `grid` cut into patches. `patches`: a frame is "
        "`items` random crops of one picture."
    ),
]
Crop = Annotated[tuple[Positive, Positive], Doc("Height and width of what is cut out, in the mode `patches`.")]
Items = Annotated[Positive, Doc("Crops of a picture, in the mode `patches`.")]
Size = Annotated[
    tuple[NotNegative, NotNegative],
    Doc("Height and width to which each picture is brought (means over areas); 0, 0 leaves it as it is."),
]
Colour = Annotated[bool, Doc("Keep red, green and blue; else the luma.")]


class View:
    """What becomes of a picture.

    Parameters
    ----------
    mode, crop, items, size, colour, seed
        As the settings have them.
    """

    def __init__(
        self, mode: str, crop: tuple[int, int], items: int, size: tuple[int, int], colour: bool, seed: int
    ) -> None:
        if any(size) and not all(size):
            raise SettingError("size", list(size), "a height and a width, or 0 and 0")
        self.patches = mode == "patches"
        self.crop, self.items, self.size, self.colour, self.seed = crop, items, size, colour, seed
        if self.patches and all(size) and (size[0] < crop[0] or size[1] < crop[1]):
            raise SettingError("crop", list(crop), f"at most the size of a picture, {list(size)}")

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of a frame's array."""
        return ("item" if self.patches else "time", "y", "x", *(("colour",) if self.colour else ()))

    @property
    def rows(self) -> int:
        """Rows of a frame."""
        return self.items if self.patches else 1

    def row(self, picture: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of a row, for pictures of a height and width."""
        sides = self.crop if self.patches else self.size if all(self.size) else picture
        return (*sides, 3) if self.colour else sides

    def fits(self, picture: tuple[int, int], row: tuple[int, ...]) -> bool:
        """Return whether a picture of a height and width gives rows of this shape."""
        if all(self.size):
            return True
        return all(np.greater_equal(picture, self.crop)) if self.patches else picture == row[:2]

    def take(self, frame: VideoFrame, number: int) -> Array:
        """Return the rows of a decoded picture, values from 0 to 1; random choices depend on seed and number alone."""
        picture = self._picture(frame)
        if not self.patches:
            return Array(picture[None], self.axes)
        generator = np.random.default_rng([self.seed, number])
        y = generator.integers(picture.shape[0] - self.crop[0] + 1, size=self.items)
        x = generator.integers(picture.shape[1] - self.crop[1] + 1, size=self.items)
        down, right = np.arange(self.crop[0]), np.arange(self.crop[1])
        return Array(picture[(y[:, None] + down)[:, :, None], (x[:, None] + right)[:, None, :]], self.axes)

    def nothing(self, row: tuple[int, ...]) -> Array:
        """Return the rows of a picture that cannot be had: NaN."""
        return Array(np.full((self.rows, *row), np.nan, np.float32), self.axes)

    def _picture(self, frame: VideoFrame) -> Pixels:
        """Return a picture upright, in its own depth: (y, x) or (y, x, 3)."""
        turns = turns_of(frame)
        height, width = self.size if all(self.size) else upright(frame)
        if turns % 2:
            height, width = width, height
        deep = max(component.bits for component in frame.format.components) > 8
        form = ("rgb48le" if deep else "rgb24") if self.colour else ("gray16le" if deep else "gray")
        to: dict[str, Any] = {"width": width, "height": height, "format": form, "interpolation": "AREA"}
        pixels = frame.to_ndarray(**to)
        return np.rot90(pixels, turns).astype(np.float32) / np.float32(65535 if deep else 255)


def turns_of(frame: VideoFrame) -> int:
    """Return by how many quarter turns (counterclockwise) a camera wants its picture to be turned."""
    return round(frame.rotation / 90) % 4


def upright(frame: VideoFrame) -> tuple[int, int]:
    """Return height and width of a picture that stands upright."""
    return (frame.width, frame.height) if turns_of(frame) % 2 else (frame.height, frame.width)
