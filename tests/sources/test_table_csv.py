"""CSV: every dialect reads back as what was written, bad lines are counted, and no file is too large."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.settings.error import SettingError
from stream_infomax.sources import table_csv
from stream_infomax.sources.table import TableSource

CELLS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def read(path: Path, **keys: object) -> tuple[np.ndarray, dict[str, float]]:
    source = TableSource(path, **keys)
    return np.concatenate([f.arrays["source"].data for f in source.frames()]), dict(source.counts())


@given(
    rows=st.integers(1, 5).flatmap(lambda n: st.lists(st.tuples(*[CELLS] * n), min_size=2, max_size=30)),
    dialect=st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", "."), (" ", ".")]),
    end=st.sampled_from(["\n", "\r\n"]),
    head=st.booleans(),
    mark=st.booleans(),
    last=st.booleans(),
    start=st.integers(0, 40),
)
@settings(deadline=None, max_examples=200)
def test_every_dialect_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[float, ...]],
    dialect: tuple[str, str],
    end: str,
    head: bool,
    mark: bool,
    last: bool,
    start: int,
) -> None:
    delimiter, decimal = dialect
    lines = [delimiter.join(f"{cell:.9g}".replace(".", decimal) for cell in row) for row in rows]
    if head:
        lines.insert(0, delimiter.join(f"c{i}" for i in range(len(rows[0]))))
    text = ("\ufeff" if mark else "") + end.join(lines) + (end if last else "")
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.encode())
    # One column has no delimiter; whole numbers say nothing of the decimal sign, but then it does not matter.
    source = TableSource(path, frame=3, decimal=decimal if len(rows[0]) == 1 else "")
    found = [frame.arrays["source"].data for frame in source.frames(start)]
    expected = np.array(rows, np.float32)[3 * start :]
    np.testing.assert_allclose(np.concatenate([np.empty((0, len(rows[0]))), *found]), expected, rtol=1e-6)
    if head:
        assert source.channels == tuple(f"c{i}" for i in range(len(rows[0])))


BAD = (
    """\ufeffa;b;word
1,5;2;yes
;3;no
1,5;2;3;4
1,5
x1;2,25;"yes; no"
nan;2;yes

