"""A folder that changes between two lives of a source: the same offsets mean the same data, or it is an error."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.extras import extra

extra("PIL")
from PIL import Image  # noqa: E402

from stream_infomax.frames.contracts import Seekable  # noqa: E402
from stream_infomax.frames.wire import encode  # noqa: E402
from stream_infomax.sources.audio import AudioSource  # noqa: E402
from stream_infomax.sources.images import ImageSource  # noqa: E402
from stream_infomax.sources.inventory import added, from_state, to_state  # noqa: E402
from stream_infomax.sources.table import TableSource  # noqa: E402
from stream_infomax.state.file import load, save  # noqa: E402


def sound(path: Path) -> None:
    noise = np.random.default_rng(len(path.name)).uniform(-0.5, 0.5, 500)
    soundfile.write(path, noise, 8000, format="WAV")


def picture(path: Path) -> None:
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (24, 24)).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def recordings(folder: Path) -> Seekable:
    return AudioSource(folder, order="shuffled", repeat=2)


def pictures(folder: Path) -> Seekable:
    return ImageSource(folder, mode="tiles", order="shuffled", frames=20)


def rows(path: Path) -> None:
    np.save(path, np.random.default_rng(len(path.name)).normal(size=(300, 2)))


def tables(folder: Path) -> Seekable:
    return TableSource(folder, order="shuffled", repeat=2)


KINDS = {
    "recordings": (recordings, sound, "wav"),
    "pictures": (pictures, picture, "png"),
    "tables": (tables, rows, "npy"),
}
Make = Callable[[Path], None]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], Seekable], Make, Path, str]:
    """What makes a source over a folder of three files, what makes a file, the folder and the files' suffix."""
    source, make, suffix = KINDS[request.param]
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("bb", "dddd", "ffffff"):
        make(folder / f"{name}.{suffix}")
    return lambda: source(folder), make, folder, suffix


def bytes_of(source: Seekable) -> list[list[bytes]]:
    return [encode(frame) for frame in source.frames()]


def test_files_that_came_later_are_left_out(
    kind: tuple[Callable[[], Seekable], Make, Path, str], tmp_path: Path
) -> None:
    source, make, folder, suffix = kind
    first = source()
    save(tmp_path / "state", {"state": first.state()})
    for name in ("a", "ccc", "ggggggg"):
        make(folder / f"{name}.{suffix}")
    again = source()
    assert bytes_of(again) != bytes_of(first)
    again.restore(load(tmp_path / "state")["state"])
    assert bytes_of(again) == bytes_of(first)
    assert again.state()["names"].tobytes() == first.state()["names"].tobytes()


def test_a_missing_file_is_named(kind: tuple[Callable[[], Seekable], Make, Path, str]) -> None:
    source, _, folder, suffix = kind
    state = source().state()
    (folder / f"dddd.{suffix}").rename(folder / f"eeee.{suffix}")
    with pytest.raises(ValueError, match=rf"path = .*is not what it was .*missing: dddd\.{suffix}\); put back"):
        source().restore(state)


def test_a_changed_file_is_named(kind: tuple[Callable[[], Seekable], Make, Path, str]) -> None:
    source, _, folder, suffix = kind
    state = source().state()
    about = (folder / f"bb.{suffix}").stat()
    os.utime(folder / f"bb.{suffix}", ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    with pytest.raises(ValueError, match=rf"changed: bb\.{suffix}"):
        source().restore(state)


def test_changed_labels_are_a_change(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,word\na.wav,one\n")
    state = AudioSource(tmp_path, labels_csv=labels).state()
    labels.write_text("file,word\na.wav,two\nb.wav,three\n")
    with pytest.raises(ValueError, match=r"changed: a\.wav"):
        AudioSource(tmp_path, labels_csv=labels).restore(state)
    labels.write_text("file,word\nb.wav,three\na.wav,one\n")
    AudioSource(tmp_path, labels_csv=labels).restore(state)


def test_the_bundled_pictures_may_be_installed_again() -> None:
    source = ImageSource("skimage:natural", frames=1)
    assert from_state(source.state()) == {}
    source.restore(source.state())


def test_many_names_are_cut_short() -> None:
    before = {b"%d.wav" % i: (1, 2, 3) for i in range(5)}
    assert from_state(to_state(before)) == before
    with pytest.raises(ValueError, match=r"missing: 0\.wav, 1\.wav, 2\.wav and 2 more"):
        added(before, {}, "path")


def test_any_name_that_a_disk_takes(tmp_path: Path) -> None:
    names = {b"\xff.png", b"\xfe.png", "ä.png".encode()}
    for name in names:
        picture(tmp_path / os.fsdecode(name))
    source = ImageSource(tmp_path, frames=1)
    assert set(from_state(source.state())) == names
    source.restore(source.state())
