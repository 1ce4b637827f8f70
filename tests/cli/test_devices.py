"""`devices` lists the inputs of a machine, and says what is missing where there can be none."""

import sys
from types import SimpleNamespace

import pytest
from helpers import sounds
from helpers.extras import extra, needs

from stream_infomax.cli.devices import devices
from stream_infomax.run import inputs


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(inputs, "ANSWER", 0.1)


def test_microphones_are_listed_with_what_a_configuration_needs(monkeypatch, capsys):
    fake = sounds.plug_in(monkeypatch, ("Speaker", 0, 48000.0), ("Webcam", 2, 48000.0), ("USB \x1b[2J", 1, 16000.0))
    fake.default.device = (2, 0)
    assert devices() == 0
    text = capsys.readouterr().out
    assert "  1: Webcam, ALSA (2 channels, 48,000 Hz)\n" in text
    assert "  2: USB \\x1b[2J, ALSA (1 channels, 16,000 Hz, the default)\n" in text
    assert "Speaker" not in text


def test_cameras_are_listed_by_their_device(monkeypatch, capsys, tmp_path):
    for number, name in ((10, "Endoscope"), (2, "Webcam")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")
    (tmp_path / "video3").mkdir()  # pulled out meanwhile
    monkeypatch.setattr(inputs, "CAMERAS", tmp_path)
    assert list(inputs.cameras()) == ["/dev/video2: Webcam", "/dev/video10: Endoscope"]


@needs("pylsl")
def test_lsl_streams_are_listed(capfd):
    pylsl = extra("pylsl")
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("amplifier", "EEG", 8, 250, "float32", "number 7"))
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(inputs, "ANSWER", 2.0)
    found = list(inputs.lsl_streams())
    monkeypatch.undo()
    del outlet
    assert any(line.startswith("amplifier (EEG, 8 channels, 250 Hz, on ") for line in found)


def test_what_is_missing_is_said_and_the_rest_listed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setitem(sys.modules, "pylsl", SimpleNamespace(resolve_streams=lambda seconds: []))
    assert devices() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == '  sounddevice is not installed: pip install "stream_infomax[microphone]"'
    assert lines[-2:] == ["LSL streams (kind lsl)", "  none"]
