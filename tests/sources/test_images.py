"""Pictures as frames: patches, crops and tiles, random access, and files that are not what they should be."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers.extras import extra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

extra("skimage")
from PIL import Image  # noqa: E402

from stream_infomax.frames import wire  # noqa: E402
from stream_infomax.frames.frame import Frame  # noqa: E402
from stream_infomax.settings.error import SettingError  # noqa: E402
from stream_infomax.sources.images import ImageSource  # noqa: E402
from stream_infomax.sources.pictures import natural_pictures  # noqa: E402

Pixels = npt.NDArray[np.uint8]


def gradient(height: int, width: int, first: int = 0) -> Pixels:
    """Return a picture that tells where in it a pixel lies."""
    return ((np.arange(height)[:, None] * width + np.arange(width) + first) % 251).astype(np.uint8)


def values_of(frame: Frame) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = frame.arrays["source"].data
    return values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures: grey, grey and colour, one of them below."""
    Image.fromarray(gradient(20, 30)).save(tmp_path / "a_wall.png")
    Image.fromarray(gradient(12, 16, 7)).save(tmp_path / "b_grass.png")
    (tmp_path / "more").mkdir()
    colour = np.random.default_rng(0).integers(0, 256, (24, 13, 3)).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "more" / "c_wall.bmp")
    return tmp_path


def test_patches_are_crops_of_the_pictures(folder: Path) -> None:
    source = ImageSource(folder / "a_wall.png", crop=(3, 4), items=50, frames=2)
    stored = gradient(20, 30).astype(np.float32) / 255
    everywhere = np.lib.stride_tricks.sliding_window_view(stored, (3, 4)).reshape(-1, 12)
    frames = list(source.frames())
    assert [frame.end for frame in frames] == [False, True]
    for frame in frames:
        assert frame.arrays["source"].axes == ("item", "y", "x")
        assert values_of(frame).dtype == np.float32
        for patch in values_of(frame):
            assert np.abs(everywhere - patch.ravel()).max(axis=1).min() < 1e-6


def test_every_place_of_all_pictures_is_equally_likely(folder: Path) -> None:
    Image.fromarray(np.full((10, 10), 255, np.uint8)).save(folder / "d_white.png")
    source = ImageSource(folder, include="a_|d_", crop=(10, 10), items=5000, frames=1)
    white = (values_of(next(source.frames())) == 1).all(axis=(1, 2)).mean()
    n_places = 11 * 21 + 1
    assert abs(white - 1 / n_places) < 4 * np.sqrt(1 / n_places / 5000)


def test_tiles_in_order_hold_each_pixel_once(folder: Path) -> None:
    source = ImageSource(folder, crop=(6, 5), mode="tiles")
    frames = list(source.frames())
    assert len(frames) == len(source) == 3 * 6 + 2 * 3 + 4 * 2
    assert [frame.segment for frame in frames[:7]] == [
        *(f"a_wall.png@0,{x}" for x in (0, 5, 10, 15, 20, 25)),
        "a_wall.png@6,0",
    ]
    assert frames[-1].segment == "more/c_wall.bmp@18,5"
    assert all(frame.last for frame in frames)
    assert [frame.offset for frame in frames if frame.end] == [len(frames) - 1]
    put_together = np.block([[values_of(frames[6 * i + j])[0] for j in range(6)] for i in range(3)])
    np.testing.assert_allclose(put_together, gradient(20, 30)[:18] / 255, atol=1e-7)


