"""Every torture that says so, in a form short enough for the tests."""

from pathlib import Path

import pytest

from torture.frame import LeftOutError, Trial, tortures

SHORT = [torture for torture in tortures().values() if torture.short is not None]


@pytest.mark.parametrize("torture", SHORT, ids=lambda torture: torture.name)
def test_short(torture, tmp_path: Path) -> None:
    try:
        assert torture.run(Trial(tmp_path, share=torture.short))
    except LeftOutError as reason:
        pytest.skip(str(reason))
