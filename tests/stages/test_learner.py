"""LearnerStage: features for every row, whatever comes."""

import logging
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.frames.event import event_line
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.measures.spectra import RunningSpectra
from stream_infomax.sources.table import TableSource
from stream_infomax.stages.learner import LearnerStage

K = 8


def frames(n: int, rows: int = 50, seed: int = 0) -> list[Frame]:
    mixing = np.random.default_rng(99).normal(size=(K, K))
    data = np.random.default_rng(seed).laplace(size=(n, rows, K)) @ mixing.T
    return [
        Frame("s", i, arrays={"x": Array(part.astype(np.float32), ("time", "channel"))}, rate=100.0, end=i == n - 1)
        for i, part in enumerate(data)
    ]


def stage(**parameters: object) -> LearnerStage:
    return LearnerStage("learner", "x", seed=1, **{"block": 16, **parameters})


def test_every_row_has_one_and_only_the_warm_up_is_nan() -> None:
    learner = stage(n_components=K, overcomplete=True)
    outputs = [learner.process(frame) for frame in frames(20)]
    assert [output.offset for output in outputs] == list(range(20))
    assert all(output.arrays["learner"].data.shape == (50, K) for output in outputs)
    known = [bool(np.isfinite(output.arrays["learner"].data).all()) for output in outputs]
    assert known == sorted(known)
    assert known[-1]
    assert not known[0]


def test_rows_have_no_columns_while_their_number_is_open() -> None:
    learner = stage(energy=0.9)
    widths = [learner.process(frame).arrays["learner"].data.shape for frame in frames(20)]
    assert widths[0] == (50, 0)
    settled = [width for _, width in widths if width]
    assert settled
    assert set(settled) == {learner.learner.width_}


def test_a_frame_is_encoded_before_it_is_learnt_from() -> None:
    learner = stage(n_components=K)
    sequence = frames(40)
    for frame in sequence[:-1]:
        learner.process(frame)
    expected = learner.learner.transform(sequence[-1].arrays["x"].data)
    np.testing.assert_array_equal(learner.process(sequence[-1]).arrays["learner"].data, expected)


def test_set_aside_rows_come_out_as_nan_and_are_counted() -> None:
    learner = stage(n_components=K)
    sequence = frames(30)
    for frame in sequence[:-1]:
        learner.process(frame)
    basis = learner.learner.components_.copy()
    data = sequence[-1].arrays["x"].data.copy()
    data[3, 2], data[7] = np.nan, np.inf
    output = learner.process(Frame("s", 29, arrays={"x": Array(data, ("time", "channel"))}))
    rows = output.arrays["learner"].data
    assert np.isnan(rows[[3, 7]]).all()
    assert np.isfinite(np.delete(rows, [3, 7], axis=0)).all()
    assert sum(value for name, value in learner.counts().items() if name.startswith("set aside")) == 2
    assert np.isfinite(basis).all()
    assert np.isfinite(learner.learner.components_).all()


def test_a_row_of_another_shape_is_refused_by_name() -> None:
    learner = stage()
    learner.process(frames(1)[0])
    odd = Frame("s", 1, arrays={"x": Array(np.zeros((5, K + 1), np.float32), ("time", "channel"))})
    with pytest.raises(ValueError, match=r"'learner'.*\(8,\).*\(9,\).*offset 1"):
        learner.process(odd)


def test_encoding_alone_needs_a_basis() -> None:
    with pytest.raises(ValueError, match="start = CHECKPOINT"):
        LearnerStage("learner", "x", learn=False).process(frames(1)[0])


def test_encoding_alone_leaves_the_basis() -> None:
    taught = stage(n_components=K)
    for frame in frames(30):
        taught.process(frame)
    encoder = LearnerStage("learner", "x", learn=False, seed=1, block=16, n_components=K)
    encoder.restore(taught.state())
    basis = encoder.learner.components_.copy()
    for frame in frames(30, seed=5):
        encoder.process(frame)
    np.testing.assert_array_equal(encoder.learner.components_, basis)
    assert encoder.encoder == taught.encoder


