"""A device that pushes frames to a source of kind "devices": a sine in noise, 50 frames a second.

It needs pyzmq and msgspec, and nothing of stream_infomax.

    python device.py ipc://runs/sound/source.devices microphone [FRAMES]

It may be started before the source and outlives it: ZeroMQ connects again by itself. Ctrl-C ends the stream.
"""

import math
import random
import secrets
import signal
import struct
import sys
import time

import msgspec
import zmq

RATE = 16000  # rows a second
ROWS = 320  # of a frame
QUEUE = 100  # frames that are kept while nobody takes them; those beyond are dropped and counted

stopped = False


def stop(number: int, _: object) -> None:
    """End the stream with the next frame; a second signal ends at once."""
    global stopped
    stopped = True
    signal.signal(number, signal.SIG_DFL)


def main(address: str, stream: str, frames: float = math.inf) -> None:
    """Push frames until there are enough, or until a signal comes."""
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.sndhwm, socket.linger = QUEUE, 2000
    socket.connect(address)
    session = secrets.token_hex(8)  # the source tells by it that a device was started again
    began, started = time.time(), time.monotonic()
    count, dropped, end = 0, 0, False
    while not end:
        # A sensor has a frame when its last row is there. Lag does not add up: the clock says when.
        time.sleep(max(0.0, started + (count + 1) * ROWS / RATE - time.monotonic()))
        end = stopped or count + 1 >= frames
        header = {
            "version": 1,
            "stream": stream,
            "session": session,
            "count": count,  # the frames that are dropped too: so the source knows of them
            "time": began + count * ROWS / RATE,
            "rate": float(RATE),
            "end": end,
            "arrays": [{"name": "source", "dtype": "float32", "axes": ["time", "channel"], "shape": [ROWS, 1]}],
        }
        phases = (2 * math.pi * (count * ROWS + row) / 100 for row in range(ROWS))
        rows = [0.5 * math.sin(phase) + random.uniform(-0.05, 0.05) for phase in phases]
        try:
            socket.send_multipart([msgspec.msgpack.encode(header), struct.pack(f"<{ROWS}f", *rows)], zmq.NOBLOCK)
        except zmq.Again:
            dropped += 1
        count += 1
    context.destroy()
    print(f"{count} frames, {count * ROWS} rows, {dropped} frames dropped")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    main(*sys.argv[1:3], *map(float, sys.argv[3:]))
