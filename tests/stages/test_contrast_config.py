"""What the contrastive stage needs: a stack that fits together, and torch."""

import math
import subprocess
import sys

import pytest
from msgspec.structs import replace

from stream_infomax.configuration.compose import stage_of
from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.stages.contrast_settings import ContrastSettings


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


def speech(**changes):
    stages = [
        {"name": "patches", "kind": "windows", "form": "log-mel", "length": 10, "hop": 1},
        {"name": "one", "kind": "contrast", "excerpt": 40},
        {"name": "two", "kind": "contrast", "module": 2},
    ]
    for name, settings in changes.items():
        next(stage for stage in stages if stage["name"] == name).update(settings)
    return convert({"run": {"folder": "runs/x"}, "source": {"kind": "synthetic"}, "stage": stages})


AGAIN = {"replay": "1 MB"}


def test_excerpts_that_are_played_again_are_long_enough():
    assert speech(patches={**AGAIN, "excerpt": 60}, two={"skip": 13}).stage[2].settings.skip == 13
    with pytest.raises(ConfigError, match=r"two\.skip = 14: excerpts of 60 rows"):
        speech(patches={**AGAIN, "excerpt": 60}, two={"skip": 14})


LEARNER = {"name": "learner", "kind": "learner"}
NAMES = {"name": "names", "kind": "classifier", "target": "word"}
FIRST = {"name": "one", "kind": "contrast"}
SECOND = {"name": "two", "kind": "contrast", "module": 2}


def behind_a_replay(*stages, **windows):
    patches = {"name": "patches", "kind": "windows", "form": "log-mel", "length": 10, "hop": 1, **windows}
    return convert({"run": {"folder": "runs/x"}, "source": {"kind": "synthetic"}, "stage": [patches, *stages]})


def test_batches_reach_the_modules_or_the_configuration_is_refused():
    behind_a_replay(LEARNER, FIRST, SECOND, NAMES, **AGAIN)
    behind_a_replay(LEARNER, {**LEARNER, "name": "again"}, FIRST, SECOND, **AGAIN)
    behind_a_replay(
        {**NAMES, "levels": ["patches"]}, {**FIRST, "learn": False, "input": "names"}, FIRST | {"name": "x"}
    )
    lost = r"input = '{}': the batches of '{}' do not come with it: `carry` does not take them along"
    between = {**NAMES, "levels": ["learner"], "carry": ["learner"]}
    with pytest.raises(ConfigError, match="one." + lost.format("learner", "patches")):
        behind_a_replay(LEARNER, between, {**FIRST, "input": "learner"}, **AGAIN)
    with pytest.raises(ConfigError, match="one." + lost.format("names", "patches")):
        behind_a_replay(LEARNER, {**NAMES, "levels": ["learner"]}, FIRST, **AGAIN)
    beside = {**LEARNER, "carry": ["patches"]}
    with pytest.raises(ConfigError, match="one." + lost.format("again", "patches")):
        behind_a_replay(beside, {**LEARNER, "name": "again", "input": "patches"}, FIRST, **AGAIN)
    with pytest.raises(ConfigError, match="two." + lost.format("one", "one")):
        behind_a_replay(LEARNER, FIRST, {**NAMES, "levels": ["one"], "carry": ["one"]}, {**SECOND, "input": "one"})


def test_a_replay_that_nobody_learns_from_is_refused():
    with pytest.raises(ConfigError, match=r"patches\.replay = '1 MB': no contrastive module learns from it"):
        behind_a_replay(LEARNER, **AGAIN)


def test_a_learner_of_each_stream_gives_no_rows_that_one_module_could_take():
    with pytest.raises(ConfigError, match=r"one\.input = 'learner': each stream has a learner"):
        behind_a_replay({**LEARNER, "share": "stream"}, FIRST)


def test_what_no_excerpt_is_long_enough_for_is_refused():
    assert speech(one={"skip": 18}, two={"skip": 7, "reach": 2}).stage[2].settings.skip == 7
    with pytest.raises(ConfigError, match=r"one\.skip = 19: excerpts of 40 rows are 20 .*accepted: 0 to 18"):
        speech(one={"skip": 19})
    with pytest.raises(ConfigError, match=r"two\.skip = 9: excerpts of 40 rows are 10 .*accepted: 0 to 8"):
        speech(two={"skip": 9})
    with pytest.raises(ConfigError, match=r"two\.reach = 3: .* 7 are skipped; accepted: 1 to 2"):
        speech(two={"skip": 7, "reach": 3})
    with pytest.raises(ConfigError, match=r"one\.reach = 65; accepted: a whole number >= 1 and <= 64"):
        speech(one={"reach": 65})
    with pytest.raises(ConfigError, match=r"two\.skip = 5: .*are 6 rows .*accepted: 0 to 4"):  # by construction
        speech(one={"excerpt": 24, "skip": 0}, two={"skip": "auto"})
    with pytest.raises(ConfigError, match=r"two\.skip = 0: .*are 1 rows .*accepted: a longer `excerpt`"):
        speech(one={"excerpt": 4})
    with pytest.raises(ConfigError, match=r"one\.skip = 9: excerpts of 20 rows are 10 .*accepted: 0 to 8"):
        speech(patches={"replay": "1 MB", "excerpt": 20}, one={"skip": 9})


def test_segments_and_pictures_that_are_too_short_are_told_before_anything_runs():
    sounds = Outline(frames=3, segments={10: 3}, row=(8,), rate=100.0)
    module = ContrastSettings(skip=4)
    assert module.outline(sounds).warning.endswith("the longest has 5 of its rows, 6 are needed")
    assert not replace(module, skip=3).outline(sounds).warning
    assert not replace(module, learn=False).outline(sounds).warning
    assert not module.outline(Outline(frames=0, segments={}, row=(8,), live=True)).warning
    pictures = Outline(frames=3, segments={81: 3}, row=(9,), grid=(9, 9))
    assert replace(module, layout="patches", skip=7).outline(pictures).grid == (9, 9)
    with pytest.raises(SettingError, match="skip = 8: a picture has 9 rows of patches; accepted: 0 to 7"):
        replace(module, layout="patches", skip=8).outline(pictures)


def test_patches_are_no_layout_for_rows_in_time():
    with pytest.raises(ConfigError, match=r'one\.layout = .patches.: rows of form .log-mel. .*accepted: "fine", "mel"'):
        speech(one={"layout": "patches"})


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
