"""Bases of a service: from which frame each holds, over restarts; kept in its folder, in bounded room."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call

from stream_infomax import Encoder, LearnerStage, Pipeline, SyntheticSource
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.learning.infomax.encoder import kept_bases
from stream_infomax.service import bases as module
from stream_infomax.service.bases import Bases
from stream_infomax.service.process import FromSource, Service, opened
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.nothing import NothingSink
from stream_infomax.state.error import StateFileError
from stream_infomax.transport.observer import Observer

CONFIG = """
[run]
folder = "run"
checkpoint_every = 8

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 60

[[stage]]
name = "learner"
kind = "learner"
n_components = 4
block = 16

[[sink]]
kind = "npz"
"""


def basis(number: int, stage: str = "learner") -> Basis:
    one = np.full((2, 2), number, np.float32)
    encoder = Encoder(
        mean=one[0].astype(np.float64),
        components=one,
        mixing=one,
        amplitude=1.0,
        beta=one[0],
        bias=one[0],
        output="log",
        seed=3,
    )
    plain = {name: getattr(encoder, name) for name in (*Encoder.ARRAYS, "amplitude", "output", "seed", "version")}
    return Basis(stage=stage, encoder="e", **plain)


def told(new: list[Basis]) -> list[tuple[str, int, str]]:
    return [(one.stage, one.offset, one.previous) for one in new]


def test_each_basis_knows_its_first_frame_and_the_one_before_it(tmp_path: Path) -> None:
    bases = Bases(tmp_path)
    first, second = basis(1), basis(2)
    assert bases.follow([], 0) == []
    assert told(bases.follow([first], 3)) == [("learner", 3, "")]
    assert bases.follow([first], 4) == []
    assert told(bases.follow([second], 5)) == [("learner", 5, first.version)]
    assert told(bases.follow([first, basis(1, "other")], 9)) == [("learner", 9, second.version), ("other", 9, "")]
    assert kept_bases(tmp_path) == []
    bases.save()
    assert [(one.stage, one.offset) for one in kept_bases(tmp_path)] == [
        ("learner", 3),
        ("learner", 5),
        ("learner", 9),
        ("other", 9),
    ]


def test_a_restart_knows_what_was_said_before(tmp_path: Path) -> None:
    first = Bases(tmp_path)
    for number in (1, 2, 3):
        first.follow([basis(number)], 10 * number)
    first.save()
    same, back, later = Bases(tmp_path), Bases(tmp_path), Bases(tmp_path)
    assert told(same.follow([basis(3)], 35)) == [("learner", 30, basis(2).version)]
    assert told(back.follow([basis(2)], 25)) == [("learner", 20, basis(1).version)]  # an older checkpoint
    assert told(back.follow([basis(3)], 30)) == [("learner", 30, basis(2).version)]
    assert told(later.follow([basis(4)], 35)) == [("learner", 35, basis(3).version)]


@pytest.mark.parametrize(("name", "most"), [("MOST_BYTES", 0), ("MOST", 16)])
def test_there_is_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    monkeypatch.setattr(module, name, most)
    bases = Bases(tmp_path)
    for number in range(200):
        bases.follow([basis(number)], 10 * number)
        bases.save()
        if number == 50:  # a life ends
            bases = Bases(tmp_path)
    offsets = [one.offset for one in kept_bases(tmp_path)]
    assert len(offsets) == module.LEAST
    assert offsets[0] == 0
    assert offsets[-8:] == list(range(1920, 2000, 10))
    gaps = np.diff(offsets)
    assert gaps[1] > 3 * gaps[-9]  # the older, the further apart


@pytest.mark.parametrize("how", [(), ("--in-process",)])
def test_every_row_of_a_run_can_be_encoded_again_with_its_own_basis(tmp_path: Path, how: tuple[str, ...]) -> None:
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    end = call("run", "pipeline.toml", *how, folder=tmp_path)
    assert end.code == 0, end.errors
    rows = {
        frame.offset: frame.arrays["source"].data for frame in SyntheticSource(n_sources=4, rows=64, frames=60).frames()
    }
    with np.load(tmp_path / "run/npz/parts/part-000000000000.npz") as file:
        found, versions, of_row = file["learner"], file["frames/basis"], file["rows/learner"]
    assert len(set(versions)) > 5
    assert versions[0] == ""
    for offset, version in enumerate(versions):
        if version:
            encoder = Encoder.load(tmp_path / "run", version=str(version))
            assert encoder.version == version
            np.testing.assert_array_equal(encoder.transform(rows[offset]), found[of_row == offset])
    kept = kept_bases(tmp_path / "run")
    assert [one.version for one in kept if one.version in versions] == list(dict.fromkeys(versions))[1:]
    assert all(list(versions).index(one.version) == one.offset for one in kept if one.version in versions)
    with pytest.raises(StateFileError, match="no basis of version 'nothing'; it holds"):
        Encoder.load(tmp_path / "run", version="nothing")
    with pytest.raises(StateFileError, match="no learner 'x'; it holds learner"):
        Encoder.load(tmp_path / "run", "x", version=str(versions[-1]))
    again = call("run", "pipeline.toml", *how, "--fresh", folder=tmp_path)
    assert again.code == 0, again.errors
    assert kept_bases(tmp_path / "run") == kept


class Watching(Observer):
    """Who watches a loop, and remembers the order of what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, str, str]] = []

    def frame(self, output: Output) -> None:
        self.heard.append(("frame", output.frame.offset, output.frame.basis, ""))

    def basis(self, basis: Basis) -> None:
        self.heard.append(("basis", basis.offset, basis.version, basis.previous))


def watched(folder: Path, stop_at: int | None = None) -> list[tuple[str, int, str, str]]:
    """What is heard of a service's life, which a signal ends behind the frame `stop_at`."""
    source = SyntheticSource(n_sources=4, rows=64, frames=60)
    service = Service(name="learner", outlet="", tap="", folder=folder / "learner", checkpoint_every=7)
    observer = Watching()
    stages = Pipeline([LearnerStage("learner", "source", n_components=4, block=16)])
    with (
        closing(Signals()) as signals,
        opened(
            service,
            FromSource(source),
            stages,
            [NothingSink("nothing", folder / "nothing")],
            signals,
            beside=[observer],
        ) as loop,
    ):
        if stop_at is not None:
            while loop.newest < stop_at:
                loop.advance()
            return observer.heard  # killed: nothing more is saved
        loop.run()
    return observer.heard


def test_a_basis_is_told_ahead_of_its_frames_in_every_life(tmp_path: Path) -> None:
    whole = watched(tmp_path / "whole")
    newest = ("basis", 0, "", "")
    for one in whole:
        if one[0] == "basis":
            assert one[3] == newest[2]
            newest = one
        else:
            assert one[2] == newest[2]
            assert one[1] >= newest[1]
    told = [one for one in whole if one[0] == "basis"]
    assert len(told) > 5
    first, second = watched(tmp_path / "killed", 40), watched(tmp_path / "killed")
    assert first == whole[: len(first)]
    start = second[0]
    assert start == [one for one in told if one[1] <= second[1][1]][-1]  # the newest basis at once, from where it holds
    assert second[1:] == whole[whole.index(second[1]) :]
    assert [path.name for path in sorted((tmp_path / "killed" / "learner").glob("basis-*"))] == [
        path.name for path in sorted((tmp_path / "whole" / "learner").glob("basis-*"))
    ]
