"""Services that stop, fail or are started again: nothing is lost, and the bits are the same.

Kills at random moments are in tests/torture/kills.py.
"""

import select
import signal

import pytest
from helpers.chains import LIVE, LONG, in_a_row
from helpers.faults import fault

from stream_infomax.service.checkpoints import Checkpoints
from stream_infomax.transport.tap import TapReader


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_0_and_the_run_goes_on_later(chain, number):
    made = chain(400)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap("b")) as observer:
        next(frame for frame in observer if frame.offset >= 50)
    for name in made.names:
        made.processes[name].send_signal(number)
    made.finish()
    assert 50 <= made.saved("b").processed < 399
    made.start()
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(400, "a", "b")[1]["total"].tobytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_it_at_once(chain, number, code):
    made = chain(60)
    made.start("source")
    made.start("a", hold=45)
    while made.line("a") != "HOLD":
        pass
    while not Checkpoints(made.folder / "a").paths():  # its thread may be writing it yet
        select.select([], [], [], 0.01)
    process = made.processes["a"]
    while process.poll() is None:
        process.send_signal(number)
        # The first one is heard but waits for the stage, which never comes back.
        select.select([process.stdout], [], [], 0.1)
    assert process.returncode == code
    assert made.saved("a").processed == 39


def test_a_stage_that_refuses_a_frame_names_it(chain):
    made = chain(60)
    made.start("source")
    made.start("a", poison=45)
    assert made.end("a") == (2, "a: frame 45 of stream 'toy': this one is poison\n")
    made.start("a")
    made.start("b")
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()


def test_another_configuration_is_refused_by_key(chain):
    made = chain(60)
    made.start(config={"hop": 4, "half_life": 1.0}, may_change=["half_life"])
    made.finish()
    # Each waits for its neighbours to say that nothing is left to do: however long they take to start.
    made.start(config={"hop": 4, "half_life": 2.0}, may_change=["half_life"], farewell=LONG / 2)
    made.finish()
    made.start("b", config={"hop": 8, "half_life": 2.0}, may_change=["half_life"])
    code, errors = made.end("b")
    assert code == 2
    assert errors.startswith(f"b: the checkpoint in {made.folder}/b is of another configuration: hop is 8, ")


def test_two_runs_do_not_mix(chain):
    made = chain(60)
    made.start()
    made.finish()
    for path in (made.folder / "source").iterdir():
        path.unlink()
    made.start("source")
    made.start("a")
    code, errors = made.end("a")
    assert code == 2
    assert "this is log" in errors
    assert len(errors.splitlines()) == 1


@fault("address")
def test_an_address_in_use_is_one_line_and_exit_2(chain):
    made = chain(60)
    made.start("source")
    made.line("source")
    first = made.processes["source"]
    made.start("source")
    assert made.end("source") == (2, f"source: address already in use: {made.outlet('source')}\n")
    made.processes["source"] = first
    made.start("a", "b")
    made.finish()


def test_a_disk_that_is_full_is_named_and_nothing_is_lost(chain):
    made = chain(300)
    made.start("source")
    made.start("a", largest_file=20_000)  # enough while its reader is away and 40 frames are in its log, not 80
    code, errors = made.end("a")
    assert code == 1
    assert errors.startswith(f"a: {made.folder}/a/checkpoint-")
    assert errors.endswith("not written: File too large\n")
    before = made.saved("a").processed
    assert before >= 39
    made.start("a", "b")
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(300, "a", "b")[1]["total"].tobytes()


def test_finished_services_serve_what_is_not_committed_yet(chain):
    made = chain(60, farewell=0.5)
    made.start("source", "a")
    assert made.end("source") == (0, "")  # all of it is committed by a, which waits for b
    assert made.processes["a"].poll() is None
    made.processes["a"].kill()
    made.end("a")
    assert made.saved("a").finished
    made.start("b", "a")
    assert made.ends("a", "b") == [(0, ""), (0, "")]
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()
    made.start(farewell=30.0)  # nothing is left to do
    made.finish()


def test_a_finished_source_reads_again_for_a_reader_that_starts_afresh(chain):
    made = chain(60)
    made.start()
    made.finish()
    for name in ("a", "b"):
        for path in (made.folder / name).iterdir():
            path.unlink()
    made.start()
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()
