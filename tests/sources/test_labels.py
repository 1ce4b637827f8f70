"""Labels from CSV files and arrays: each is there as the right text, or the person is told."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.extras import needs

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.audio import AudioSource
from stream_infomax.sources.labels import texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings in a folder of their own, one of them below."""
    sounds = tmp_path / "sounds"
    (sounds / "deep").mkdir(parents=True)
    for name in ("a.wav", "b c.wav", "deep/ü.wav"):
        soundfile.write(sounds / name, np.random.default_rng(0).uniform(-0.5, 0.5, 800), 8000)
    return sounds


def labels_of(folder: Path, lines: str, head: str = "file,word", place: str = "t.csv") -> dict[str, str]:
    """Return the label `word` by file."""
    table = folder.parent / place
    table.write_text(f"{head}\n{lines}", encoding="utf-8")
    source = AudioSource(folder, labels_csv=table)
    return {recording.segment: recording.labels.get("word", "") for recording in source.recordings}


ALL = {"a.wav": "one", "b c.wav": "two", "deep/ü.wav": "three"}


@pytest.mark.parametrize(
    "names",
    [
        ("a.wav", "b c.wav", "ü.wav"),
        ("./a.wav", "./b c.wav", "./deep/ü.wav"),
        (" a.wav ", "\tb c.wav", "deep/ü.wav "),
        (".\\a.wav", "b c.wav", "deep\\ü.wav"),
        ("sounds/a.wav", "./sounds/b c.wav", "sounds/deep/../deep//ü.wav"),
        ("{folder}/a.wav", "{folder}/b c.wav", "{folder}/deep/ü.wav"),
        ("a.wav", "b c.wav", "deep/u\u0308.wav"),
    ],
    ids=[
        "names",
        "as find writes them",
        "spaces",
        "backslashes",
        "from the CSV file",
        "whole paths",
        "two code points",
    ],
)
def test_a_line_names_a_file_in_any_usual_way(
    folder: Path, names: tuple[str, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = (name.format(folder=folder) for name in names)
    assert labels_of(folder, f"{one},one\n{two},two\n{three},three\n") == ALL
    assert not caplog.records


def test_whole_paths_through_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    lines = f"{folder}/a.wav,one\n{folder}/b c.wav,two\n{folder}/deep/ü.wav,three\n"
    assert labels_of(link, lines) == ALL


def test_a_file_whose_name_has_a_backslash(folder: Path) -> None:
    (folder / "a.wav").rename(folder / "deep\\a.wav")
    assert labels_of(folder, "deep\\a.wav,one\n")["deep\\a.wav"] == "one"


@pytest.mark.parametrize("name", ["A.wav", "a", "other/a.wav", "a.flac", "/nowhere/a.wav", "../a.wav"])
def test_a_line_that_names_no_file_is_told(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = labels_of(folder, f"{name},one\nb c.wav,two\nü.wav,three\n")
    assert found == {**ALL, "a.wav": ""}
    source = AudioSource(folder, labels_csv=folder.parent / "t.csv")
    assert source.counts()["left out: lines of labels_csv that name no file"] == 1
    assert source.counts()["files without label"] == 1
    assert f"1 of 3 lines name no file at {folder}: {name}" in caplog.text


def test_lines_of_files_that_are_there_and_not_used_are_no_fault(folder: Path) -> None:
    (folder / "broken.wav").write_bytes(b"RIFF")
    table = folder.parent / "t.csv"
    table.write_text("file,word\na.wav,one\nbroken.wav,two\nb c.wav,three\n")
    source = AudioSource(folder, labels_csv=table, include="^[ab]")
    assert dict(source.outline().left_out) == {"files that include does not fit": 1, "unreadable files": 1}


def test_a_pattern_that_fits_some_files_only_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = AudioSource(folder, labels=r"^(?P<letter>[a-z])\.")
    assert source.counts()["files without label"] == 2
    assert "labels: 2 files have no label" in caplog.text


def test_a_name_that_several_files_have_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "deep" / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    found = labels_of(folder, "a.wav,one\nb c.wav,two\nü.wav,three\n")
    assert found["deep/a.wav"] == "one"
    assert "lines that name several files of the same name: a.wav" in caplog.text


REFUSED = {
    "a.wav,one\n./a.wav,two\n": "lines 2 and 3 give 'a.wav' different labels",
    "a.wav\n": "line 2 has 1 cells, the head 2",
    "b c.wav,two\na.wav,one,two\n": "line 3 has 3 cells, the head 2",
    ",one\n": "line 2 has none; accepted: a file's name in the first column of every line",
    'a.wav,"one\nb c.wav,two\n': "unexpected end of data",
}


@pytest.mark.parametrize("lines", REFUSED)
def test_a_line_that_is_not_clear_is_refused(folder: Path, lines: str) -> None:
    with pytest.raises(SettingError) as caught:
        labels_of(folder, lines)
    assert str(caught.value).startswith(f"labels_csv = {str(folder.parent / 't.csv')!r}: ")
    assert REFUSED[lines] in str(caught.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("file,word,word", "has the column 'word' twice"),
        ("file,,word", "has a column without a name"),
        ("file;word;fold", "divided by commas"),
        ("file", "divided by commas"),
    ],
)
def test_a_head_that_is_not_clear_is_refused(folder: Path, head: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        labels_of(folder, "a.wav,one,1\n", head)
    assert message in str(caught.value)


def test_what_changes_nothing_is_taken(folder: Path) -> None:
    """Lines without cells, the same line twice, commas at the end of every line, a byte-order mark."""
    lines = "\na.wav,one,,\n,,,\na.wav,one,,\nb c.wav, two ,,\ndeep/ü.wav,three,,\n"
    assert labels_of(folder, lines, "\ufefffile,word,,") == ALL


def test_an_empty_cell_is_no_label(folder: Path) -> None:
    table = folder.parent / "t.csv"
    table.write_text("file,word,fold\na.wav,,1\nb c.wav,two,\n")
    source = AudioSource(folder, labels_csv=table)
    assert [dict(recording.labels) for recording in source.recordings] == [{"fold": "1"}, {"word": "two"}, {}]


TEXTS = [
    (np.array([b"cat", b"dog  ", b""]), ["cat", "dog", None]),
    (np.array(["cat", " häss ", ""]), ["cat", "häss", None]),
    (np.array(["ü".encode()]), ["ü"]),
    (np.array([0, 3, 255], np.uint8), ["0", "3", "255"]),
    (np.array([-7, 2**62]), ["-7", str(2**62)]),
    (np.array([3.0, np.nan, 0.5, -2.0]), ["3", None, "0.5", "-2"]),
    (np.array([1.0], np.float32), ["1"]),
    (np.array([True, False]), ["True", "False"]),
    (np.array(["2026-11-27", "NaT"], "datetime64[D]"), ["2026-11-27", None]),
    (np.array(["cat", None, b"dog", 3, np.nan], dtype=object), ["cat", None, "dog", "3", None]),
]


@pytest.mark.parametrize(
    ("labels", "expected"), TEXTS, ids=[str(labels.dtype) + str(len(labels)) for labels, _ in TEXTS]
)
def test_labels_of_an_array_are_what_a_person_means(labels: Any, expected: list[str | None]) -> None:
    assert texts(labels) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([b"\xff\xfe"]), "is not UTF-8"),
        (np.array([1j]), "labels of type complex128"),
        (np.zeros(1, [("a", int)]), "accepted are numbers, texts and dates"),
        (np.array([["a"], None], dtype=object), r"the label \['a'\] is a list"),
    ],
)
def test_labels_that_are_no_text_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts(labels)


