"""OnlineInfomax and what rows may come as: tables with names, missing and masked values, objects, files."""

import numpy as np
import pytest

from stream_infomax.learning.infomax.estimator import OnlineInfomax

pandas = pytest.importorskip("pandas")

NAMES = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture
def frame(rows):
    return pandas.DataFrame(rows, columns=NAMES)


def test_a_table_is_its_rows(rows, frame):
    learner, plain = OnlineInfomax().fit(frame), OnlineInfomax().fit(rows)
    np.testing.assert_array_equal(learner.transform(frame), plain.transform(rows))
    assert learner.feature_names_in_.tolist() == NAMES
    assert not hasattr(plain, "feature_names_in_")


@pytest.mark.parametrize("method", ["transform", "partial_fit", "partial_fit_transform", "score"])
def test_columns_in_another_order_are_refused(frame, method, tmp_path):
    learner = OnlineInfomax().fit(frame)
    learner.save(tmp_path / "learner.safetensors")
    for one in (learner, OnlineInfomax.load(tmp_path / "learner.safetensors")):
        with pytest.raises(ValueError, match="must be in the same order"):
            getattr(one, method)(frame[NAMES[::-1]])
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- g\nFeature names seen .*\n- f\n"):
            getattr(one, method)(frame.rename(columns={"f": "g"}))
    np.testing.assert_array_equal(learner.components_, one.components_)


def test_a_fresh_start_takes_new_names(rows, frame):
    learner = OnlineInfomax().fit(frame)
    assert learner.fit(frame[NAMES[:4]]).feature_names_in_.tolist() == NAMES[:4]
    assert not hasattr(learner.fit(rows), "feature_names_in_")


def test_names_on_one_side_only_are_warned_of(rows, frame):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        OnlineInfomax().fit(frame).transform(rows)
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        OnlineInfomax().fit(rows).transform(frame)
    with pytest.raises(TypeError, match=r"\['int', 'str'\]"):
        OnlineInfomax().fit(frame.rename(columns={"a": 0}))
    OnlineInfomax().fit(pandas.DataFrame(rows)).transform(rows)  # numbers are no names


def test_missing_values_of_any_kind_are_rows_set_aside(rows):
    X = rows.astype(np.float64)
    X[[3, 700], [0, 4]] = np.nan
    plain = OnlineInfomax().fit(X)
    masked = np.ma.masked_invalid(X)
    masked.data[masked.mask] = 1e6  # what is under a mask is nobody's business
    nullable = pandas.DataFrame(X, columns=NAMES).convert_dtypes()
    nullable.loc[[3, 700], "a"] = pandas.NA
    objects = X.astype(object)
    objects[3, 0] = None
    for one in (masked, masked.astype(object), nullable, objects):
        learner = OnlineInfomax().fit(one)
        assert learner.n_set_aside_ == {"not finite": 2}
        np.testing.assert_array_equal(learner.components_, plain.components_)
        assert np.isnan(np.asarray(learner.transform(one))[3]).all()


def test_booleans_and_whole_numbers_that_may_be_missing_are_numbers(rows):
    frame = pandas.DataFrame(
        {"on": rows[:, 0] > 0, "x": rows[:, 1], "n": pandas.array(rows[:, 2].astype(int), "Int64")}
    )
    wanted = np.stack([rows[:, 0] > 0, rows[:, 1], rows[:, 2].astype(int)], axis=1).astype(np.float64)
    np.testing.assert_array_equal(OnlineInfomax().fit(frame).components_, OnlineInfomax().fit(wanted).components_)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([["a", "b"]], "dtype <U1"),
        (np.array([["a", 1.0]], object), "could not convert string to float"),
        (np.zeros((2, 2), "M8[s]"), "dtype datetime64"),
        (pandas.DataFrame({"x": [1.0, 2.0], "at": pandas.to_datetime([0, 1])}), "at hold times"),
        (np.zeros((2, 2), complex), "Complex data not supported"),
        (np.zeros(3), "Reshape your data"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((3, 0)), r"0 feature\(s\)"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_named(bad, message):
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(OnlineInfomax(), method)(bad)


def test_sparse_matrices_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"sparse csr_array; .*X\.toarray\(\)"):
        OnlineInfomax().fit(sparse.csr_array(np.eye(3)))


def test_rows_from_a_memory_map(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    learner = OnlineInfomax().fit(mapped)
    np.testing.assert_array_equal(learner.transform(mapped), OnlineInfomax().fit(rows).transform(rows))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_output_as_a_table(frame, kind):
    library = pytest.importorskip(kind)
    given = frame.set_index(np.arange(len(frame)) + 5)
    learner = OnlineInfomax().set_output(transform=kind)
    plain = OnlineInfomax().fit(given)
    for made in (learner.fit_transform(given), learner.transform(given)):
        assert isinstance(made, library.DataFrame)
        assert list(made.columns) == [f"onlineinfomax{i}" for i in range(6)]
        np.testing.assert_array_equal(made.to_numpy(), plain.transform(given))
        if kind == "pandas":
            assert made.index.equals(given.index)
    assert isinstance(learner.partial_fit_transform(given), library.DataFrame)
    assert isinstance(learner.set_output(transform="default").transform(given), np.ndarray)
    with pytest.raises(ValueError, match="'arrow'; accepted: default, pandas, polars"):
        learner.set_output(transform="arrow")


def test_a_table_of_polars(rows):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(rows, schema=NAMES)
    learner = OnlineInfomax().fit(frame)
    assert learner.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(learner.transform(frame), OnlineInfomax().fit(rows).transform(rows))
    with pytest.raises(ValueError, match="same order"):
        learner.transform(frame[NAMES[::-1]])


def test_output_as_scikit_learns_configuration_says(frame):
    sklearn = pytest.importorskip("sklearn")
    learner = OnlineInfomax().fit(frame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(learner.transform(frame), pandas.DataFrame)
    assert isinstance(learner.transform(frame), np.ndarray)


def test_names_of_the_output(frame):
    learner = OnlineInfomax(output="halves")
    with pytest.raises(ValueError, match="no row"):
        learner.get_feature_names_out()
    learner.fit(frame)
    assert len(learner.get_feature_names_out()) == 12
    assert list(learner.get_feature_names_out(NAMES)) == list(learner.get_feature_names_out())
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        learner.get_feature_names_out(NAMES[::-1])
