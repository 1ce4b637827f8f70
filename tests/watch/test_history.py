"""The history: it goes on after restarts, stays small, and survives damage."""

import os
from collections.abc import Callable
from itertools import pairwise
from math import log
from pathlib import Path

import pytest

from stream_infomax.frames.measure import Measure
from stream_infomax.watch import history
from stream_infomax.watch.history import HEAD, POINTS, History, keep_until, read
from stream_infomax.watch.monitor import Monitor


def objective(position: int, value: float) -> Measure:
    return Measure("learner", "", "objective", value, position)


class TestHistory:
    def test_goes_on_after_a_restart_without_repeating_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        first = History(path)
        first.append(1.0, [objective(64, 5.0)])
        first.append(2.0, [objective(64, 5.0)])
        first.append(3.0, [objective(128, 4.0)])
        first.close()
        second = History(path)
        assert second.seconds == 3.0
        second.append(4.0, [objective(96, 4.5)])  # computed again from the checkpoint
        second.append(5.0, [objective(192, 3.0)])
        second.close()
        columns = {"seconds": [1.0, 3.0, 5.0], "position": [64.0, 128.0, 192.0], "value": [5.0, 4.0, 3.0]}
        assert read(path) == {("learner", "", "objective"): columns}

    def test_a_long_one_is_not_read_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "history.csv"
        lines = [f"{i}.00,{name},,objective,{100 * i},{i}" for i in range(1, 5001) for name in ("a", "b")]
        path.write_text("\r\n".join([HEAD, *lines, ""]))
        monkeypatch.setattr(history, "BEGIN", 1000)
        monkeypatch.setattr(history, "END", 3000)
        looked_at: list[str] = []
        point = history._point
        monkeypatch.setattr(history, "_point", lambda text: looked_at.append(text) or point(text))
        again = History(path)
        assert len(looked_at) < 200
        assert (again.seconds, again.damaged) == (5000.0, 0)
        for position in (499_900, 500_000, 500_100, 600_000):  # two are there, one is too small a step
            again.append(5000.0, [Measure("a", "", "objective", 1.0, position)])
        again.close()
        assert path.read_text().splitlines()[len(lines) + 1 :] == ["5000.00,a,,objective,600000,1"]

    def test_a_line_that_was_cut_off_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        path.write_text("seconds,stage,level,kind,position,value\n1.0,learner,,objective,64,5\n2.0,learner,,obj")
        assert read(path)["learner", "", "objective"]["value"] == [5.0]
        after = History(path)
        after.append(3.0, [objective(128, 4.0)])
        after.close()
        assert read(path)["learner", "", "objective"]["value"] == [5.0, 4.0]

    @pytest.mark.parametrize(
        ("damage", "lost"),
        [
            (lambda text: text.replace(b"2.0,learner", b"2.0,l\xffarner"), [4.0]),
            (lambda text: text.replace(b"128,4", b"1z8,4"), [4.0]),
            (lambda text: text.replace(b"128,4", b"128,inf"), [4.0]),
            (lambda text: text.replace(b"128,4", b"128"), [4.0]),
            (lambda text: text.replace(b"2.0,learner,,objective", b"2.0,learner,,objectivf"), [4.0]),
            (lambda text: text.replace(b"128,4", b"8,4"), [4.0]),
            (lambda text: text.replace(b"2.0,learner", b"\x00" * 9000 + b"\n2.0,learner"), []),
            (lambda text: text.partition(b"\n")[2], []),
            (lambda text: b"seconds,st\xfege" + text[13:], []),
            (lambda text: text[:-6], [3.0]),
            (lambda text: text[:60], [5.0, 4.0, 3.0]),
            (lambda text: b"", [5.0, 4.0, 3.0]),
            (lambda text: bytes(range(256)) * 40, [5.0, 4.0, 3.0]),
        ],
    )
    def test_damage_costs_the_damaged_line_and_nothing_else(
        self, tmp_path: Path, damage: Callable[[bytes], bytes], lost: list[float]
    ) -> None:
        path = tmp_path / "history.csv"
        lines = [f"{i + 1}.0,learner,,objective,{64 * (i + 1)},{5 - i}" for i in range(3)]
        path.write_bytes(damage("\r\n".join([HEAD, *lines, ""]).encode()))
        history = History(path)
        kept = [value for value in (5.0, 4.0, 3.0) if value not in lost]
        history.append(9.0, [objective(1000, 1.0)])
        history.close()
        assert read(path)["learner", "", "objective"]["value"] == [*kept, 1.0]

    def test_damaged_lines_are_counted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "history.csv"
        path.write_text(f"{HEAD}\n1.0,learner,,objective,64,5\nrubbish\n2.0,learner,,objective,x,5\n")
        with Monitor("x", ["learner"], History(path), plain=True):
            pass
        assert f"{path}: passed over 2 damaged lines" in capsys.readouterr().err

    def test_a_month_stays_small(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        history = History(path)
        n = 200_000
        for position in range(1, n + 1):
            history.append(position / 4, [objective(position, 5.0)])
        history.append(n / 4, [objective(n + 1, 4.0)], final=True)
        history.close()
        columns = read(path)["learner", "", "objective"]
        assert len(columns["value"]) <= POINTS * (1 + log(n / POINTS)) + 2
        steps = [after / before for before, after in pairwise(columns["position"]) if before > POINTS]
        assert max(steps) < 1 + 3 / POINTS
        assert columns["value"][-1] == 4.0, "the end is always there"

    def test_a_long_file_is_thinned_as_it_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        with path.open("w") as file:
            file.write(f"{HEAD}\n")
            file.writelines(f"1,learner,,objective,{i},{i}\n" for i in range(1, 50_001))
        columns = read(path)["learner", "", "objective"]
        assert len(columns["value"]) <= POINTS * (1 + log(50_000 / POINTS)) + 2
        assert columns["value"][-1] == 50_000

    def test_a_fork_has_the_curves_up_to_its_first_frame(self, tmp_path: Path) -> None:
        path, target = tmp_path / "history.csv", tmp_path / "fork.csv"
        names = ("a,", "b,", "c,left", "c,right")
        lines = [f"{i}.00,{name},objective,{64 * i},{5 - i}" for i in range(1, 5) for name in names]
        path.write_text("\n".join([HEAD, *lines, "rubbish", ""]))
        keep_until(path, target, {("a", ""): 128, ("b", ""): -1, ("c", "left"): 64})
        assert read(target) == {
            ("a", "", "objective"): {"seconds": [1.0, 2.0], "position": [64.0, 128.0], "value": [4.0, 3.0]},
            ("c", "left", "objective"): {"seconds": [1.0], "position": [64.0], "value": [4.0]},
        }
        keep_until(tmp_path / "missing.csv", tmp_path / "none.csv", {("a", ""): 128})
        assert read(tmp_path / "none.csv") == {}


@pytest.mark.timeout(10)
def test_a_named_pipe_or_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "letter.txt").write_text("dear\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "letter.txt")
    for name, words in (("pipe.csv", "no regular file"), ("link.csv", "a symbolic link")):
        with pytest.raises(OSError, match=f"it is {words}.*{name}"):
            History(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        read(tmp_path / "pipe.csv")
    assert (tmp_path / "letter.txt").read_text() == "dear\n"
