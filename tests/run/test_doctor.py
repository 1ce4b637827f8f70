"""Doctor: what it finds on this machine, and on worse ones."""

import resource
import time

import pytest
from helpers.commands import call

from stream_infomax.configuration.load import load
from stream_infomax.run import doctor, sustained
from stream_infomax.settings import extras

CONFIG = """
[run]
folder = "run"

[source]
kind = "synthetic"
n_sources = 4
rows = 32
frames = 50
rate = {rate}

[[stage]]
name = "learner"
kind = "learner"
{more}
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(rate=320.0, more=""):
        (tmp_path / "pipeline.toml").write_text(CONFIG.format(rate=rate, more=more))
        return load(tmp_path / "pipeline.toml")

    return made


def found(config=None, title=""):
    return [one for one in doctor.look(config, 0.1) if one.title == title]


def test_this_machine_can_run_it(config):
    findings = {one.title: one for one in doctor.look(config(), 0.1)}
    assert {"version", "machine", "packages", "extras", "kernels", "clock", "sockets", "disk", "rate"} <= set(findings)
    assert not [one for one in findings.values() if one.verdict == "wrong"]
    assert "times as fast as they come" in findings["rate"].text


def test_data_that_come_too_fast_are_said(config):
    (rate,) = found(config(rate=1e9), "rate")
    assert rate.verdict == "wrong"
    assert "too slow" in rate.text


def test_rows_are_counted_over_the_time_measured(config):
    settings = config()
    begun = time.perf_counter()
    measured = sustained.sustained(settings, 0.2)
    assert time.perf_counter() - begun > 0.2
    assert measured.rows == pytest.approx(32 * measured.frames)
    assert measured.times == pytest.approx(measured.rows / 320.0)
    assert measured.warm
    assert not measured.noise


def test_a_warm_up_without_an_end_is_said(config, monkeypatch):
    monkeypatch.setattr(sustained, "PATIENCE", 0.05)
    (rate,) = found(config(more="warmup = 1_000_000_000"), "rate")
    assert "the warm-up was not over" in rate.text


def test_a_missing_extra_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda package: package != "torch")
    assert [one.text for one in found()] == ['not installed: contrast; pip install "stream_infomax[contrast]"']
    assert "contrast" not in found(title="extras")[0].text
    assert extras.EXTRAS["torch"] == "contrast"


@pytest.mark.parametrize(("now", "words"), [(5.0, "1970-01-01 00:00 UTC; set it"), (1.8e9, "it jumped by")])
def test_a_clock_that_is_wrong(monkeypatch, now, words):
    jumps = iter(range(10))
    monkeypatch.setattr(time, "time", lambda: now + next(jumps))
    (clock,) = found(title="clock")
    assert (clock.verdict, words in clock.text) == ("wrong", True)


def test_few_open_files_are_said(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert "256 open files are allowed (ulimit -n)" in found()[-1].text


def test_the_command_prints_80_columns_and_says_what_is_wrong(config, tmp_path):
    config(rate=1e9)
    done = call("doctor", "pipeline.toml", "--seconds", "0.1", folder=tmp_path)
    assert done.code == 1, done.errors
    assert max(map(len, done.output.splitlines())) <= 80
    assert done.output.splitlines()[-1] == "1 thing is wrong"
    assert not (tmp_path / "run").exists()
    done = call("doctor", folder=tmp_path)
    assert (done.code, done.output.splitlines()[-1]) == (0, "nothing is wrong")


def test_inputs_are_counted(monkeypatch):
    there = [("microphones (kind microphone)", ["one", "other"], ""), ("LSL streams (kind lsl)", [], "not installed")]
    monkeypatch.setattr(doctor, "listed", lambda: iter(there))
    assert doctor._inputs().text == "2 microphones; stream-infomax devices lists them"