def test_colour_is_kept_or_made_grey(folder: Path) -> None:
    path = folder / "more" / "c_wall.bmp"
    with Image.open(path) as image:
        stored = np.asarray(image)
    colour = next(ImageSource(path, crop=(24, 13), mode="tiles", colour=True).frames())
    assert colour.arrays["source"].axes == ("item", "y", "x", "colour")
    np.testing.assert_allclose(values_of(colour)[0], stored / 255, atol=1e-7)
    grey = values_of(next(ImageSource(path, crop=(24, 13), mode="tiles").frames()))[0]
    np.testing.assert_allclose(grey, stored @ [0.299, 0.587, 0.114] / 255, atol=0.003)
    both = values_of(next(ImageSource(folder / "a_wall.png", crop=(20, 30), mode="tiles", colour=True).frames()))[0]
    np.testing.assert_array_equal(both[:, :, 0], both[:, :, 2])


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_offset_can_be_sought(folder: Path, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["patches", "crops", "tiles"]))
    keywords = {
        "mode": mode,
        "items": 5,
        "crop": data.draw(st.sampled_from([(3, 4), (12, 13)])),
        "colour": data.draw(st.booleans()),
        "frames": data.draw(st.integers(0 if mode == "tiles" else 1, 120)),
        "order": data.draw(st.sampled_from(["sorted", "shuffled"])),
        "seed": data.draw(st.integers(0, 3)),
    }
    whole = [wire.encode(frame) for frame in ImageSource(folder, **keywords).frames()]  # type: ignore[arg-type]
    start = data.draw(st.integers(0, len(whole)))
    again = [wire.encode(frame) for frame in ImageSource(folder, **keywords).frames(start)]  # type: ignore[arg-type]
    assert again == whole[start:]


def test_shuffled_tiles_come_once_each_and_anew_in_each_repetition(folder: Path) -> None:
    once = [frame.segment for frame in ImageSource(folder, crop=(6, 5), mode="tiles").frames()]
    source = ImageSource(folder, crop=(6, 5), mode="tiles", order="shuffled", frames=2 * len(once), seed=4)
    twice = [frame.segment for frame in source.frames()]
    assert sorted(twice[: len(once)]) == sorted(twice[len(once) :]) == sorted(once)
    assert twice[: len(once)] != twice[len(once) :]


def test_seeds_differ_and_repeat(folder: Path) -> None:
    def first(seed: int) -> npt.NDArray[np.float32]:
        return values_of(next(ImageSource(folder, frames=1, crop=(5, 5), seed=seed).frames()))

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_labels_and_the_choice_of_pictures(folder: Path) -> None:
    source = ImageSource(folder, mode="crops", crop=(5, 5), frames=30, labels=r"_(?P<texture>\w+)\.", include="wall")
    seen = {frame.segment.split("@")[0]: frame.labels for frame in source.frames()}
    assert seen == {"a_wall.png": {"texture": "wall"}, "more/c_wall.bmp": {"texture": "wall"}}


def test_a_stack_with_labels(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "digits.npz", images=images, labels=np.arange(20, dtype=np.uint8) % 10)
    source = ImageSource(tmp_path / "digits.npz", mode="tiles", crop=(8, 8), include="#0001")
    frames = list(source.frames())
    assert [frame.segment for frame in frames] == [f"digits.npz#{i:05d}@0,0" for i in range(10, 20)]
    assert [frame.labels["label"] for frame in frames] == [str(i % 10) for i in range(10, 20)]
    np.testing.assert_allclose(values_of(frames[3])[0], images[13] / 255, atol=1e-7)
    assert values_of(next(ImageSource(tmp_path, mode="tiles", crop=(8, 8), colour=True).frames())).shape == (1, 8, 8, 3)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    stored = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(stored).save(tmp_path / "deep.png")
    values = values_of(next(ImageSource(tmp_path / "deep.png", crop=(20, 30), mode="tiles").frames()))[0]
    np.testing.assert_allclose(values, stored / 65535, atol=1e-7)


def test_the_bundled_pictures_are_natural_and_varied() -> None:
    source = ImageSource("skimage:natural", frames=3)
    assert len(source.pictures) >= 6
    assert {path.name for path in natural_pictures().files} >= {"brick.png", "grass.png", "gravel.png", "camera.png"}
    assert values_of(next(source.frames())).std() > 0.1
    with pytest.raises(ValueError, match="skimage:natural, the only bundled set"):
        ImageSource("skimage:cells", frames=1)


