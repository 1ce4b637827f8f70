"""How many devices does one source serve? 1,000 streams at 50 messages a second, through windows to features.

Each device sends 20 ms of a signal of 400 samples a second (8 float32), with its own counter, over a Unix socket; two
processes are all of the devices. Windows of 16 samples are learnt from and encoded, as `stream-infomax run` starts
them. Of 1,000 streams the source puts 50 messages into a frame, or the learner would have 50,000 frames a second; a
second run has 50 streams, each message a frame of its own. The devices drop what the source does not take, and count
it. Measured after a start of 5 s: what was lost, by the devices' counters and the source's; the CPU of each process;
the latency from the clock of a frame's last row to its features on the learner's tap. Rows of a frame that is put
together have waited for its last one before: up to a second.

    python benchmarks/many_streams.py            both, in less than two minutes
    python benchmarks/many_streams.py --streams 200 --together 10 --seconds 20      one of them, without a table
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import json
import multiprocessing
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import zmq
from common import machine, write_table  # first: it pins the threads

RATE = 400.0
LENGTH = 16
WARM = 5.0
CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = {every}

[source]
kind = "devices"
axes = ["time", "channel"]
row = [1]
rate = {rate}
frame = {frame}
queue = 20000
segment_seconds = 1000.0
ends = true
log = {{ frames = 5000 }}

[[stage]]
name = "windows"
kind = "windows"
service = "learner"
form = "waveform"
length = {length}
hop = {length}

[[stage]]
name = "learner"
kind = "learner"
log = {{ frames = 5000 }}

[[sink]]
kind = "nothing"
"""


def devices(address: str, streams: range, messages: int, seconds: float, results: "multiprocessing.Queue[int]") -> None:
    """Be some of the devices: send what is due every millisecond; put what had to be dropped into `results`."""
    rng = np.random.default_rng(streams.start)
    n_rows = round(RATE / messages)
    signal = np.convolve(rng.laplace(size=200_000), [1, 0.9, 0.6, 0.3], "same").astype(np.float32)
    payloads = [signal[i : i + n_rows].tobytes() for i in range(0, len(signal) - n_rows, n_rows)]
    arrays = [{"name": "x", "dtype": "float32", "axes": ["time", "channel"], "shape": [n_rows, 1]}]
    headers = [
        {
            "version": 1,
            "stream": f"device-{stream:04d}",
            "arrays": arrays,
            "session": secrets.token_hex(8),
            "rate": RATE,
        }
        for stream in streams
    ]
    encode = msgspec.msgpack.Encoder().encode
    more, now = int(zmq.SNDMORE | zmq.NOBLOCK), int(zmq.NOBLOCK)
    dropped = 0
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.SNDHWM, 5000)
        socket.setsockopt(zmq.LINGER, 10_000)
        socket.connect(address)
        # The devices do not all send at once: each has its own moment in the period.
        period, begun = 1 / messages, time.time() + 0.1
        n_messages = round(seconds * messages)
        at_once = max(1, round(messages * len(headers) / 1000))  # messages of a millisecond
        for number in range(n_messages * len(headers)):
            count, which = divmod(number, len(headers))
            due = begun + (count + which / len(headers)) * period
            if number % at_once == 0 and (wait := due - time.time()) > 0:
                time.sleep(wait)
            header = headers[which] | {"count": count, "time": due - n_rows / RATE}
            if count == n_messages - 1:
                header["end"] = True
            try:
                socket.send(encode(header), more)
                socket.send(payloads[number % len(payloads)], now)
            except zmq.Again:
                dropped += 1
    results.put(dropped)


def pids(run: "subprocess.Popen[bytes]") -> dict[str, int]:
    """Return the processes of a run by their service."""
    found = {"supervisor": run.pid}
    for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "--service" in words:
            found[words[words.index("--service") + 1]] = int(child)
        elif any(word.endswith("/source.py") for word in words):
            found["source"] = int(child)
    return found


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the largest resident memory of a process so far, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


