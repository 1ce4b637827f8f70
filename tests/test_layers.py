"""The walls of the house: who may know whom, and what an import costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extras import NEED_TORCH, needs

import stream_infomax

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "matplotlib", "numba", "zmq", "numpy", "scipy", "sklearn", "skimage", "soundfile", "rich")


def modules_loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(loaded.stdout.split())


def test_arrows_run_downwards_only() -> None:
    # In a process of its own: it sets up logging its own way.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_loaded_by("import stream_infomax") & set(HEAVY)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import stream_infomax.configuration.load", {"numpy", "numba", "zmq", "torch"}),
        ("import stream_infomax.service.process", {"numba", "torch", "scipy", "matplotlib"}),
        ("from stream_infomax import OnlineInfomax", {"zmq", "torch", "sklearn", "matplotlib"}),
        ("from stream_infomax import TapReader, Frame", {"numba", "torch", "scipy", "matplotlib"}),
        ("import stream_infomax.run.supervisor", {"numpy", "numba", "zmq", "torch", "rich"}),
    ],
)
def test_each_part_loads_only_what_it_needs(statement: str, absent: set[str]) -> None:
    assert not modules_loaded_by(statement) & absent


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs("torch") if name in NEED_TORCH else ()) for name in stream_infomax.__all__],
)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(stream_infomax, name).__doc__
    assert name in dir(stream_infomax)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="OnlineInfomax"):
        stream_infomax.OfflineInfomax  # noqa: B018


def test_services_are_scripts_and_no_package() -> None:
    services = ROOT / "services"
    assert sorted(path.name for path in services.glob("*.py")) == [
        "classifier.py",
        "contrast.py",
        "edge.py",
        "learner.py",
        "source.py",
    ]
    assert not (services / "__init__.py").exists()
