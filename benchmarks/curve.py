"""What do keys cost? Frames from an outlet to an inlet in another process over TCP, with CURVE and without.

20 ms of sound (16 kHz float32: 1,280 bytes; 48 kHz int16: 1,920 bytes) and 16 KiB. Both ways take turns, so that what
else the machine does hits both; the ratio is that of each pair of turns, the middle one and the range of all pairs.
Throughput: as fast as the reader takes them. Latency: one frame every 2 ms, from the outlet's sending until the inlet
has decoded it, by one clock.

On a machine that does other work too, let it come first (it needs the right to):

    setsid sh -c 'echo -20 > /proc/self/autogroup; nice -n -20 python benchmarks/curve.py'
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import math
import multiprocessing
import os
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import zmq
from common import machine, write_table

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.keys import LOCAL, Access, Keys, new
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet

FORMS = {"1,280": ("float32", 320), "1,920": ("int16", 960), "16,384": ("float32", 4096)}
WARM = 200
PAUSE = 0.002
COMMIT = 256


def frame(dtype: str, samples: int, offset: int) -> Frame:
    rows = np.random.default_rng(0).integers(-100, 100, (samples, 1)).astype(dtype)
    return Frame("microphone", offset, arrays={"source": Array(rows, ("time", "channel"))}, rate=16000.0)


def read(address: str, keys: str, frames: int, results: Connection) -> None:
    """Be the reader: say when each frame was there, and how long it had been under way."""
    context = zmq.Context()
    inlet = Inlet(context, address, "bench", keys=Keys(keys) if keys else None)
    poller = zmq.Poller()
    for socket in inlet.sockets:
        poller.register(socket, zmq.POLLIN)
    arrived, latencies = [], []
    while len(arrived) < frames:
        arrival = inlet.receive()
        if arrival is None:
            inlet.attend(dict(poller.poll(math.ceil(1000 * inlet.due()))))
            continue
        now = time.time()
        arrived.append(now)
        latencies.append(now - arrival.sent)
        if len(arrived) % COMMIT == 0 or len(arrived) == frames:
            inlet.commit(arrival.frame.offset)
    results.send((arrived, latencies))
    context.destroy(linger=1000)


def turn(keys: str, form: tuple[str, int], frames: int, paced: bool) -> float:
    """Return the frames a second, or where they are paced the latencies in seconds."""
    here, there = multiprocessing.Pipe(duplex=False)
    with ExitStack() as stack:
        context: zmq.Context = zmq.Context()
        stack.callback(context.destroy, 0)
        access = Access(Keys(keys)) if keys else LOCAL
        stack.enter_context(access.answering(context))
        log = OutputLog(("bench",))
        outlet = Outlet(context, "tcp://127.0.0.1:*", log, "0" * 16, access=access)
        stack.callback(outlet.close)
        target = (outlet.address, keys, WARM + frames, there)
        reader = multiprocessing.get_context("spawn").Process(target=read, args=target)
        reader.start()
        while not outlet.heard_all():
            outlet.socket.poll()
            outlet.answer()
        parts = [wire.encode(frame(*form, offset)) for offset in range(WARM + frames)]
        due = time.perf_counter()
        for offset, one in enumerate(parts):
            while log.full or (paced and time.perf_counter() < due):
                if outlet.socket.poll(0 if paced else 1000):
                    outlet.answer()
            due = max(due + PAUSE, time.perf_counter())
            log.append(offset, one, time.time())
            outlet.pump()
            if outlet.socket.poll(0):
                outlet.answer()
        while not here.poll():
            outlet.socket.poll(10)
            outlet.answer()
        arrived, latencies = here.recv()
        reader.join()
    if paced:
        return latencies[WARM:]
    return frames / (arrived[-1] - arrived[WARM - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument(
        "--frames", type=int, default=20_000, help="of a turn for throughput; a tenth of it for latency"
    )
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        keys = str(new(Path(folder) / "keys").folder)
        for size, form in FORMS.items():
            speeds: dict[str, list[float]] = {"": [], keys: []}
            delays: dict[str, list[np.ndarray]] = {"": [], keys: []}
            for _ in range(arguments.turns):
                for one in speeds:
                    speeds[one].append(turn(one, form, arguments.frames, paced=False))
                    delays[one].append(np.array(turn(one, form, arguments.frames // 10, paced=True)))
            rows.append(row(size, speeds, delays, keys))
    note = (
        f"{machine('pyzmq')}, libzmq {zmq.zmq_version()}, load {os.getloadavg()[0]:.1f} at the end. "
        f"{arguments.turns} turns of each, {arguments.frames:,} frames for throughput, a tenth for latency, in turn."
    )
    write_table("curve", "What keys cost: an outlet and an inlet over TCP", rows, note)


def row(size: str, speeds: dict, delays: dict, keys: str) -> dict[str, str]:
    """Return a line of the table."""
    found = {"bytes": size}
    for name, values in (("plain", speeds[""]), ("CURVE", speeds[keys])):
        found[f"{name}, frames/s"] = f"{median(values):,.0f}"
    found["ratio"] = ratios(speeds[keys], speeds[""])
    for share, name in ((50, "p50"), (99, "p99")):
        each = {one: [float(np.percentile(turn, share)) for turn in delays[one]] for one in delays}
        for title, one in (("plain", ""), ("CURVE", keys)):
            found[f"{title}, {name}, ms"] = f"{1000 * median(each[one]):.3f}"
        found[f"{name}, ratio"] = ratios(each[keys], each[""])
    return found


def ratios(above: list[float], below: list[float]) -> str:
    found = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{median(found):.2f} ({found[0]:.2f} … {found[-1]:.2f})"


if __name__ == "__main__":
    main()
