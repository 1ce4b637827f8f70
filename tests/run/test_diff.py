"""Two runs beside each other, in the terminal and as a picture."""

from pathlib import Path

import pytest
from helpers.commands import call
from helpers.extras import extra

extra("matplotlib")
extra("scipy")
from stream_infomax.run.diff import different  # noqa: E402
from stream_infomax.service.commands import FILE  # noqa: E402

CONFIG = """
[run]
folder = "one"

[source]
kind = "synthetic"
n_sources = 4
rows = 50
frames = 80
rate = 0.0

[[stage]]
name = "learner"
kind = "learner"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    (folder / "pipeline.toml").write_text(CONFIG)
    for arguments in (
        ("run", "pipeline.toml", "--in-process", "--save-features", "one.npz"),
        ("replay", "one", "--from", 40, "--to", "fork", "--set", "stage.learner.block=32"),
        ("replay", "one", "--from", 40, "--to", "same"),
    ):
        done = call(*arguments, folder=folder)
        assert done.code == 0, done.errors
    (folder / "one" / "in-process" / FILE).write_text('{"id":"1","action":"pause","offset":60}\n')
    return folder


def test_what_differs_is_shown_in_80_columns_and_drawn(folder: Path) -> None:
    done = call("diff", "one", "fork", "--out", "diff.png", folder=folder)
    assert (done.code, done.errors) == (0, "")
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert max(map(len, done.output.splitlines())) <= 80
    origin = "B was forked from A at frame 40; from there on A was told 1× pause, and B was not"
    assert " ".join(lines).startswith(f"A one B fork {origin}")
    assert "stage.learner.block 64 32" in lines
    assert any(line.startswith("objective ↓ ") for line in lines)
    assert any(line.startswith("learner 4 4 4 0 0 0 ") for line in lines), done.output
    assert any(line.startswith("learner ") and " 40 " in line for line in lines), "features differ from there on"
    assert (folder / "diff.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_and_its_exact_fork_differ_in_nothing(folder: Path) -> None:
    done = call("diff", "one", "same", folder=folder)
    assert "settings: none differ" in done.output
    assert "100.0%" in done.output
    assert "+0.00 " in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("one", "nothing"), "nothing: no run in this folder (run.json)"),
        (("one", "same", "--out", "diff.jpg"), "--out diff.jpg: accepted is a name that ends in .png"),
    ],
)
def test_what_cannot_be_is_named(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    done = call("diff", *arguments, folder=folder)
    assert (done.code, done.errors.count("\n")) == (2, 1)
    assert says in done.errors


def test_of_what_one_run_has_only_the_kind_stands_for_all() -> None:
    stage = {"stage.a.kind": "learner", "stage.a.block": 64, "stage.a.half_life": 10.0}
    one = {"run.keep": 3, "source.kind": "audio", "source.path": "x", **stage}
    other = {
        "run.keep": 4,
        "source.kind": "synthetic",
        "source.rows": 3,
        "stage.a.kind": "learner",
        "stage.a.block": 64,
    }
    assert different(one, other) == {
        "run.keep": (3, 4),
        "source.kind": ("audio", "synthetic"),
        "stage.a.half_life": (10.0, None),
    }
    assert different(one, {key: value for key, value in one.items() if key not in stage}) == {
        "stage.a.kind": ("learner", None)
    }
