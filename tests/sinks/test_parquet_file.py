"""Parquet files of features: every row with its time, as pandas and DuckDB read them."""

import json

import numpy as np
import pytest
from helpers.extras import extra

from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.feature_files import write_frames
from stream_infomax.sinks.parquet import ParquetSink

parquet = extra("pyarrow.parquet")


def array(*rows, axes=("time", "component"), dtype=np.float32):
    return Array(np.array(rows, dtype), axes)


def table(path, frames, **settings):
    write_frames(path / "x.parquet", lambda: frames, **settings)
    return parquet.read_table(path / "x.parquet")


ABOUT = ["offset", "stream", "segment", "time", "row", "arrays", "labels", "encoder", "basis"]


def test_every_row_is_described(tmp_path):
    settings = {"segment": "s", "time": 0.5, "rate": 4.0, "labels": {"b": "ö", "a": "1"}, "encoder": "e", "basis": "v"}
    frames = [Frame("mic", 3, arrays={"x": array([1, 2], [3, 4])}, **settings)]
    found = table(tmp_path, frames).to_pylist()
    labels = json.dumps({"a": "1", "b": "ö"}, ensure_ascii=False)
    same = {"offset": 3, "stream": "mic", "segment": "s", "labels": labels, "encoder": "e", "basis": "v", "arrays": "x"}
    assert found == [
        {**same, "time": 0.5, "row": 0, "x_0": 1.0, "x_1": 2.0},
        {**same, "time": 0.75, "row": 1, "x_0": 3.0, "x_1": 4.0},
    ]


def test_arrays_of_as_many_rows_stand_side_by_side_and_others_below(tmp_path):
    arrays = {
        "x": array([1], [2]),
        "context": array([3], [4]),
        "score": array([5, 6], axes=("item", "component")),
        "none": Array(np.zeros((0, 2), np.float32), ("item", "component")),
    }
    found = table(tmp_path, [Frame("mic", 0, arrays=arrays, time=1.0, rate=2.0)])
    assert found.column_names == [*ABOUT, "x_0", "context_0", "score_0", "score_1"]
    assert found["arrays"].to_pylist() == ["x,context", "x,context", "score"]
    assert found["x_0"].to_pylist() == [1.0, 2.0, None]
    assert found["context_0"].to_pylist() == [3.0, 4.0, None]
    assert found["score_1"].to_pylist() == [None, None, 6.0]
    assert found["time"].to_pylist() == [1.0, 1.5, 1.0]


def test_a_late_label_is_a_line_of_its_own(tmp_path):
    frames = [Frame("mic", 0, "s", {"x": array([1])}), Frame("mic", 1, "s", labels={"word": "one"}, time=7.0)]
    late = table(tmp_path, frames).to_pylist()[1]
    assert (late["labels"], late["time"], late["arrays"]) == ('{"word": "one"}', 7.0, "")
    assert (late["row"], late["x_0"]) == (None, None)


def test_a_row_of_the_warm_up_is_nan_and_no_null(tmp_path):
    unsettled = Array(np.zeros((2, 0), np.float32), ("time", "component"))
    found = table(tmp_path, [Frame("mic", 0, arrays={"x": unsettled}), Frame("mic", 1, arrays={"x": array([1, 2])})])
    assert found["x_0"].null_count == 0
    np.testing.assert_array_equal(found["x_1"].to_numpy(), [np.nan, np.nan, 2])


def test_a_learner_that_never_settled_leaves_lines_without_features(tmp_path):
    unsettled = Array(np.zeros((2, 0), np.float32), ("time", "component"))
    found = table(tmp_path, [Frame("mic", 0, arrays={"x": unsettled}, rate=2.0)])
    assert found.column_names == ABOUT
    assert found["time"].to_pylist() == [0.0, 0.5]


def test_numbers_keep_their_type_and_rows_with_a_shape_are_flat(tmp_path):
    patch = Array(np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4), ("grid_y", "grid_x", "y", "x"))
    found = table(tmp_path, [Frame("mic", 0, arrays={"patch": patch, "n": array([1], dtype=np.int16)})])
    assert [str(field.type) for field in found.schema][len(ABOUT) :] == ["uint8"] * 12 + ["int16"]
    assert [found[f"patch_{i}"][0].as_py() for i in range(12)] == list(range(12))


def test_many_rows_are_written_group_by_group(tmp_path, monkeypatch):
    monkeypatch.setattr("stream_infomax.sinks.parquet_file.GROUP_BYTES", 1000)
    frames = [Frame("mic", n, arrays={"x": array(*[[n, i] for i in range(5)])}) for n in range(20)]
    found = table(tmp_path, frames)
    assert parquet.read_metadata(tmp_path / "x.parquet").num_row_groups == 7
    assert found["offset"].to_pylist() == [n for n in range(20) for _ in range(5)]
    assert found["x_0"].to_pylist() == found["offset"].to_pylist()


def test_the_names_of_classes_are_in_the_metadata(tmp_path):
    found = table(tmp_path, [Frame("mic", 0, arrays={"x": array([1])})], classes={"x": ["löwe"]})
    assert json.loads(found.schema.metadata[b"stream_infomax.classes"]) == {"x": ["löwe"]}


@pytest.fixture
def features(tmp_path):
    """Parts of a run that goes on: 5 s of rows from two segments, of which 4 s are in parts."""
    sink = ParquetSink("features", tmp_path / "run", path=str(tmp_path / "features"), part_seconds=1.0)
    for n in range(9):
        rows = array(*[[n, n + i] for i in range(10)])
        settings = {"time": n / 2, "rate": 20.0, "labels": {"word": "one" if n < 4 else "two"}}
        sink.accept(Output(Frame("mic", n, f"{n // 4}", {"x": rows}, **settings), "run"))
    sink.save(Mark("run", 9, False))
    sink.committed()
    return tmp_path / "features"


def test_pandas_reads_the_parts(features):
    pandas = pytest.importorskip("pandas")
    found = pandas.read_parquet(features)
    assert found.shape == (80, len(ABOUT) + 2)
    np.testing.assert_allclose(found["time"], np.arange(80) / 20)
    assert found.filter(regex="^x_").to_numpy().dtype == np.float32
    assert list(found["labels"].map(json.loads).str["word"].unique()) == ["one", "two"]


def test_duckdb_reads_the_parts(features):
    duckdb = pytest.importorskip("duckdb")
    query = f"""
        select segment, count(*), avg(columns('x_.*')), any_value(labels->>'word'), max(time)
        from '{features}/*.parquet' group by segment order by segment
    """
    assert duckdb.sql(query).fetchall() == [
        ("0", 40, 1.5, 6.0, "one", 1.95),
        ("1", 40, 5.5, 10.0, "two", 3.95),
    ]


def test_polars_reads_the_parts(features):
    polars = pytest.importorskip("polars")
    assert polars.scan_parquet(features / "*.parquet").select("x_1").collect().height == 80