class Observer(threading.Thread):
    """Listens to the learner's tap and keeps the latency of each frame."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.latencies: list[float] = []

    def run(self) -> None:
        decode = msgspec.msgpack.Decoder().decode
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.RCVHWM, 50_000)
            socket.connect(self.address)
            socket.subscribe(b"frame")
            while True:
                header = decode(socket.recv_multipart()[2])
                now = time.time()
                (array,) = header["arrays"]
                if array["shape"][0] and not header["end"]:
                    self.latencies.append(now - header["time"] - array["shape"][0] * LENGTH / RATE)


def main() -> None:
    """Run what is asked for; both runs make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=0)
    parser.add_argument("--messages", type=int, default=50, help="of a stream, a second")
    parser.add_argument("--together", type=int, default=50, help="messages of a frame")
    parser.add_argument("--seconds", type=float, default=35.0)
    given = parser.parse_args()
    if given.streams:
        print(json.dumps(run(given), indent=1))
        return
    columns = {}
    for given.streams, given.together in ((1000, 50), (50, 1)):
        what = f"{given.together} together" if given.together > 1 else "as they are sent"
        columns[f"{given.streams:,} streams, {what}"] = run(given)
    names = dict.fromkeys(name for column in columns.values() for name in column)
    table = [{"what": name, **{title: column[name] for title, column in columns.items()}} for name in names]
    note = (
        f"{machine('pyzmq', 'msgspec')}; load average {os.getloadavg()[0]:.1f} at the end. {given.messages} messages a "
        f"second of each stream, for {given.seconds:g} s. CPU in % of one core, after {WARM:g} s of warm-up, and the "
        "largest resident memory."
    )
    write_table("many_streams", "1,000 devices through one source", table, note)


def run(given: argparse.Namespace) -> dict[str, str]:
    """Run once; return what was measured, by its name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        config = folder.with_suffix(".toml")
        frames_a_second = given.streams * given.messages / given.together
        config.write_text(
            CONFIG.format(
                folder=folder,
                rate=RATE,
                frame=given.together * round(RATE / given.messages) if given.together > 1 else 0,
                length=LENGTH,
                every=max(512, round(5 * frames_a_second)),
            )
        )
        command = [sys.executable, "-m", "stream_infomax.cli", "run", str(config), "--plain"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as started:
            return measure(given, folder, started)


def measure(given: argparse.Namespace, folder: Path, run: "subprocess.Popen[bytes]") -> dict[str, str]:
    """Let the devices send to a run that starts."""
    while not (folder / "source.devices").exists() or not {"source", "learner"} <= pids(run).keys():
        time.sleep(0.1)
    observer = Observer(f"ipc://{folder}/learner.tap")
    observer.start()
    time.sleep(3)  # the learner compiles
    results: multiprocessing.Queue[int] = multiprocessing.Queue()
    half = given.streams // 2
    pushers = [
        multiprocessing.Process(
            target=devices,
            args=(f"ipc://{folder}/source.devices", streams, given.messages, given.seconds, results),
        )
        for streams in (range(half), range(half, given.streams))
    ]
    for pusher in pushers:
        pusher.start()
    time.sleep(WARM)
    processes = {**pids(run), **{f"devices {n}": pusher.pid for n, pusher in enumerate(pushers, 1)}}
    before, begun, first = {name: cpu(pid) for name, pid in processes.items()}, time.time(), len(observer.latencies)
    time.sleep(given.seconds - WARM - 3)
    seconds, last = time.time() - begun, len(observer.latencies)
    used = {name: (cpu(pid) - before[name]) / seconds for name, pid in processes.items()}
    most = {name: memory(pid) for name, pid in processes.items()}
    dropped = sum(results.get() for _ in pushers)
    for pusher in pushers:
        pusher.join()
    run.wait()
    summary = json.loads((folder / "run.json").read_text())["summary"]
    sent = round(given.seconds * given.messages) * given.streams
    lost = sum(summary["lost"].values())
    latencies = 1e3 * np.array(observer.latencies[first:last])
    found = {
        "messages a second": f"{given.streams * given.messages:,}",
        "messages sent": f"{sent:,}",
        "dropped by the devices": f"{dropped:,}",
        "lost, as the source counts": f"{lost:,}",
        "left out": str(summary["left_out"] or "nothing"),
        "frames a second, to the learner": f"{len(latencies) / seconds:,.0f}",
        **{f"latency, {q} %": f"{np.percentile(latencies, q):.1f} ms" for q in (50, 99, 99.9)},
        **{f"{name}: CPU, memory": f"{100 * share:.0f} %, {most[name]:.0f} MiB" for name, share in used.items()},
    }
    found["source: a message"] = f"{1e6 * used['source'] / (given.streams * given.messages):.1f} µs"
    return found


if __name__ == "__main__":
    main()
