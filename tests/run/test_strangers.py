"""Runs whose addresses others use too: another run, or anybody who publishes there."""

import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import zmq
from helpers.commands import call, ended, started
from helpers.faults import fault

from stream_infomax.frames.measure import Measure
from stream_infomax.run.taps import Taps
from stream_infomax.service.status import Meter
from stream_infomax.transport.messages import Status, encode
from stream_infomax.transport.tap import FRAME, STATUS

CONFIG = """
[run]
folder = "{run}"

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 40
rate = {rate}
pace = "live"
log = {{ tap = "{tap}" }}

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
length = 4
hop = 4

[[stage]]
name = "learner"
kind = "learner"
"""


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def write_config(folder: Path, run: str, tap: str, rate: float = 64.0) -> str:
    path = folder / f"{run}.toml"
    path.write_text(CONFIG.format(run=run, tap=tap, rate=rate))
    return path.name


def test_a_second_run_with_the_same_tap_ends_at_once_and_takes_nothing_for_its_own(tmp_path: Path) -> None:
    tap = free_address()
    with started("run", write_config(tmp_path, "first", tap), folder=tmp_path) as (process, lines):
        next(line for line in lines if line == "source: running\n")
        second = call("run", write_config(tmp_path, "second", tap), folder=tmp_path)
        process.send_signal(signal.SIGINT)
        first = ended(process)
    assert (first.code, first.errors) == (0, "")
    assert second.code == 2
    assert f"source: address already in use: {tap}" in second.errors
    assert second.output.count("source: starting") == 1
    assert not re.search("frame [1-9]", second.output)
    assert (tmp_path / "second" / "history.csv").read_text().count("\n") == 1, "the head only"


def status(**changes: object) -> Status:
    counts = ("processed", "newest", "log_frames", "log_bytes", "dropped", "expected", "frames", "rows")
    latencies = ("step_p50", "step_p99", "total_p50", "total_p99")
    return Status(
        **{
            "name": "learner",
            "run": "mine",
            "log": "x",
            "committed": {},
            "finished": False,
            "log_fill": 0.0,
            "lost": {},
            "refused": {},
            "ledger": [],
            "measures": [],
            "counts": {},
            "events": [],
            **Meter().read()._asdict(),
            "checkpoint": -1,
            "last_checkpoint": 0.0,
            **dict.fromkeys(counts, 0),
            **dict.fromkeys(latencies),
            **changes,
        }
    )


JUNK = {
    "an empty map": [b"\x80"],
    "one part": [],
    "three parts": [encode(status()), b""],
    "nested": [b"\x91" * 100_000],
    "no message": [b"\xc1" * 10],
    "a text": [encode("hello")],
    "a count that is none": [encode({**msgspec.to_builtins(status()), "newest": "7"})],
    "a position beyond all": [encode(status(measures=[Measure("learner", "", "objective", 1.0, 2**63)]))],
    "a number beyond all": [encode({**msgspec.to_builtins(status()), "newest": 2**64 - 1})],
}
FOREIGN = {
    "another run": [encode(status(run="another"))],
    "no run": [encode(status(run=""))],
    "another service": [encode(status(name="source"))],
}


@fault("tap")
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        *(pytest.param(parts, "not well formed", id=name) for name, parts in JUNK.items()),
        *(pytest.param(parts, "of another run", id=name) for name, parts in FOREIGN.items()),
    ],
)
def test_a_message_that_is_no_status_of_ours_is_counted(
    parts: list[bytes], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Status] = []
    with Taps({"learner": "ipc:///nowhere"}, "mine", lambda name, found: heard.append(found)) as taps:
        taps.take("learner", [STATUS, encode(status(newest=3))])
        for _ in range(2):
            taps.take("learner", [STATUS, *parts])
        taps.take("learner", [STATUS, encode(status(newest=4))])
    assert [found.newest for found in heard] == [3, 4]
    assert dict(taps.refused) == {("learner", reason): 2}
    assert capsys.readouterr().err.splitlines() == [
        f"ipc:///nowhere: passing over a status: {reason}",
        f"ipc:///nowhere: passed over 2 statuses: {reason}",
    ]


def test_junk_at_the_tap_of_a_service_does_not_end_the_run(tmp_path: Path) -> None:
    """Somebody has the address before the service has: the run says so, without a traceback."""
    tap = free_address()
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.linger = 0
        publisher.bind(tap)
        with started("run", write_config(tmp_path, "run", tap), folder=tmp_path) as (process, _):
            while process.poll() is None:
                for parts in JUNK.values():
                    publisher.send_multipart([STATUS, *parts])
                    publisher.send_multipart([FRAME, *parts])
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.01)
            end = ended(process)
    assert end.code == 2
    assert "Traceback" not in end.errors
    assert f"source: address already in use: {tap}" in end.errors