4;5;"open
1.234,5;6;end
"""
    + 8 * "0,5;1;end\n"
)


def test_bad_lines_are_nan_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(BAD, encoding="utf-8")
    rows, counts = read(tmp_path)
    nan = np.nan
    expected = [[1.5, 2], [nan, 3], [nan, nan], [nan, nan], [nan, 2.25], [nan, 2], [nan, nan], [nan, 6]]
    np.testing.assert_array_equal(rows, np.array([*expected, *[[0.5, 1]] * 8], np.float32))
    assert counts["left out: ragged lines"] == 3
    assert counts["left out: cells that are no number"] == 2
    assert counts["left out: columns without numbers"] == 1
    _, counts = read(tmp_path, label="word", repeat=2)
    assert "left out: columns without numbers" not in counts
    assert counts["left out: cells that are no number"] == 2, "each is counted once"
    assert TableSource(tmp_path).outline().left_out["ragged lines"] == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_empty_cells_anywhere_in_a_line(tmp_path: Path, delimiter: str) -> None:
    rows = np.random.default_rng(0).integers(0, 99, (600, 3)).astype(np.float32)
    rows[np.random.default_rng(1).uniform(size=rows.shape) < 0.3] = np.nan
    lines = [delimiter.join("" if np.isnan(cell) else f"{cell:g}" for cell in row) for row in rows]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found, counts = read(tmp_path)
    np.testing.assert_array_equal(found, rows)
    assert not [key for key in counts if key.startswith("left out")]


def test_labels_may_hold_the_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(BAD, encoding="utf-8")
    found = [frame.labels.get("word") for frame in TableSource(tmp_path, label="word").frames()]
    assert found == ["yes", "no", "yes; no", "yes", "end"], "a ragged line goes on with the label before it"


@pytest.mark.parametrize("n_before", [0, 500])
def test_ten_million_columns_in_one_line(tmp_path: Path, n_before: int, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "wide.csv"
    with path.open("w") as file:
        file.write("1,2\n" * n_before)
        for _ in range(100):
            file.write("1," * 100_000)
    np.save(tmp_path / "b.npy", np.zeros((5, 2)))
    tracemalloc.start()
    try:
        source = TableSource(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert source.counts()["left out: unreadable files"] == 1
    assert "wide.csv" in caplog.text
    assert "is longer than 4 MiB; accepted are tables with a row a line" in caplog.text
    with pytest.raises(SettingError, match=r"wide\.csv"):
        TableSource(path)


def test_more_columns_than_can_be_learnt_from(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(["1"] * 70_000)] * 3))
    with pytest.raises(SettingError, match="has 70,000 cells; accepted are at most 65,536"):
        TableSource(path)


def test_a_large_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_csv, "EVERY", 256)
    path = tmp_path / "long.csv"
    rows = np.random.default_rng(0).integers(0, 1000, (60_000, 4))
    np.savetxt(path, rows, fmt="%d", delimiter=",")
    tracemalloc.start()
    try:
        source = TableSource(path)
        n_rows = sum(frame.arrays["source"].n_rows for frame in source.frames())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_rows == 60_000
    assert peak < path.stat().st_size
    for start in (1, 100, len(source) - 1):
        np.testing.assert_array_equal(next(source.frames(start)).arrays["source"].data[0], rows[256 * start])


HEADS = {
    "pandas' row numbers": (",x,y\n0,1.5,2\n1,2.5,3\n2,3.5,4\n", ("x", "y"), {}),
    "numpy.savetxt": ("# x y\n1.5 2\n2.5 3\n", ("x", "y"), {"lines before the table": 0}),
    "hash in front": ("#x,y\n1.5,2\n2.5,3\n", ("x", "y"), {}),
    "numbered channels": ("t,1,2\n0.5,2,7\n0.75,3,8\n", ("t", "1", "2"), {}),
    "no head": ("0.5,2\n0.75,3\n", ("0", "1"), {}),
    "a broken first row": ("0.5,err,2\n0.75,3,1\n", ("0", "1", "2"), {"cells that are no number": 1}),
    "twice the same": ("x,x,\n1,2,3\n4,5,6\n", ("x", "x_", "2"), {}),
    "an empty column": ("x,y,\n1,2,\n4,5,\n", ("x", "y"), {"columns without numbers": 1}),
    "lines of a logger": (
        "Device: A7\nSerial,42\nx,y,z\n1,2,3\n4,5,6\n7,8,9\n",
        ("x", "y", "z"),
        {"lines before the table": 2},
    ),
    "not in UTF-8": (b"T (\xb0C),p\n1,2\n3,4\n", ("T (°C)", "p"), {}),
}


@pytest.mark.parametrize("case", HEADS)
def test_heads(tmp_path: Path, case: str) -> None:
    text, channels, left_out = HEADS[case]
    (tmp_path / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    source = TableSource(tmp_path)
    assert source.channels == channels
    assert np.isfinite(next(source.frames()).arrays["source"].data).all() or case == "a broken first row"
    found = {key.removeprefix("left out: "): n for key, n in source.counts().items() if key.startswith("left out: ")}
    assert {key: n for key, n in found.items() if n} == {key: n for key, n in left_out.items() if n}


def test_units_of_a_head(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t [s],U (mV),n\n1,2,3\n3,4,5\n")
    assert TableSource(tmp_path).units == ("s", "mV", "")
    (tmp_path / "a.csv").write_text("t,U,n\n[s],mV,-\n1,2,3\n3,4,5\n")
    assert TableSource(tmp_path).units == ("s", "mV", "-")
    assert TableSource(tmp_path).channels == ("t", "U", "n")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column of numbers"),
        (b"x,y\n", "no column of numbers"),
        ("1,2\n3,4\n".encode("utf-16"), "UTF-16"),
        (b"1,2\r3,4\r5,6\r", "carriage return"),
        (b"\x89PNG\0\0\0", "no text"),
        (b"a,b\nc,d\n", "no column of numbers"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SettingError, match=why):
        TableSource(tmp_path / "a.csv")


def test_settings_outweigh_what_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,5\n2,5\n")
    assert TableSource(tmp_path).outline().row == (2,)
    rows, _ = read(tmp_path, decimal=",")
    np.testing.assert_array_equal(rows, [[1.5], [2.5]])
    (tmp_path / "a.csv").write_text("1:2\n3:4\n")
    rows, _ = read(tmp_path, delimiter=":")
    np.testing.assert_array_equal(rows, [[1, 2], [3, 4]])
