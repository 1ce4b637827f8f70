"""Ray places the processes of a fleet on several machines; what dies is there again, and nothing is left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers import counting_program
from helpers.extras import needs
from helpers.fleets import Fleet, basis, fleet

from stream_infomax.configuration.load import convert, to_builtins
from stream_infomax.fleet.driver import Driver, Patience, Placing, connected
from stream_infomax.fleet.summary import summarise_fleet
from stream_infomax.run.folder import as_toml
from stream_infomax.run.program import module
from stream_infomax.run.settings import RunError

LONG = 60.0

# Ray is imported where its settings are: it reads them once.
pytestmark = [
    needs("ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


class Machines:
    """A cluster of several nodes on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
        # By itself Ray takes 15 s to see that a machine is gone.
        head["_system_config"] = {"health_check_period_ms": 300, "health_check_failure_threshold": 3}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.add(), self.add()]
        self.cluster.wait_for_nodes()

    def add(self) -> Any:
        return self.cluster.add_node(wait=False, num_cpus=2, object_store_memory=80_000_000)

    def remove(self, program: psutil.Process) -> None:
        """Take away the machine of a process."""
        above = {one.pid for one in program.parents()}
        lost = next(one for one in self.nodes if above & {made.process.pid for made in one.all_processes["raylet"]})
        self.nodes.remove(lost)
        self.cluster.remove_node(lost, allow_graceful=False)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with pytest.MonkeyPatch.context() as patch:
        if "ray" not in sys.modules:
            patch.setenv("RAY_AUTH_MODE", "token")
            patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        made = Machines()
        with connected(made.cluster.address, 0):
            yield made
        made.cluster.shutdown()