def test_spikes_go_on_where_it_only_encodes() -> None:
    taught = stage(n_components=K, output="poisson")
    for frame in frames(30):
        taught.process(frame)
    state = taught.state()

    def encoder() -> LearnerStage:
        made = LearnerStage("learner", "x", learn=False, seed=1, block=16, n_components=K, output="poisson")
        made.restore(state)
        return made

    same = [frames(1)[0]] * 4
    whole = encoder()
    expected = [whole.process(frame).arrays["learner"].data for frame in same]
    assert not np.array_equal(expected[0], expected[1])
    first = encoder()
    for frame in same[:2]:
        first.process(frame)
    second = encoder()
    second.restore(first.state())
    for frame, wanted in zip(same[2:], expected[2:], strict=True):
        np.testing.assert_array_equal(second.process(frame).arrays["learner"].data, wanted)


def test_the_information_of_every_frame_is_in_the_status() -> None:
    learner = stage(n_components=K)
    seen = []
    for frame in frames(40):
        learner.process(frame)
        seen.append(learner.counts().get("frame information", np.nan))
    bits = np.array(seen[-10:])
    assert len(set(bits)) == 10
    running = {measure.kind: measure.value for measure in learner.measures()}["information"]
    assert np.all(np.abs(bits - running) < 0.2 * running)


def test_a_frame_has_the_version_of_the_basis_that_it_was_encoded_with() -> None:
    learner = stage(n_components=K)
    versions = []
    for frame in frames(60):
        before = learner.basis()
        output = learner.process(frame)
        versions.append(output.basis)
        assert output.basis == ("" if before is None else before.version)
        if before is not None:
            rows = (frame.arrays["x"].data - before.mean) @ before.components.T
            np.testing.assert_allclose(output.arrays["learner"].data, rows, atol=1e-4)
    changes = len(dict.fromkeys(versions))
    assert 3 < changes < 60
    assert versions == sorted(versions, key=list(dict.fromkeys(versions)).index)  # none comes again


def test_each_learner_of_a_row_adds_the_version_of_its_basis() -> None:
    first, second = stage(n_components=K), LearnerStage("second", "learner", block=16, n_components=K)
    seen = []
    for frame in frames(40):
        below = first.process(frame)
        seen.append(second.process(below).basis)
        if below.basis:
            assert seen[-1].split("/")[0] == below.basis
    assert seen[0] == ""
    assert any(text.endswith("/") for text in seen)
    basis = second.basis()
    assert basis is not None
    assert all(len(version) == 12 for version in seen[-1].split("/"))


def changing() -> np.ndarray:
    """Rows that are mixed otherwise, and longer, from row 30,000 on; 10,000 of these."""
    generator = np.random.default_rng(0)
    rows = generator.laplace(size=(40_000, 4)).astype(np.float32)
    rows[30_000:] = 3 * rows[30_000:] @ generator.standard_normal((4, 4)).astype(np.float32)
    return rows


@pytest.mark.parametrize("adapt", ["fixed", "follow"])
def test_a_basis_that_follows_is_measured_on_the_rows_that_it_follows(adapt: str) -> None:
    learner = stage(adapt=adapt)
    for offset, piece in enumerate(np.split(changing(), 100)):
        learner.process(Frame(stream="a", offset=offset, arrays={"x": Array(piece, ("item", "channel"))}))
    assert learner.events()
    size = np.abs(learner.observed.panel.rows).mean()
    assert size == pytest.approx(np.abs(changing()[30_000:] if adapt == "follow" else changing()).mean(), rel=0.1)


def test_what_happens_is_on_the_frame_that_was_learnt_from_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    learner, told = stage(), []
    with caplog.at_level(logging.INFO):
        for offset, piece in enumerate(np.split(changing(), 100)):
            array = {"x": Array(piece, ("item", "channel"))}
            out = learner.process(Frame(stream="a", offset=offset, arrays=array))
            told += [(offset, event) for event in out.events]
    assert told
    assert [event for _, event in told] == learner.events()
    offset, event = told[0]
    assert (event.stage, event.kind) == ("learner", "change")
    assert offset * 400 < event.position <= (offset + 1) * 400
    assert [record.getMessage() for record in caplog.records] == [event_line(event) for _, event in told]
    assert caplog.records[0].levelno == logging.WARNING
    again = stage()
    again.restore(learner.state())
    assert again.events() == learner.events()


