"""What a run has learnt is loaded from its checkpoints and folders, and what is none is named in one line."""

import numpy as np
import pytest

from stream_infomax import OnlineInfomax
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.state.file import StateFileError, save


def checkpoint(**learners):
    stages = {"windows": {"form": "waveform"}}
    stages |= {name: {"learner": learner.state(), "encoder": name} for name, learner in learners.items()}
    nothing = {key: {} for key in ("lost", "config", "source", "sinks")}
    return Checkpoint(log="", processed=4, finished=False, **nothing, stages=stages)


@pytest.fixture
def learner(rows):
    return OnlineInfomax().partial_fit(rows[:1000])


@pytest.fixture
def run(tmp_path, learner, rows):
    """The folder of a run: a source, a service with a learner, and one that has two more."""
    folder = tmp_path / "run"
    (folder / "source").mkdir(parents=True)
    (folder / "history.csv").write_text("")
    first = Checkpoints(folder / "learner", keep=3)
    first.save(checkpoint(infomax=OnlineInfomax()))
    first.save(checkpoint(infomax=learner))
    return folder


def test_a_checkpoint_a_service_and_a_run_with_one_learner(run, learner, rows):
    expected = learner.partial_fit(rows[1000:]).components_
    for path in (run, run / "learner", run / "learner" / "checkpoint-000002-at-5.safetensors"):
        for name in (None, "infomax"):
            loaded = OnlineInfomax.load(path, name)
            np.testing.assert_array_equal(loaded.partial_fit(rows[1000:]).components_, expected)


def test_the_newest_is_the_one_with_the_highest_number(run, learner):
    folder = run / "learner"
    (folder / "checkpoint-000001-at-5.safetensors").rename(folder / "checkpoint-999999-at-5.safetensors")
    (folder / "checkpoint-000002-at-5.safetensors").rename(folder / "checkpoint-1000000-at-6.safetensors")
    assert OnlineInfomax.load(run).n_rows_seen_ == 1000


def test_of_several_learners_one_is_named(run, learner, rows):
    other = OnlineInfomax(4).partial_fit(rows)
    Checkpoints(run / "more").save(checkpoint(low=other, high=OnlineInfomax()))
    with pytest.raises(StateFileError, match=r"run: holds the learners infomax, low, high; `name` says which"):
        OnlineInfomax.load(run)
    with pytest.raises(StateFileError, match=r"more: holds the learners low, high"):
        OnlineInfomax.load(run / "more")
    with pytest.raises(StateFileError, match=r"no learner 'windows'; it holds infomax, low, high"):
        OnlineInfomax.load(run, "windows")
    np.testing.assert_array_equal(OnlineInfomax.load(run, "low").components_, other.components_)


def test_what_holds_no_learner_is_named(tmp_path, learner):
    with pytest.raises(StateFileError, match="no checkpoint in this folder, and none in the folders in it"):
        OnlineInfomax.load(tmp_path)
    save(tmp_path / "other.safetensors", {"a": 1})
    with pytest.raises(StateFileError, match=r"other\.safetensors: neither a learner's state nor a checkpoint"):
        OnlineInfomax.load(tmp_path / "other.safetensors")
    Checkpoints(tmp_path / "windows").save(checkpoint())
    with pytest.raises(StateFileError, match="windows: no learner among its stages"):
        OnlineInfomax.load(tmp_path / "windows")
    with pytest.raises(StateFileError, match="missing: not readable"):
        OnlineInfomax.load(tmp_path / "missing")
    learner.save(tmp_path / "own.safetensors")
    with pytest.raises(StateFileError, match=r"own.safetensors: .*its own file has no name"):
        OnlineInfomax.load(tmp_path / "own.safetensors", "infomax")


def test_another_version_is_named(run, learner, tmp_path):
    state = learner.state() | {"format": 3}
    for content, path in (
        (state, tmp_path / "own.safetensors"),
        ({"stages": {"a": {"learner": state}}}, tmp_path / "c"),
    ):
        save(path, content)
        with pytest.raises(StateFileError, match=rf"{path.name}: a learner's state of format 3; this version reads 6"):
            OnlineInfomax.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("basis", "text"),
        ("filters", np.zeros((2, 2, 2))),
        ("beta", np.zeros(1)),
        ("mean", np.arange(3)),
        ("amplitude", 0),
    ],
)
def test_a_published_basis_that_is_none_is_refused_by_its_key(learner, key, value):
    state = learner.state()
    state["learner"] = {**state["learner"], "published": {**state["learner"]["published"], key: value}}
    other = OnlineInfomax(**learner.get_params())
    with pytest.raises(ValueError, match=rf"learner.published.{key}: .*; accepted"):
        other.restore(state)
