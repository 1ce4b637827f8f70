"""Parquet: every kind of number, dates, nulls; row groups are read one by one."""

import datetime
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.table import TableSource

extra("pyarrow")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def read(path: Path, **keys: object) -> np.ndarray:
    return np.concatenate([f.arrays["source"].data for f in TableSource(path, **keys).frames()])


def test_rows_come_back_from_any_row_group(tmp_path: Path) -> None:
    rows = noise(1000, 3)
    table = pa.table({name: rows[:, i] for i, name in enumerate("xyz")})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=130)
    source = TableSource(tmp_path, frame=70)
    np.testing.assert_array_equal(read(tmp_path), rows)
    for start in range(len(source)):
        np.testing.assert_array_equal(next(source.frames(start)).arrays["source"].data, rows[70 * start :][:70])
    np.testing.assert_array_equal(read(tmp_path, channels=["z", "x", "z"]), rows[:, [2, 0, 2]])


def test_kinds_of_columns(tmp_path: Path) -> None:
    start = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "when": [start + datetime.timedelta(milliseconds=10 * i) for i in range(4)],
            "n": pa.array([1, None, 3, 4], pa.int16()),
            "on": [True, False, None, True],
            "u [V]": pa.array([1.5, 2.5, float("nan"), 4]),
            "word": ["a", "a", None, "b"],
            "list": [[1.0], [2.0], [3.0], [4.0]],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = TableSource(tmp_path, time="when", label="word")
    assert source.channels == ("n", "on", "u [V]")
    assert source.units == ("", "", "V")
    assert source.rate == 100
    assert source.counts()["left out: columns without numbers"] == 1
    frames = list(source.frames())
    assert [frame.labels.get("word") for frame in frames] == ["a", None, "b"]
    assert frames[2].time == pytest.approx(start.timestamp() + 0.03)
    nan = np.nan
    found = np.concatenate([frame.arrays["source"].data for frame in frames])
    np.testing.assert_array_equal(found, [[1, 1, 1.5], [nan, 0, 2.5], [3, nan, nan], [4, 1, 4]])


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SettingError, match="no usable table"):
        TableSource(tmp_path)
    pq.write_table(pa.table({"x": pa.array([], pa.float32())}), tmp_path / "a.parquet")
    with pytest.raises(SettingError, match="it holds no row"):
        TableSource(tmp_path)
    pq.write_table(pa.table({"x": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(SettingError, match="no column of numbers"):
        TableSource(tmp_path)


def test_a_large_row_group_takes_little_memory(tmp_path: Path) -> None:
    table = pa.table({name: np.random.default_rng(i).normal(size=1_000_000) for i, name in enumerate("abcd")})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1_000_000)
    source = TableSource(tmp_path, frame=4096)
    del table
    pool = pa.default_memory_pool()
    most = 0
    for _ in source.frames():
        most = max(most, pool.bytes_allocated())
    assert most < 16 << 20


def test_damage_ends_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": noise(50_000)}), tmp_path / "a.parquet", row_group_size=5000)
    source = TableSource(tmp_path)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 30_000] = bytes(30_000)  # more than a row group
    (tmp_path / "a.parquet").write_bytes(content)
    assert sum(frame.arrays["source"].n_rows for frame in source.frames()) < 50_000
    assert set(source.lost) <= {"files that have changed", "files that broke off"}
    assert source.lost
