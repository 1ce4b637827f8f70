"""Files that come to far more than they are: refused by what they announce, before anything is decoded."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.extras import extra, needs
from helpers.videos import encode, scenes
from helpers.xdf import Stream, write

from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.row_files import rows_in
from stream_infomax.settings.error import SettingError
from stream_infomax.sinks.npz_file import read_part
from stream_infomax.sources import bounds
from stream_infomax.sources.table import TableSource

# What a file may come to here.
BOUND = 1 << 16


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LARGEST", BOUND)


def claim(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """Return the head of an array, and one number of it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + b"\0\0\0\0"


def zipped(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npz_of_vectors(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros((99_999, 1), np.int8), label=np.zeros(99_999, np.int64))


def npz_transposed(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros((2, 99_999), np.float32))


TABLES: dict[str, tuple[str, Callable[[Path], Any], dict[str, Any], str]] = {
    "labels of an archive": ("npz", npz_of_vectors, {"label": "label"}, "comes to 799,992 bytes"),
    "a member that is read whole": ("npz", npz_transposed, {"transposed": True}, "comes to 799,992 bytes"),
    "terabytes in an archive": ("npz", lambda path: zipped(path, x=claim((1 << 42, 4))), {}, "announces"),
    "terabytes in a file": ("npy", lambda path: path.write_bytes(claim((1 << 42, 4))), {}, "announces"),
    "a negative length": ("npy", lambda path: path.write_bytes(claim((-4, 4))), {}, "shape"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(tmp_path: Path, case: str) -> None:
    suffix, write, settings, words = TABLES[case]
    path = tmp_path / f"a.{suffix}"
    write(path)
    with pytest.raises(SettingError, match=words):
        list(TableSource(path, **settings).frames())


ROWS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "compressed": ("npz", lambda path: np.savez_compressed(path, rows=np.zeros((99_999, 4), np.float32))),
    "terabytes": ("npz", lambda path: zipped(path, rows=claim((1 << 42, 4)))),
    "terabytes in a file": ("npy", lambda path: path.write_bytes(claim((1 << 42, 4)))),
    "brackets": ("npy", lambda path: path.write_bytes(claim((1,)).replace(b"(1,)", b"(" * 90 + b")" * 90))),
}


@pytest.mark.parametrize("case", ROWS)
def test_files_of_rows(tmp_path: Path, case: str) -> None:
    suffix, write = ROWS[case]
    write(tmp_path / f"a.{suffix}")
    with pytest.raises(ConfigError, match=rf"a\.{suffix}: "):
        rows_in(tmp_path / f"a.{suffix}", 4)


def test_what_a_part_says_of_itself(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", part=np.array("x" * 99_999))
    with pytest.raises(ValueError, match="has 400,"):
        read_part(tmp_path / "a.npz")


def png(path: Path, width: int, height: int, depth: int, kind: int = 0) -> None:
    """Write a picture of zeros, which compresses a thousandfold."""
    bits = depth * {0: 1, 2: 3, 6: 4}[kind]
    rows = (b"\0" + bytes(width * bits // 8)) * height

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def pages(path: Path) -> None:
    from PIL import Image

    black, white = (Image.new("L", (64, 64), value) for value in (0, 255))
    black.save(path, save_all=True, append_images=[white, black] * 15)


PICTURES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "16 bits": ("png", lambda path: png(path, 120, 100, 16), "it comes to 144,000 bytes"),
    "colour": ("png", lambda path: png(path, 120, 100, 8, 2), "it comes to 84,000 bytes"),
    "alpha": ("png", lambda path: png(path, 120, 100, 8, 6), "it comes to 156,000 bytes"),
    "a stack": (
        "npz",
        lambda path: np.savez_compressed(path, images=np.zeros((99, 99, 99), np.uint8)),
        "it comes to 970,",
    ),
    "a stack that lies": ("npz", lambda path: zipped(path, images=claim((1 << 42, 9, 9), "|u1")), "announces"),
}


@needs("PIL")
@pytest.mark.parametrize("case", PICTURES)
def test_pictures(tmp_path: Path, case: str) -> None:
    from stream_infomax.sources.images import ImageSource

    suffix, write, words = PICTURES[case]
    write(tmp_path / f"a.{suffix}")
    with pytest.raises(SettingError, match=words):
        ImageSource(tmp_path / f"a.{suffix}", mode="tiles", crop=(8, 8))


@needs("PIL")
@pytest.mark.parametrize(("suffix", "fit"), [("gif", 10), ("tif", 14)])
def test_pages(
    tmp_path: Path, suffix: str, fit: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from stream_infomax.sources.images import ImageSource

    monkeypatch.setattr(bounds, "TIMES", 0)
    pages(tmp_path / f"a.{suffix}")
    source = ImageSource(tmp_path / f"a.{suffix}", mode="tiles", crop=(64, 64))
    assert len(source) == fit
    assert f"page {fit} with those before it comes to" in caplog.text
    assert f"pages {fit} to 30 are left out" in caplog.text


@needs("PIL")
def test_all_pictures_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_infomax.sources import pictures
    from stream_infomax.sources.images import ImageSource

    monkeypatch.setattr(pictures, "MAX_BYTES", 2 * 64 * 64)
    pages(tmp_path / "a.gif")
    with pytest.raises(ValueError, match="the pictures take more than 8,192 bytes"):
        ImageSource(tmp_path / "a.gif", mode="tiles", crop=(64, 64))


def test_a_compressed_recording_of_streams(tmp_path: Path) -> None:
    extra("pyxdf")
    from stream_infomax.sources.xdf import XdfSource

    write(tmp_path / "a.xdfz", Stream("a", np.zeros((9999, 2), np.float32), np.arange(9999) / 100))
    with pytest.raises(SettingError, match=r"a\.xdfz: .*it comes to .* bytes when it is decoded"):
        XdfSource(tmp_path / "a.xdfz", stream="a")


def test_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra("av")
    from stream_infomax.sources.video import VideoSource

    encode(tmp_path / "a.mp4", scenes(4))
    assert len(VideoSource(tmp_path / "a.mp4"))
    monkeypatch.setattr(bounds, "TIMES", 0)
    monkeypatch.setattr(bounds, "LARGEST", 100)
    with pytest.raises(SettingError, match=r"a\.mp4: .*48 × 64"):
        VideoSource(tmp_path / "a.mp4")
