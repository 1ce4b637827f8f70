"""The units of services/systemd: systemd takes them, and gives them the score that the documentation states."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "services" / "systemd").glob("*.service"))
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture(params=UNITS, ids=lambda unit: unit.stem)
def unit(request, tmp_path: Path) -> Path:
    """An instance of a unit, whose program is there."""
    text = request.param.read_text(encoding="utf-8")
    path = tmp_path / request.param.name.replace("@", "@name")
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    return path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments), "--no-pager"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@needs_systemd
def test_systemd_takes_it(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_its_exposure_is_what_the_documentation_says(unit: Path) -> None:
    stated = re.search(r"`systemd-analyze security` gives them ([0-9.]+)", (ROOT / "docs/operations.md").read_text())
    assert stated is not None
    found = re.search(r"exposure level for .*: ([0-9.]+)", analyze("security", "--offline=true", unit).stdout)
    assert found is not None
    # Another version of systemd may ask for more.
    assert abs(float(found[1]) - float(stated[1])) < 0.5


@pytest.mark.parametrize("path", UNITS, ids=lambda unit: unit.stem)
def test_what_it_starts_is_part_of_the_installation(path: Path) -> None:
    (command,) = re.findall(r"^ExecStart=/opt/stream_infomax/(.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    place = next((word for word in command.split() if "share/stream_infomax/" in word), "")
    assert not place or (ROOT / place.split("share/stream_infomax/")[1]).is_file()
    assert command.startswith(("bin/stream-infomax run ", "bin/python /opt/stream_infomax/share/"))
