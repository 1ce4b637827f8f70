"""What does the framework cost per frame, above ZeroMQ itself?

A frame of 20 ms of 16 kHz float32 audio (1,280 bytes) goes to another process and back, one at a time. `bare` is
a pyzmq DEALER/ROUTER echo of the same bytes in as many parts. `framework` is an outlet here, a service there (inlet,
decoding, a stage that does nothing, encoding, log, outlet, tap) and an inlet here that decodes: both ways over Unix
sockets. The cost is the difference of the medians. The throughput of the same service, frames sent as fast as it
takes them, stands beside it, and the work on one frame by part, timed without sockets.

On a machine that does other work too, let it come first (it needs the right to), or the scheduler is measured:

    setsid sh -c 'echo -20 > /proc/self/autogroup; nice -n -20 python benchmarks/framework_cost.py'
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import math
import multiprocessing
import os
import sys
import tempfile
import time
import timeit
from pathlib import Path

import numpy as np
import zmq
from common import RESULTS, machine, write_table  # first: it pins the threads

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service.process import FromLog, run
from stream_infomax.service.service import Service
from stream_infomax.service.status import Meter
from stream_infomax.transport import messages
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet

SAMPLES = 320
WARM = 500


class Identity:
    """A stage that does nothing."""

    name = "identity"

    def process(self, frame):
        return frame

    def state(self):
        return {}

    def restore(self, state):
        pass

    def measures(self):
        return []

    def counts(self):
        return {}


def audio_frame(offset: int) -> Frame:
    samples = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 1)).astype(np.float32)
    array = Array(samples, ("time", "channel"))
    return Frame(stream="microphone", offset=offset, arrays={"source": array}, time=offset * 0.02, rate=16000.0)


def serve(folder: str) -> None:
    """Be the service process of the framework."""
    service = Service(
        name="identity",
        outlet=f"ipc://{folder}/identity.outlet",
        tap=f"ipc://{folder}/identity.tap",
        folder=Path(folder) / "identity",
        readers=("bench",),
        checkpoint_every=1 << 40,
    )
    sys.exit(run(service, FromLog(f"ipc://{folder}/bench.outlet"), Pipeline([Identity()])))


def echo(folder: str) -> None:
    """Be the process of the bare echo."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{folder}/echo")
    while True:
        parts = router.recv_multipart()
        if len(parts) == 2:
            return
        router.send_multipart(parts)


def bare(folder: str, repeats: int) -> np.ndarray:
    """Return the round trips of the bare echo in seconds."""
    process = multiprocessing.get_context("spawn").Process(target=echo, args=(folder,))
    process.start()
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(f"ipc://{folder}/echo")
    head = messages.encode(messages.Sent("0" * 16, 1, time.time(), time.time()))
    parts = [head, *wire.encode(audio_frame(1))]
    times = np.empty(repeats)
    for index in range(-WARM, repeats):
        start = time.perf_counter()
        dealer.send_multipart(parts)
        dealer.recv_multipart()
        if index >= 0:
            times[index] = time.perf_counter() - start
    dealer.send(b"")
    process.join()
    context.destroy(linger=0)
    return times


class Ends:
    """The outlet before the service and the inlet after it, in this process."""

    def __init__(self, folder: str) -> None:
        self.context = zmq.Context()
        self.log = OutputLog(("identity",), policy="drop-oldest")
        self.outlet = Outlet(self.context, f"ipc://{folder}/bench.outlet", self.log, "0" * 16)
        self.inlet = Inlet(self.context, f"ipc://{folder}/identity.outlet", "bench")
        self.poller = zmq.Poller()
        for socket in (self.outlet.socket, *self.inlet.sockets):
            self.poller.register(socket, zmq.POLLIN)
        while not (self.outlet.heard_all() and self.inlet._monitor.connected):
            self.turn()

    def turn(self) -> None:
        """Wait for something and answer it."""
        ready = dict(self.poller.poll(math.ceil(1000 * self.inlet.due())))
        if self.inlet.socket not in ready:
            self.inlet.attend()
        if self.outlet.socket in ready:
            self.outlet.answer()

    def send(self, frame: Frame) -> None:
        self.log.append(frame.offset, wire.encode(frame), time.time())
        self.outlet.pump()

    def receive(self) -> None:
        while self.inlet.receive() is None:
            self.turn()


