"""Files that hold more than one picture, and pictures that are more than grey values: nothing vanishes unsaid."""

import logging
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers.extras import extra

extra("PIL")
from PIL import Image, TiffImagePlugin  # noqa: E402

from stream_infomax.sources.images import ImageSource  # noqa: E402

Pixels = npt.NDArray[np.uint8]


def noise(number: int, size: int = 24) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (size, size)).astype(np.uint8)


def write_pages(path: Path, n: int = 3) -> Path:
    first, *others = (Image.fromarray(noise(number)) for number in range(n))
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **lossless)
    return path


def tiles(path: Path, size: int = 24, **settings: object) -> tuple[ImageSource, dict[str, npt.NDArray[np.float32]]]:
    """Return the source, and by their names the whole pictures."""
    source = ImageSource(path, mode="tiles", crop=(size, size), **settings)
    return source, {frame.segment.split("@")[0]: frame.arrays["source"].data[0] for frame in source.frames()}


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_every_page_is_a_picture(tmp_path: Path, suffix: str) -> None:
    source, found = tiles(write_pages(tmp_path / f"a.{suffix}"))
    assert list(found) == [f"a.{suffix}#{page:05d}" for page in range(3)]
    for page, values in enumerate(found.values()):
        np.testing.assert_allclose(values, noise(page) / 255, atol=0.003)
    assert source.counts() == {"pictures": 3, "pictures without label": 0}


def test_a_page_alone_keeps_the_name_of_its_file(tmp_path: Path) -> None:
    assert list(tiles(write_pages(tmp_path / "a.tif", 1))[1]) == ["a.tif"]


def test_pages_can_be_chosen(tmp_path: Path) -> None:
    source, found = tiles(write_pages(tmp_path / "a.tif"), include="#00002")
    assert list(found) == ["a.tif#00002"]
    assert source.counts()["left out: pictures that include does not fit"] == 2


def test_smaller_copies_of_a_page_are_left_out_and_counted(tmp_path: Path) -> None:
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "a.tif", new=True) as writer:
        for size, kind in ((48, 0), (24, 1)):
            Image.fromarray(noise(0, size)).save(writer, format="TIFF", tiffinfo={254: kind})
            writer.newFrame()
    source, found = tiles(tmp_path / "a.tif")
    assert list(found) == ["a.tif#00000"]
    assert source.counts()["left out: smaller copies of TIFF pages"] == 1


def test_a_page_that_is_too_small_takes_none_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, *others = (Image.fromarray(noise(number, size)) for number, size in enumerate((8, 24, 9, 24)))
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    source, found = tiles(tmp_path / "a.tif")
    assert list(found) == ["a.tif#00001", "a.tif#00003"]
    assert source.counts()["left out: pictures smaller than crop"] == 2
    assert "a.tif: its 8 × 8 pixels hold no crop" in caplog.text


