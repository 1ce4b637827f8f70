"""Packages that are installed only where needed: what is missing is named with the command that installs it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.extras import needs

from stream_infomax.settings.extras import EXTRAS, MissingExtraError, optional, require

ROOT = Path(__file__).parents[2]
# Where each package's part of stream_infomax begins.
PARTS = {
    "PIL": "from stream_infomax import ImageSource; ImageSource('folder', frames=1)",
    "av": "from stream_infomax import VideoSource; VideoSource('folder')",
    "bokeh": "from stream_infomax.page import server",
    "edfio": "from stream_infomax import TableSource; TableSource('a.edf')",
    "kaldi_native_fbank": "from stream_infomax import WindowsStage; WindowsStage('w', 'source', form='log-mel')",
    "matplotlib": "from stream_infomax import plots",
    "paho": "from stream_infomax.sources.mqtt import MqttSource; MqttSource(host='localhost', topics=('a',))",
    "prometheus_client": "from stream_infomax.configuration.load import convert\n"
    "from stream_infomax.run.settings import check\n"
    "check(convert({'run': {'folder': 'a', 'metrics': '127.0.0.1:9464'}, 'source': {'kind': 'devices'}}))",
    "pylsl": "from stream_infomax.sources.lsl import LslSource; LslSource(stream='a')",
    "pyarrow": "from stream_infomax import TableSource; TableSource('a.parquet')",
    "mcap": "from stream_infomax.configuration.load import convert\n"
    "from stream_infomax.run.settings import check\n"
    "check(convert({'run': {'folder': 'a'}, 'source': {'kind': 'devices', 'journal': {'enabled': True}}}))",
    "onnx": "from stream_infomax.export import onnx",
    "pyxdf": "from stream_infomax import XdfSource; XdfSource('a.xdf')",
    "scipy": "from stream_infomax.learning.classifier.probes import LinearProbe",
    "sounddevice": "from stream_infomax.sources.microphone import MicrophoneSource; MicrophoneSource()",
    "skimage": "from stream_infomax import ImageSource; ImageSource('skimage:natural', frames=1)",
    "torch": "from stream_infomax import GreedyInfoMax",
}


def without(package: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that cannot find a package."""
    hidden = f"import sys; sys.modules[{package!r}] = None\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", hidden + program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "package", [pytest.param(name, marks=needs("PIL") if name == "skimage" else ()) for name in PARTS]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str) -> None:
    done = without(package, PARTS[package])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f'{package} is not installed: pip install "stream_infomax[{EXTRAS[package]}]"'), done.stderr


@pytest.mark.parametrize("package", EXTRAS)
def test_other_parts_do_not_need_it(package: str) -> None:
    program = (
        "from stream_infomax import AudioSource, LearnerStage, SyntheticSource, TapReader, WindowsStage\n"
        "list(map(LearnerStage('learner', 'source').process, SyntheticSource(n_sources=3, frames=2).frames()))"
    )
    done = without(package, program)
    assert done.returncode == 0, done.stderr


def test_other_imports_fail_as_they_do() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as raised, optional():
        import no_such_package  # noqa: F401
    assert not isinstance(raised.value, MissingExtraError)


def test_what_is_installed_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "msgspec", "wire")
    require("msgspec")


def test_pyproject_has_the_same_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    distributions = {"PIL": "pillow", "paho": "paho-mqtt", "skimage": "scikit-image"}
    for package, extra in EXTRAS.items():
        names = [re.split(r"[<>=]", requirement)[0] for requirement in extras[extra]]
        assert distributions.get(package, package).replace("_", "-") in names
    everything = re.fullmatch(r"stream_infomax\[(.*)\]", *extras["all"])
    assert everything is not None
    assert set(everything[1].split(",")) == set(EXTRAS.values())


def test_the_constraints_name_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-")
        for requirements in (project["dependencies"], *project["optional-dependencies"].values())
        for requirement in requirements
    } - {"stream-infomax"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    assert wanted <= set(pinned)
    assert not [version for version in pinned.values() if "+" in version], "a local build is in no registry"