def bad_files(folder: Path) -> list[str]:
    """Write one file of each kind that holds no usable picture, under the suffix of a picture; return their names."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "good.png")
    Image.fromarray(noise).save(folder / "good.jpg")
    np.savez(folder / "good.npz", images=noise[None])
    png, jpg, npz = ((folder / f"good.{suffix}").read_bytes() for suffix in ("png", "jpg", "npz"))
    for suffix in ("png", "jpg", "npz"):
        (folder / f"good.{suffix}").unlink()
    broken = bytearray(png)
    broken[200:260] = bytes(60)
    contents = {
        "empty.png": b"",
        "text.jpg": b"these are words\n" * 20,
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpg[: len(jpg) // 2],
        "cut.npz": npz[: len(npz) // 2],
        "broken.png": bytes(broken),
        "header.bmp": b"BM" + bytes(10),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    Image.fromarray(noise[:3, :3]).save(folder / "small.png")
    Image.fromarray(noise.astype(np.float32)).save(folder / "real.tif")
    np.savez(folder / "objects.npz", images=np.array([{"a": 1}], dtype=object))
    np.savez(folder / "real.npz", images=noise[None].astype(float))
    np.savez(folder / "nameless.npz", pictures=noise[None])
    np.savez(folder / "few_labels.npz", images=noise[None], labels=np.arange(3))
    np.save(folder / "array.npy", noise)
    (folder / "array.npy").rename(folder / "array.npz")
    others = ["small.png", "real.tif", "objects.npz", "real.npz", "nameless.npz", "few_labels.npz", "array.npz"]
    return [*contents, *others]


def test_bad_files_of_a_folder_are_named_and_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = [wire.encode(frame) for frame in ImageSource(folder, frames=3).frames()]
    bad = bad_files(folder)
    with caplog.at_level(logging.WARNING):
        source = ImageSource(folder, frames=3)
    assert [wire.encode(frame) for frame in source.frames()] == expected
    assert source.counts() == {
        "pictures": 3,
        "pictures without label": 0,
        "left out: unreadable files": len(bad) - 1,
        "left out: pictures smaller than crop": 1,
    }
    for name in bad:
        assert name in caplog.text
    assert "text.jpg: Pillow finds no picture in it" in caplog.text
    assert "nameless.npz: it holds no array images, but pictures" in caplog.text


def test_a_single_bad_file_is_an_error_that_says_what_is_accepted(tmp_path: Path) -> None:
    for name in bad_files(tmp_path):
        with pytest.raises(ValueError, match=rf"{name}.*accepted: pictures"):
            ImageSource(tmp_path / name, frames=1)


def test_a_folder_without_a_usable_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing there has their suffix"):
        ImageSource(tmp_path, frames=1)
    bad_files(tmp_path)
    with pytest.raises(ValueError, match="no usable picture"):
        ImageSource(tmp_path, frames=1)
    with pytest.raises(SettingError, match="nowhere"):
        ImageSource(tmp_path / "nowhere", frames=1)
    with pytest.raises(SettingError, match="path = '': empty"):
        ImageSource("", frames=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"mode": "grid"}, 'accepted: "patches", "crops", "tiles"'),
        ({"mode": "patches", "frames": 0}, "never ends"),
        ({"order": "random"}, 'accepted: "sorted", "shuffled"'),
        ({"crop": (0, 5)}, r"crop = \(0, 5\)"),
        ({"items": 0}, "items = 0"),
        ({"labels": "(?P<x>zzz)"}, "fits no picture"),
        ({"labels": "["}, "labels = .*accepted: a regular expression"),
        ({"include": "["}, "include = .*accepted: a regular expression"),
        ({"include": "zzz"}, "include = 'zzz' fits none"),
        ({"crop": (500, 500)}, "hold no crop"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(folder: Path, keywords: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSource(folder, **{"frames": 1, **keywords})  # type: ignore[arg-type]


@given(
    position=st.integers(0, 700),
    values=st.binary(min_size=1, max_size=8),
    suffix=st.sampled_from(["png", "jpg", "bmp", "tif", "gif", "npz"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damaged_bytes_are_survived(tmp_path: Path, position: int, values: bytes, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24)).astype(np.uint8)
    if suffix == "npz":
        np.savez(path, images=pixels[None])
    else:
        Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    content[position : position + len(values)] = values
    path.write_bytes(content)
    try:
        source = ImageSource(path, frames=1, crop=(4, 4))
    except ValueError as error:
        assert path.name in str(error)
    else:
        assert np.isfinite(values_of(next(source.frames()))).all()