class Told:
    """What a driver says of its processes; `when` is done in another thread as soon as one is in a state."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, int, str]] = []
        self._awaited: list[tuple[str, str, Callable[[], None]]] = []

    def when(self, name: str, state: str, action: Callable[[], None]) -> None:
        self._awaited.append((name, state, action))

    def __call__(self, name: str, state: str, restarts: int, host: str) -> None:
        self.states.append((name, state, restarts, host))
        for one in [one for one in self._awaited if one[:2] == (name, state)]:
            self._awaited.remove(one)
            one[2]()


def counting(folder: Path, name: str, until: int = 20, code: int = 0, node: str = "") -> Placing:
    arguments = (counting_program.__file__, name, str(folder), str(until), str(code))
    return Placing(name, arguments, cpus=0.0 if name == "coordinator" else 1.0, node=node)


def pid_of(folder: Path, name: str) -> int:
    return int((folder / f"{name}.pid").read_text())


def left_over(folder: Path) -> list[int]:
    return [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in (one.info["cmdline"] or [])]


def test_all_finish_on_several_machines(machines: Machines, tmp_path: Path) -> None:
    placings = [counting(tmp_path, name) for name in ("coordinator", "worker-0", "worker-1")]
    told = Told()
    assert Driver(placings, tmp_path, "a-run", told).run()
    assert {name: state for name, state, _, _ in told.states} == dict.fromkeys(
        ("coordinator", "worker-0", "worker-1"), "finished"
    )
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("what", ["program", "actor", "machine"])
def test_what_dies_is_back_and_goes_on(machines: Machines, tmp_path: Path, what: str) -> None:
    (tmp_path / "hold").touch()
    told, killed, back = Told(), [], []

    def kill() -> None:
        program = psutil.Process(pid_of(tmp_path, "worker-0"))
        killed.append(time.monotonic())
        if what == "program":
            program.kill()
        elif what == "actor":
            parent = program.parent()
            assert parent is not None
            parent.kill()
        else:
            machines.remove(program)
        threading.Thread(target=await_another, args=(program.pid,)).start()

    def await_another(pid: int) -> None:
        while pid_of(tmp_path, "worker-0") == pid:
            time.sleep(0.01)
        back.append(time.monotonic())
        (tmp_path / "hold").unlink()

    told.when("worker-0", "running", kill)
    placings = [counting(tmp_path, "coordinator"), counting(tmp_path, "worker-0")]
    assert Driver(placings, tmp_path, "a-run", told).run()
    assert max(restarts for name, _, restarts, _ in told.states if name == "worker-0") == 1
    assert left_over(tmp_path) == []
    print(f"{what}: back after {back[0] - killed[0]:.1f} s")


def test_a_signal_stops_all_the_first_last(machines: Machines, tmp_path: Path) -> None:
    told = Told()
    placings = [counting(tmp_path, "coordinator", 10**9), counting(tmp_path, "worker-0", 10**9)]
    told.when("worker-0", "running", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not Driver(placings, tmp_path, "a-run", told).run()
    assert [name for name, state, _, _ in told.states if state == "stopped"] == ["worker-0", "coordinator"]
    assert left_over(tmp_path) == []


def test_one_that_cannot_go_on_ends_all_with_its_words(machines: Machines, tmp_path: Path) -> None:
    placings = [counting(tmp_path, "coordinator", 10**9), counting(tmp_path, "worker-0", code=2)]
    with pytest.raises(RunError, match=r"'worker-0' ended with exit code 2(.|\n)*it cannot go on") as caught:
        Driver(placings, tmp_path, "a-run").run()
    assert caught.value.useless
    assert left_over(tmp_path) == []


def test_no_place_is_said_with_what_was_asked_for(machines: Machines, tmp_path: Path) -> None:
    placings = [counting(tmp_path, "coordinator"), counting(tmp_path, "worker-0", node="nowhere")]
    with pytest.raises(RunError, match=re.escape("'worker-0' has found no place for 3 s: it asks for 1 CPU and the")):
        Driver(placings, tmp_path, "a-run", patience=Patience(place=3.0)).run()


def test_a_run_folder_that_is_not_there_is_named(machines: Machines, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the run folder .*elsewhere is not there; accepted is a folder that all"):
        Driver([counting(tmp_path, "worker-0", 10**9)], tmp_path / "elsewhere", "a-run").run()


def process_of(folder: Path, module: str) -> psutil.Process:
    """Return the process of a fleet that runs a module, as soon as it is there."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        for one in psutil.process_iter(["cmdline"]):
            words = one.info["cmdline"] or []
            if module in words and str(folder / "pipeline.toml") in words:
                return one
        time.sleep(0.01)
    raise AssertionError(f"no {module}")


def merged(folder: Path, more: int = 1) -> None:
    """Wait until so many more rounds are merged."""

    def lines() -> int:
        path = folder / "rounds.jsonl"
        return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0

    end, wanted = time.monotonic() + LONG, lines() + more
    while lines() < wanted:
        assert time.monotonic() < end, "the fleet does not go on"
        time.sleep(0.005)


def test_whatever_dies_no_bit_changes(machines: Machines, tmp_path: Path) -> None:
    """A worker, the coordinator, a machine and the driver are killed, one after another."""
    asyncio.run(Fleet(fleet(tmp_path / "one", workers=1, frames=1200)).run())
    folder, file = tmp_path / "many", tmp_path / "fleet.toml"
    raw = to_builtins(fleet(folder, workers=2, frames=1200))
    raw["fleet"]["bind"] = "tcp://127.0.0.1:*"
    file.write_text(as_toml(convert(raw)), encoding="utf-8")
    command = [*module("stream_infomax.cli", "fleet", str(file), "--address", machines.cluster.address, "--plain")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        merged(folder)
        process_of(folder, "stream_infomax.fleet.worker").kill()
        merged(folder)
        process_of(folder, "stream_infomax.fleet.coordinator_process").kill()
        merged(folder)
        machines.add()
        machines.remove(process_of(folder, "stream_infomax.fleet.worker"))
        merged(folder)
        driver.kill()
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LONG, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "resuming" in ended.stdout
    assert basis(folder) == basis(tmp_path / "one")
    assert not any(balance.off for balance in summarise_fleet(folder, 1.0).ledger)
