"""The frames of a journal in which something is missing: what is there is read, what is not is named."""

import pytest
from helpers.extras import extra
from helpers.journals import damaged, frame, settings, write

extra("mcap")
from stream_infomax.journal.journal import Journal  # noqa: E402
from stream_infomax.journal.mending import parts_in  # noqa: E402
from stream_infomax.journal.stretch import Stretch, newest_stretch  # noqa: E402


@pytest.fixture
def parts(tmp_path):
    """Five files of ten frames."""
    for first in range(0, 50, 10):
        journal = Journal(tmp_path, "log", settings(part="1 MiB"))
        write(journal, [frame(n) for n in range(first, first + 10)])
        journal.close()
    found = parts_in(tmp_path)
    assert len(found) == 5
    return found


def read(parts, start=0):
    stretch = Stretch(parts, start)
    return [one.offset for one in stretch.frames()], stretch


def folder(path):
    path.unlink()
    path.mkdir()


BAD = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "not MCAP": lambda path: path.write_bytes(b"no file of a journal"),
    "folder": folder,
}


def test_nothing_is_missing(parts):
    offsets, stretch = read(parts)
    assert (offsets, stretch.missing(), stretch.lost) == ([*range(50)], "", 0)


@pytest.mark.parametrize("how", BAD)
def test_a_part_in_the_middle(parts, how):
    BAD[how](parts[2])
    offsets, stretch = read(parts_in(parts[0].parent))
    assert offsets == [*range(20), *range(30, 50)]
    assert stretch.missing().startswith("10 frames are missing (20 to 29)")
    assert stretch.lost == 10
    assert (str(parts[2]) in stretch.missing()) is (how != "gone")
    assert {one.segment for one in stretch.frames()} == {"one", "one (after gap 1)"}


@pytest.mark.parametrize("how", [how for how in BAD if how != "gone"])
@pytest.mark.parametrize("number", [0, 4])
def test_the_first_and_the_last_part(parts, how, number):
    BAD[how](parts[number])
    offsets, stretch = read(parts)
    assert len(offsets) == 40
    assert str(parts[number]) in stretch.missing()
    assert stretch.lost == (10 if number == 0 else how != "empty")


def test_damaged_frames_are_named(parts):
    for number in (13, 14, 29):
        damaged(parts[number // 10], number)
    offsets, stretch = read(parts)
    assert len(offsets) == 47
    assert stretch.missing() == "3 frames are damaged (13 to 14, 29)"
    assert read(parts, 14)[1].missing() == "2 frames are damaged (14, 29)"


def test_a_file_that_was_cut(parts):
    for number in (1, 4):
        content = parts[number].read_bytes()
        parts[number].write_bytes(content[: len(content) // 2])
    offsets, stretch = read(parts)
    last = offsets[offsets.index(20) - 1]
    assert 10 <= last < 19
    assert f"({last + 1} to 19)" in stretch.missing()
    assert f"{parts[4]}: byte " in stretch.missing()


def test_only_the_first_gaps_are_named(parts):
    for number in range(0, 16, 2):
        damaged(parts[number // 10], number)
    assert read(parts)[1].missing() == "8 frames are damaged (0, 2, 4, 6, 8, 3 more gaps)"


def test_what_begins_later_lacks_nothing(parts):
    assert read(parts[2:])[1].missing() == ""
    assert read(parts, 25)[0] == [*range(25, 50)]


def test_a_part_that_is_none_has_no_stretch(parts):
    parts[0].write_bytes(b"")
    with pytest.raises(ValueError, match=f"{parts[0]}: no MCAP file"):
        newest_stretch(parts)