def framework(folder: str, repeats: int) -> tuple[np.ndarray, float]:
    """Return the round trips through a service in seconds, and its frames a second when it is kept busy."""
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder,))
    process.start()
    ends = Ends(folder)
    frames = [audio_frame(offset) for offset in range(WARM + repeats)]
    times = np.empty(repeats)
    for index, frame in enumerate(frames, -WARM):
        start = time.perf_counter()
        ends.send(frame)
        ends.receive()
        if index >= 0:
            times[index] = time.perf_counter() - start
        if index % 32 == 0:
            ends.inlet.commit(frame.offset)
    first = len(frames)
    start = time.perf_counter()
    under_way = 0
    for offset in range(first, first + repeats):
        ends.send(audio_frame_at(frames[0], offset))
        under_way += 1
        while under_way >= 48 or (under_way and ends.inlet.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN):
            ends.receive()
            under_way -= 1
        if offset % 32 == 0:
            ends.inlet.commit(ends.inlet.next - 1)
        ends.outlet.answer()
    while under_way:
        ends.receive()
        under_way -= 1
    rate = repeats / (time.perf_counter() - start)
    process.terminate()
    process.join()
    ends.context.destroy(linger=0)
    return times, rate


def audio_frame_at(frame: Frame, offset: int) -> Frame:
    return Frame(stream=frame.stream, offset=offset, arrays=frame.arrays, rate=frame.rate)


def parts_of_the_cost() -> dict[str, float]:
    """Return the microseconds of what the framework does to one frame, without sockets: the best of many tries."""
    frame = audio_frame(1)
    parts = wire.encode(frame)
    head = messages.encode(messages.Sent("0" * 16, 1, 0.0, 0.0))
    log = OutputLog(("bench",), policy="drop-oldest")
    offsets = iter(range(1 << 40))
    meter = Meter()
    work = {
        "encode the frame": lambda: wire.encode(frame),
        "decode the frame": lambda: wire.decode(parts),
        "encode the transport part": lambda: messages.encode(messages.Sent("0" * 16, 1, time.time(), 0.0)),
        "decode the transport part": lambda: messages.decode_answer(head),
        "append to the log": lambda: log.append(next(offsets), parts),
        "count it": lambda: meter.count(frame, 1.0, 1.0),
    }
    return {name: min(timeit.repeat(do, number=100, repeat=500)) / 100 * 1e6 for name, do in work.items()}


def plot(base: np.ndarray, ours: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    share = np.linspace(0, 100, len(base))
    for times, label, colour in ((base, "bare pyzmq echo", "0.5"), (ours, "framework", "C0")):
        axes.plot(np.sort(times) * 1e6, share, color=colour, label=f"{label}: median {np.median(times) * 1e6:.0f} µs")
    axes.set(
        xlabel="round trip of a frame (µs)",
        ylabel="frames (%)",
        xlim=(0, 3e6 * np.median(ours)),
        ylim=(0, 100),
        title="20 ms of 16 kHz audio to another process and back",
    )
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "framework_cost.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bases, framework_times, rates = [], [], []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            bases.append(bare(folder, arguments.repeats))
            times, rate = framework(folder, arguments.repeats)
        framework_times.append(times)
        rates.append(rate)
    base = min(bases, key=np.median)
    ours = min(framework_times, key=np.median)
    micro = {name: f"{value:.1f}" for name, value in parts_of_the_cost().items()}
    rows = [
        {"what": f"{name}, {share}", "µs": f"{np.quantile(times, quantile) * 1e6:.1f}"}
        for share, quantile in (("fastest 5 %", 0.05), ("median", 0.5), ("99 %", 0.99))
        for name, times in (("bare echo, round trip", base), ("framework, round trip", ours))
    ]
    cost = (np.median(ours) - np.median(base)) * 1e6
    rows.append({"what": "**cost of the framework, median (two hops; target ≤ 50)**", "µs": f"**{cost:.1f}**"})
    rows += [{"what": name, "µs": value} for name, value in micro.items()]
    rows.append({"what": "kept busy: a frame each", "µs": f"{1e6 / max(rates):.1f}"})
    load = os.getloadavg()[0]
    note = (
        f"{machine('pyzmq', 'msgspec')}; niceness {os.nice(0)}, load {load:.1f} at the end; "
        f"{arguments.rounds} rounds of {arguments.repeats} frames, the round with the best median of each. "
        f"A round trip is two hops: outlet to inlet, twice."
    )
    write_table("framework_cost", "What the framework costs per frame above ZeroMQ", rows, note)
    plot(base, ours)


if __name__ == "__main__":
    main()
