"""What the contrastive stage needs: a stack that fits together, and torch."""

import math
import subprocess
import sys

import pytest

from stream_infomax.configuration.compose import stage_of
from stream_infomax.configuration.load import ConfigError, convert


def config(**changes):
    stages = [
        {"name": "patches", "kind": "windows", "form": "grid", "patch": 10, "stride": 3},
        {"name": "one", "kind": "contrast", "layout": "patches", "skip": 3},
        {"name": "two", "kind": "contrast", "layout": "patches", "skip": 3, "module": 2},
    ]
    for name, settings in changes.items():
        next(stage for stage in stages if stage["name"] == name).update(settings)
    return convert({"run": {"folder": "runs/x"}, "source": {"kind": "synthetic"}, "stage": stages})


def test_modules_that_cannot_work_are_refused_before_anything_runs():
    assert config().stage[2].settings.module == 2
    with pytest.raises(ConfigError, match=r"stage\.two\.skip = 2: 3 rows of patches share pixels"):
        config(two={"skip": 2})
    with pytest.raises(ConfigError, match=r"stage\.two\.input = 'patches'; accepted: module 1 of layout 'patches'"):
        config(two={"input": "patches"})
    with pytest.raises(ConfigError, match=r"stage\.one\.module = 3; accepted: 1 to 2"):
        config(one={"module": 3})
    with pytest.raises(ConfigError, match=r"negatives.*>= 2"):
        config(one={"negatives": 1})
    with pytest.raises(ConfigError, match=r"stream = 0\.5.*at most 1 - own = 0\.25"):
        config(one={"own": 0.75, "stream": 0.5})


def test_skip_by_construction_follows_from_the_windows_and_the_modules_below():
    given = config(one={"skip": "auto"}, two={"skip": "auto"})
    assert [stage_of(given, table).settings.skip for table in given.stage[1:]] == [3, 3]
    stages = [
        {"name": "patches", "kind": "windows", "form": "log-mel", "length": 10, "hop": 1},
        *({"name": f"m{n}", "kind": "contrast", "module": n, "skip": "auto"} for n in (1, 2, 3, 4)),
    ]
    sounds = convert({"run": {"folder": "runs/x"}, "source": {"kind": "synthetic"}, "stage": stages})
    found = [stage_of(sounds, table).settings.skip for table in sounds.stage[1:]]
    # Mel frames are 25 ms long: a row reaches over 115 ms, and module 1 sees two rows more than its own two.
    assert found == [math.ceil((10 * past + 115 - 10) / (10 * n)) for past, n in ((2, 2), (6, 4), (14, 4), (14, 4))]


# --- torch -----------------------------------------------------------------------------------------------------------


def test_without_torch_the_command_that_installs_it_is_named():
    program = "import sys; sys.modules['torch'] = None; import stream_infomax as s; s.ContrastStage('m', 'x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert 'pip install "stream_infomax[contrast]"' in done.stderr


def test_importing_the_package_does_not_import_torch():
    program = "import sys, stream_infomax.stages.classifier; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
