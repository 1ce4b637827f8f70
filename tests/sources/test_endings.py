"""Recordings that hold more or less than libsndfile reads, or whose decoder talks: a person is told, with the name."""

import logging
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream_infomax.sources.audio import AudioSource
from stream_infomax.sources.endings import goes_on
from stream_infomax.sources.murmur import caught

LATER_PARTS = "left out: later parts of files that were put together"


def sound(path: Path, n: int = 20000, seed: int = 0, **more: str) -> Path:
    tone = 0.3 * np.sin(np.arange(n) / 7) + 0.01 * np.random.default_rng(seed).standard_normal(n)
    soundfile.write(path, tone, 16000, **more)
    return path


def wav(samples: bytes, announced: int, riff: int | None = None) -> bytes:
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    size = struct.pack("<I", 36 + announced if riff is None else riff)
    return b"RIFF" + size + head + b"data" + struct.pack("<I", announced) + samples


SAMPLES = bytes(range(250)) * 64


def test_a_header_that_announces_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES, 0, riff=0))
    with pytest.raises(ValueError, match=r"a\.wav: its header announces no sample; the file has 16,044 bytes"):
        AudioSource(tmp_path / "a.wav")


def test_a_header_that_was_not_brought_up_to_date_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES, 4000))
    source = AudioSource(tmp_path / "a.wav")
    assert source.recordings[0].samples == 2000
    assert source.counts()[LATER_PARTS] == 1
    assert "a.wav" in caplog.text


def test_a_cut_file_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES, 100_000))
    assert AudioSource(tmp_path / "a.wav").recordings[0].samples == 8000
    assert "a.wav announces more than the 8000 samples that it holds" in caplog.text


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_header_of_a_pipe_is_no_fault(tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES, size, riff=size))
    source = AudioSource(tmp_path / "a.wav")
    assert source.recordings[0].samples == 8000
    assert not source.left_out.total()
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "GSM610"), ("a.wav", "G721_32"), ("a.wav", "NMS_ADPCM_16"), ("a.au", "G723_24"), ("a.aiff", "GSM610")],
)
def test_a_format_in_which_nothing_can_be_sought_is_no_fault(
    tmp_path: Path, name: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = AudioSource(sound(tmp_path / name, subtype=subtype))
    assert sum(len(frame.arrays["source"].data) for frame in source.frames()) >= 20000
    assert not caplog.records


@pytest.mark.parametrize(("name", "subtype"), [("a.ogg", "VORBIS"), ("a.opus", "OPUS"), ("a.mp3", "MPEG_LAYER_III")])
def test_files_that_were_put_together_are_told(
    tmp_path: Path, name: str, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"a.ogg": "OGG", "a.opus": "OGG", "a.mp3": "MP3"}[name]
    one = sound(tmp_path / name, format=form, subtype=subtype)
    two = sound(tmp_path / f"2{name}", 30000, seed=1, format=form, subtype=subtype)
    assert not goes_on(one)
    assert not goes_on(two)
    one.write_bytes(one.read_bytes() + two.read_bytes())
    with caplog.at_level(logging.WARNING):
        source = AudioSource(tmp_path, include="^a")
    assert source.recordings[0].samples == 20000
    assert source.counts()[LATER_PARTS] == 1
    assert f"{name}: what was put behind its end is left out" in caplog.text


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125)])
def test_whole_files_have_no_later_part(tmp_path: Path, suffix: str, tail: bytes) -> None:
    path = sound(tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes() + tail)
    assert not goes_on(path)


@pytest.mark.parametrize("magic", [b"OggS", b"RIFF", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"\xff\xfb", b""])
@pytest.mark.parametrize("n", [0, 10, 100, 3000])
def test_any_bytes_are_survived(tmp_path: Path, magic: bytes, n: int) -> None:
    (tmp_path / "a").write_bytes(magic + np.random.default_rng(n).bytes(n))
    assert goes_on(tmp_path / "a") in (False, True)


def damaged(path: Path) -> Path:
    content = bytearray(sound(path).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("alone")
def test_what_a_decoder_says_has_the_name_of_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    damaged(tmp_path / "a.mp3")
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(3).bytes(100_000))
    with caplog.at_level(logging.WARNING):
        source = AudioSource(tmp_path)
        for _ in range(2):
            rows = sum(len(frame.arrays["source"].data) for frame in source.frames())
    assert rows <= 20000
    assert capfd.readouterr() == ("", "")
    assert caplog.text.count("a.mp3: its decoder says: ") == 2, "once when it is looked at, once when it is played"
    assert "noise.mp3: libsndfile finds no recording in it" in caplog.text
    assert source.counts()["files that their decoder complained of"] == 1


@pytest.mark.usefixtures("alone")
def test_what_native_code_writes_is_caught_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    os.write(2, b"before\n")
    with caught(said):
        os.write(2, b"within\n\nand more")
    os.write(2, b"behind\n")
    assert said == ["within", "and more"]
    assert capfd.readouterr().err == "before\nbehind\n"


@pytest.mark.usefixtures("alone")
def test_an_error_gives_stderr_back(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with pytest.raises(ZeroDivisionError), caught(said):
        os.write(2, b"within\n")
        _ = 1 / 0
    os.write(2, b"behind\n")
    assert said == ["within"]
    assert capfd.readouterr().err == "behind\n"


def test_nothing_is_taken_from_other_threads(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    entered, written = threading.Event(), threading.Event()

    def write() -> None:
        entered.wait()
        os.write(2, b"another thread\n")
        written.set()

    thread = threading.Thread(target=write)
    thread.start()
    with caught(said):
        entered.set()
        written.wait()
    thread.join()
    assert said == []
    assert capfd.readouterr().err == "another thread\n"


def test_without_a_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", refuse)
    said: list[str] = []
    with caught(said):
        pass
    assert said == []