@needs("PIL")
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([b"cat", b"dog"]), ["cat", "dog"]),
        (np.array([1.0, 2.0]), ["1", "2"]),
        (np.array([np.nan, 2.0]), [None, "2"]),
    ],
)
def test_labels_of_a_stack(tmp_path: Path, labels: Any, expected: list[str | None]) -> None:
    from stream_infomax.sources.images import ImageSource

    np.savez(tmp_path / "s.npz", images=np.zeros((2, 8, 8), np.uint8), labels=labels)
    source = ImageSource(tmp_path / "s.npz", mode="tiles", crop=(8, 8))
    assert [frame.labels.get("label") for frame in source.frames()] == expected


@needs("PIL")
def test_labels_of_a_stack_that_are_objects_are_refused_by_name(tmp_path: Path) -> None:
    from stream_infomax.sources.images import ImageSource

    np.savez(tmp_path / "s.npz", images=np.zeros((1, 8, 8), np.uint8), labels=np.array(["cat"], dtype=object))
    with pytest.raises(ValueError, match=r"s\.npz: its array labels holds Python objects; accepted"):
        ImageSource(tmp_path / "s.npz", mode="tiles", crop=(8, 8))


@needs("PIL")
def test_pictures_take_labels_from_a_csv(tmp_path: Path) -> None:
    from PIL import Image

    from stream_infomax.sources.images import ImageSource

    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.png")
    np.savez(folder / "s.npz", images=np.zeros((2, 8, 8), np.uint8))
    table = folder / "labels.csv"
    table.write_text("picture,thing\n./a.png,cat\ns.npz#00001,dog\nb.png,cow\n")
    source = ImageSource(folder, mode="tiles", crop=(8, 8), labels_csv=str(table))
    assert [frame.labels for frame in source.frames()] == [{"thing": "cat"}, {}, {"thing": "dog"}]
    assert source.counts() == {
        "pictures": 3,
        "pictures without label": 1,
        "left out: lines of labels_csv that name no file": 1,
    }
    state = source.state()
    table.write_text("picture,thing\na.png,cow\n")
    with pytest.raises(ValueError, match=r"changed: a\.png"):
        ImageSource(folder, mode="tiles", crop=(8, 8), labels_csv=str(table)).restore(state)