def test_a_rank_below_n_components_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    learner = stage(n_components=K)
    outputs = []
    for frame in frames(20):
        data = frame.arrays["x"].data.copy()
        data[:, 0] = data[:, 1]
        outputs.append(learner.process(Frame("s", frame.offset, arrays={"x": Array(data, ("time", "channel"))})))
    widths = [output.arrays["learner"].data.shape[1] for output in outputs]
    assert set(widths) == {0, K - 1}
    assert widths == sorted(widths)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith(f"stage learner: n_components = {K}, but the rows have rank {K - 1}")


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_rows_that_float32_cannot_hold_are_learnt_from_as_they_are(kind: type) -> None:
    data = (1000 * np.concatenate([frame.arrays["x"].data for frame in frames(30)])).astype(np.int64) + 10**11
    learner, first = stage(), stage()
    parts = [data[i : i + 50].astype(kind) for i in range(0, len(data), 50)]
    for i, part in enumerate(parts):
        frame = Frame("s", i, arrays={"x": Array(part, ("time", "channel"))})
        output = learner.process(frame)
        if i == 20:
            first.restore(learner.state())
        if i > 20:
            np.testing.assert_array_equal(first.process(frame).arrays["learner"].data, output.arrays["learner"].data)
    expected = OnlineInfomax(random_state=1, block=16).partial_fit(data)
    np.testing.assert_array_equal(learner.learner.components_, expected.components_)
    spread = output.arrays["learner"].data.std(axis=0)
    assert np.all((spread > 0.5) & (spread < 2))
    assert {m.kind: m.value for m in learner.measures()} == {m.kind: m.value for m in first.measures()}


def test_rows_in_quarantine_judge_nothing() -> None:
    rows = changing()[:30_000]
    rows[20_000:, 1] = 9.0
    learner, other = stage(), stage()
    for offset, piece in enumerate(np.split(rows, 75)):
        if offset == 60:
            other.restore(learner.state())
        for one in (learner, other) if offset >= 60 else (learner,):
            one.process(Frame(stream="a", offset=offset, arrays={"x": Array(piece, ("item", "channel"))}))
    assert [event.kind for event in learner.events()] == ["quarantine"]
    assert np.mean(learner.observed.panel.rows[:, 1] == 9.0) < 0.04, "those at most that came before it was noticed"
    np.testing.assert_array_equal(learner.observed.panel.rows, other.observed.panel.rows)


@pytest.mark.data
def test_alpha_of_closed_eyes_is_in_few_components(data_folder: Path) -> None:
    source = TableSource(data_folder / "eeg_motor", array="data", transposed=True, repeat=5, frame=160)
    stage = LearnerStage("learner", "source", energy=0.9999)
    for frame in source.frames():
        stage.process(frame)
    closed = RunningSpectra()
    alone = TableSource(data_folder / "eeg_motor", array="data", transposed=True, include="closed")
    learner = stage.learner
    for frame in alone.frames():
        rows = frame.arrays["source"].rows()
        if closed.wants(len(rows), frame.rate, "", ""):
            closed.add((rows - learner.mean_) @ learner.components_.T)
    hertz = np.arange(len(closed.power)) * closed.rate / closed.length
    alpha = closed.power[(hertz >= 8) & (hertz <= 13)].sum(0)
    back = [source.channels.index(name) for name in ("O1", "Oz", "O2", "Po7", "Po3", "Poz", "Po4", "Po8")]
    share = alpha * (learner.mixing_[back] ** 2).sum(0)
    share = np.sort(share / share.sum())[::-1]
    assert share[:3].sum() > 0.6, "0.75 when this was written"
    peak = hertz[1:][closed.power[1:].argmax(0)]
    assert ((peak >= 8) & (peak <= 13)).sum() >= 2, "components whose loudest frequency is alpha"


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("output", ["potential", "rate"])
@pytest.mark.parametrize("wide", [{}, {"n_components": 2 * K, "overcomplete": True}])
def test_the_largest_numbers_of_a_device_are_no_warning(output: str, wide: dict[str, object]) -> None:
    learner = stage(output=output, **wide)
    for frame in frames(60):
        learner.process(frame)
    for dtype, value in ((np.float64, 1.7e308), (np.float32, 3e38)):
        data = frames(1, seed=1)[0].arrays["x"].data.astype(dtype)
        data[::5] = value
        learner.process(Frame("s", 60, arrays={"x": Array(data, ("time", "channel"))}, rate=100.0))
    for frame in frames(20, seed=2):
        learner.process(frame)
    assert np.isfinite(learner.learner.components_).all()
    assert np.isfinite(learner.observed.panel.rows.astype(np.float32)).all()
    assert learner.measures()
