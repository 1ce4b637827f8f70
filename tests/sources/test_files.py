"""Files of a folder: which are used, and that whatever is left out is counted, in words, by every source of files."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.extras import extra

extra("PIL")
from PIL import Image  # noqa: E402

from stream_infomax.settings.error import SettingError  # noqa: E402
from stream_infomax.sources.audio import AudioSource  # noqa: E402
from stream_infomax.sources.files import find, in_words  # noqa: E402
from stream_infomax.sources.images import ImageSource  # noqa: E402
from stream_infomax.sources.table import TableSource  # noqa: E402


def sound(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 800), 8000)


def picture(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24)).astype(np.uint8)).save(path)


def table(path: Path) -> None:
    np.save(path, np.random.default_rng(0).standard_normal((80, 2)))


Kind = tuple[Callable[..., Any], str, Callable[[Path], None]]
KINDS: dict[str, Kind] = {
    "recordings": (AudioSource, ".wav", sound),
    "tables": (TableSource, ".npy", table),
    "pictures": (lambda path, **more: ImageSource(path, frames=1, **more), ".png", picture),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def untidy(folder: Path, suffix: str, make: Callable[[Path], None]) -> dict[str, int]:
    """Fill a folder with one usable file and with everything else that a folder may hold; return what that is."""
    make(folder / f"a{suffix}")
    make(folder / f".b{suffix}")
    (folder / ".hidden").mkdir()
    make(folder / ".hidden" / f"c{suffix}")
    (folder / "deep").mkdir()
    for name in ("notes.md", "deep/table.doc", "deep/none"):
        (folder / name).write_text("words")
    (folder / f"empty{suffix}").touch()
    (folder / f"words{suffix}").write_text("words " * 40)
    (folder / f"gone{suffix}").symlink_to(folder / "nowhere")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / f"pipe{suffix}")
    return {
        "hidden files and folders": 2,
        "files of another suffix": 3,
        "unreadable files": 2,
        "links to nothing": 1,
        "linked folders": 1,
        "pipes, sockets and devices": 1,
    }


def test_everything_left_out_is_counted(kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_source, suffix, make = kind
    expected = untidy(tmp_path, suffix, make)
    with caplog.at_level(logging.WARNING):
        source = make_source(tmp_path)
    left_out = {key: count for key, count in source.counts().items() if key.startswith("left out: ")}
    assert left_out == {f"left out: {what}": count for what, count in expected.items()}
    assert dict(source.outline().left_out) == expected
    for name in (f"empty{suffix}", f"words{suffix}", f"gone{suffix}", f"pipe{suffix}", "round"):
        assert name in caplog.text


def test_a_tidy_folder_leaves_nothing_out(kind: Kind, tmp_path: Path) -> None:
    make_source, suffix, make = kind
    for name in ("a", "b"):
        make(tmp_path / f"{name}{suffix}")
    source = make_source(tmp_path)
    assert not [key for key in source.counts() if key.startswith("left out: ")]
    assert not source.outline().left_out
    assert not source.outline().warning


def test_what_include_does_not_fit_is_counted(kind: Kind, tmp_path: Path) -> None:
    make_source, suffix, make = kind
    for name in ("a1", "a2", "b1"):
        make(tmp_path / f"{name}{suffix}")
    (count,) = make_source(tmp_path, include="^a").outline().left_out.values()
    assert count == 1


def test_a_folder_that_cannot_be_entered_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may enter every folder, so the system's refusal is played."""
    sound(tmp_path / "a.wav")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find(tmp_path, (".wav",), "recordings")
    assert [file.name for file in found.files] == ["a.wav"]
    assert in_words(found.left_out) == "1 folders that cannot be entered"
    with pytest.raises(SettingError, match=r"closed.*Permission denied"):
        find(tmp_path / "closed", (".wav",), "recordings")


def test_an_error_says_what_was_left_out(kind: Kind, tmp_path: Path) -> None:
    make_source, _, _ = kind
    (tmp_path / "notes.md").write_text("words")
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(SettingError, match="nothing there has their suffix; left out: 1 ") as caught:
        make_source(tmp_path)
    assert "1 hidden files and folders" in str(caught.value)


def test_files_added_later_are_counted(kind: Kind, tmp_path: Path) -> None:
    make_source, suffix, make = kind
    make(tmp_path / f"b{suffix}")
    state = make_source(tmp_path).state()
    make(tmp_path / f"a{suffix}")
    again = make_source(tmp_path)
    again.restore(state)
    assert dict(again.outline().left_out) == {"files that were added since the run began": 1}


def test_a_table_of_labels_that_is_not_used_is_mentioned(kind: Kind, tmp_path: Path) -> None:
    make_source, suffix, make = kind
    make(tmp_path / f"a{suffix}")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,word\na{suffix},one\n")
    idle = make_source(tmp_path).outline()
    assert idle.warning == f"{labels} is not used; labels_csv = {str(labels)!r} takes labels from it"
    used = make_source(tmp_path, labels_csv=str(labels)).outline()
    assert (used.warning, dict(used.left_out), dict(used.labels)) == ("", {}, {} if suffix == ".png" else {"word": 1})
