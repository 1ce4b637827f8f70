"""Metrics of real runs: as a scrape gives them, and as Prometheus has them after it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from helpers.commands import call, child_of, ended, started
from helpers.extras import extra
from helpers.ledgers import balance
from helpers.wire import status

from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.metrics import serve
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.watch.http import MOST, Server

extra("prometheus_client")
from helpers.tallies import Labels, of, parsed  # noqa: E402  (needs it)

CONFIG = """
[run]
folder = "run"
checkpoint_every = 16

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 1000000
rate = 3200.0
pace = "live"

[[stage]]
name = "learner"
kind = "learner"
warmup = 64
"""
EDGE = Path(__file__).parents[2] / "services" / "edge.py"
PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
)


@contextmanager
def run(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a run that serves metrics somewhere; yield its process and where."""
    folder.mkdir()
    (folder / "live.toml").write_text(CONFIG)
    arguments = ("run", "live.toml", "--plain", "--metrics", "127.0.0.1:0", *options)
    with started(*arguments, folder=folder) as (process, output):
        yield process, told(process, output)


@contextmanager
def box(folder: Path) -> Iterator[str]:
    """Start a small box that serves metrics somewhere; yield where."""
    folder.mkdir()
    (folder / "live.toml").write_text(CONFIG)
    arguments = [str(EDGE), "live.toml", "--set", "run.metrics=127.0.0.1:0"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-P", *arguments], text=True, cwd=folder, **streams) as process:
        assert process.stdout
        try:
            yield told(process, process.stdout)
        finally:
            process.kill()


def told(process: subprocess.Popen[str], output: IO[str]) -> str:
    while not (line := output.readline()).startswith("metrics: "):
        assert line, ended(process).errors
    return line.removeprefix("metrics: ").strip().removesuffix("/metrics")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(url: str) -> dict[tuple[str, Labels], float]:
    return parsed(get(f"{url}/metrics")[1])


def until(url: str, key: tuple[str, Labels], least: float) -> dict[tuple[str, Labels], float]:
    """Scrape until a series is there and has come so far."""
    end = time.monotonic() + 50
    while (found := scrape(url)).get(key, -1) < least:
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


@contextmanager
def stuck(url: str) -> Iterator[None]:
    """Begin to ask for a page, half as often as there are connections, and never say the rest."""
    host, port = url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(MOST // 2):
            client = stack.enter_context(socket.create_connection((host, int(port))))
            client.sendall(b"GET /metrics HTT")
        yield


class Prometheus:
    """A real one, which scrapes every so often what it is given."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.place = f"127.0.0.1:{free.getsockname()[1]}"
        targets = [url.removeprefix("http://") for url in urls]
        jobs = [{"job_name": "stream_infomax", "static_configs": [{"targets": targets}]}]
        rules = Path(__file__).parents[2] / "docs" / "prometheus" / "alerts.yml"
        often = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        config = {"global": often, "rule_files": [str(rules)], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"),
                *(f"--web.listen-address={self.place}", "--log.level=error"),
            ],
            stderr=subprocess.PIPE,
        )

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return what a query gives now; nothing before it answers."""
        words = urllib.parse.urlencode({"query": query})
        code, text = get(f"http://{self.place}/api/v1/query?{words}")
        if code == 503:
            return []
        answer = json.loads(text)
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def until(self, query: str, n: int = 1) -> list[dict[str, Any]]:
        """Ask until there are so many answers."""
        end = time.monotonic() + 50
        found: list[dict[str, Any]] = []
        while len(found) < n:
            assert time.monotonic() < end, (query, found)
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.1)
            try:
                found = self.ask(query)
            except urllib.error.URLError:  # it is about to listen
                continue
        return found

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@PROMETHEUS
def test_prometheus_has_three_runs_and_a_child_that_was_killed(tmp_path: Path) -> None:
    with (
        run(tmp_path / "one") as (one, first),
        run(tmp_path / "other", "--in-process") as (_, second),
        box(tmp_path / "box") as third,
        stuck(first),
        Prometheus(tmp_path, [first, second, third]) as prometheus,
    ):
        prometheus.until("stream_infomax_rows_learnt_total > 0", 3)
        assert [answer["metric"]["service"] for answer in prometheus.ask("stream_infomax_lag_frames")] == ["learner"]
        large = prometheus.ask("stream_infomax_service_resident_memory_bytes > 1e7")
        assert {answer["metric"]["service"] for answer in large} == {"source", "learner", "in-process"}

        for url in (first, second):
            page = get(f"{url}/metrics")[1]
            checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
            assert (checked.returncode, checked.stderr) == (0, "")

        before = until(first, of("frames_total", service="learner"), 20)
        os.kill(child_of(one.pid, "services/learner.py"), signal.SIGKILL)
        dead = until(first, of("restarts_total", service="learner"), 1)
        assert dead[of("service_up", service="learner")] == 0
        assert of("queue_frames", service="learner") not in dead
        assert get(f"{first}/readyz")[0] == 503
        assert get(f"{first}/livez")[0] == get(f"{first}/healthz")[0] == 200
        back = until(first, of("offset", service="learner"), 0)
        for earlier, later in ((before, dead), (dead, back)):
            fallen = [key for key in earlier if key[0].endswith("_total") and later[key] < earlier[key]]
            assert not fallen
        prometheus.until('stream_infomax_restarts_total{service="learner"} == 1')
        prometheus.until('resets(stream_infomax_frames_total{service="learner"}[1m]) == 0')


def test_what_a_checkpoint_has_counted_is_of_an_earlier_start(tmp_path: Path) -> None:
    (tmp_path / "live.toml").write_text(CONFIG)
    config = load(tmp_path / "live.toml", [f"run.folder={tmp_path}/run"])
    folder = RunFolder(tmp_path / "run")
    ledger = [balance("learner", "stage", accepted=640, processed=640)]
    saved = {"log": "a", "finished": False, "config": {}, "source": {}, "stages": {}, "sinks": {}}
    with folder.lock(), Server("127.0.0.1", 0) as server:
        folder.begin(config, in_process=False)
        Checkpoints(folder.path / "learner").save(Checkpoint(processed=9, lost={"gone": 5}, ledger=ledger, **saved))
        tally = serve(server, config, folder, in_process=False)
        for lost in (4, 6):  # the checkpoint before that one, then further
            said = {"lost": {"gone": lost}, "ledger": ledger}
            tally.update("learner", status(9, started=1.0, counts={"learner": {}}, **said))
        found = scrape(server.url)
    assert found[of("lost_frames_total", service="learner", reason="gone")] == 1
    assert found[of("rows_learnt_total", service="learner", stage="learner")] == 0


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "live.toml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = call("run", "live.toml", "--fresh", "--metrics", place, folder=tmp_path)
    assert (done.code, done.output) == (2, "")
    said = f"stream-infomax: run.metrics = '{place}': address already in use; accepted: another address"
    assert done.errors.startswith(said), done.errors
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]


@pytest.mark.parametrize("place", ["9464", ":9464", "localhost", "127.0.0.1:http", "127.0.0.1:99999", "a b:1", "::1:1"])
def test_what_is_no_place_is_said(tmp_path: Path, place: str) -> None:
    (tmp_path / "live.toml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=r"run\.metrics = .*; accepted: HOST:PORT, for example 127"):
        load(tmp_path / "live.toml", [f'run.metrics="{place}"'])