def test_pages_behind_the_end_of_a_cut_file_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_pages(tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    with Image.open(path) as image:
        image.seek(2)
        image.tag_v2.get(273)
        (place,) = image.tag_v2[273]
    content[place:] = content[place : place + 100]
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        try:
            source, found = tiles(path)
        except ValueError as error:
            assert "a.tif" in str(error)
            return
    assert len(found) == 2
    assert source.counts()["left out: unreadable pages"] == 1
    assert "a.tif: page 2" in caplog.text


def disc(ground: tuple[int, ...], drawn: tuple[int, ...], size: int = 24) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:size, :size]
    inside = (y - size / 2) ** 2 + (x - size / 2) ** 2 < size**2 / 9
    return np.where(inside[..., None], np.array(drawn), np.array(ground)).astype(np.uint8)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    ("ground", "drawn"),
    [
        ((255, 255, 255, 0), (255, 255, 255, 255)),
        ((0, 0, 0, 0), (0, 0, 0, 255)),
        ((255, 0), (255, 255)),
    ],
    ids=["white on nothing", "black on nothing", "grey values with alpha"],
)
def test_a_drawing_on_nothing_is_seen(
    tmp_path: Path, ground: tuple[int, ...], drawn: tuple[int, ...], colour: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(disc(ground, drawn)).save(tmp_path / "a.png")
    (values,) = tiles(tmp_path / "a.png", colour=colour)[1].values()
    assert values[12, 12].mean() == drawn[0] / 255
    np.testing.assert_allclose(values[0, 0], 128 / 255, atol=1e-6)
    assert not caplog.records


def test_colours_hidden_behind_nothing_are_not_seen(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 4)).astype(np.uint8)
    pixels[:, :12, 3] = 0
    pixels[:, 12:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (values,) = tiles(tmp_path / "a.png")[1].values()
    assert values[:, :12].std() == 0
    assert values[:, 12:].std() > 0.1


def test_half_transparent_colours_are_mixed_with_the_ground(tmp_path: Path) -> None:
    Image.fromarray(disc((255, 255, 255, 0), (255, 255, 255, 51))).save(tmp_path / "a.png")
    (values,) = tiles(tmp_path / "a.png")[1].values()
    np.testing.assert_allclose(values[12, 12], (0.2 * 255 + 0.8 * 128) / 255, atol=0.005)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_a_colour_of_the_palette_that_is_transparent(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(disc((0,), (1,))[..., 0], "P").save(tmp_path / f"a.{suffix}", transparency=0)
    picture = Image.fromarray(disc((0,), (1,))[..., 0])
    palette = picture.convert("P")
    palette.putpalette([200, 200, 200, 200, 200, 200])
    palette.save(tmp_path / f"a.{suffix}", transparency=0)
    (values,) = tiles(tmp_path / f"a.{suffix}")[1].values()
    np.testing.assert_allclose((values[0, 0], values[12, 12]), (128 / 255, 200 / 255), atol=0.003)


def test_a_drawing_in_the_colour_of_the_ground_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(disc((0, 0, 0, 0), (128, 128, 128, 255))).save(tmp_path / "a.png")
    tiles(tmp_path / "a.png")
    assert "a.png: nothing is to be seen" in caplog.text


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([pixels, np.full((24, 24), 255, np.uint8)])).save(tmp_path / "b.png")
    for colour in (False, True):
        a, b = tiles(tmp_path, colour=colour)[1].values()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("orientation", "turned"), [(3, 2), (6, -1), (8, 1)])
def test_pictures_stand_upright(tmp_path: Path, orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(0)).save(tmp_path / "a.tif", exif=exif)
    (values,) = tiles(tmp_path / "a.tif")[1].values()
    np.testing.assert_allclose(values, np.rot90(noise(0), turned) / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_pictures_of_every_usual_mode(tmp_path: Path, mode: str) -> None:
    pixels = np.repeat(np.repeat(255 * (noise(0, 12) > 127).astype(np.uint8), 2, axis=0), 2, axis=1)
    Image.fromarray(pixels).convert("RGB").convert(mode).save(tmp_path / "a.tif")
    (values,) = tiles(tmp_path / "a.tif")[1].values()
    assert np.corrcoef(values.ravel(), pixels.ravel())[0, 1] > 0.95


@pytest.mark.usefixtures("alone")
def test_what_a_decoder_warns_of_has_the_name_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a tag that points behind the end Pillow warns; of data that are damaged libtiff writes to stderr itself."""
    exif = Image.Exif()
    exif[270] = "a picture of noise"
    Image.fromarray(noise(0)).save(tmp_path / "a.tif", exif=exif)
    content = (tmp_path / "a.tif").read_bytes()
    place = content.index(struct.pack("<HH", 270, 2)) + 8
    (tmp_path / "a.tif").write_bytes(content[:place] + b"\xff\xff\xff\0" + content[place + 4 :])
    Image.fromarray(noise(0)).save(tmp_path / "c.tif", compression="tiff_lzw")
    content = (tmp_path / "c.tif").read_bytes()
    (tmp_path / "c.tif").write_bytes(content.replace(content[100:110], bytes([255] * 10)))
    Image.fromarray(noise(0)).save(tmp_path / "b.png")
    with caplog.at_level(logging.WARNING):
        tiles(tmp_path)
    assert "a.tif: its decoder says: " in caplog.text
    assert "c.tif: its decoder says: " in caplog.text
    assert "c.tif: its data are damaged (decoder error" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_large_picture_is_no_reason_for_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    write_pages(tmp_path / "a.png", 1)
    assert len(tiles(tmp_path / "a.png")[1]) == 1
    assert not caplog.records
