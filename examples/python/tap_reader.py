"""An observer of a service's tap: offset, stream, arrays, latency since the source had the frame, frames missed.

It needs pyzmq and msgspec, and nothing of stream_infomax. It ends when the service says that its log has ended.

    python tap_reader.py ipc://runs/sound/learner.tap
"""

import math
import struct
import sys
import time

import msgspec
import zmq

CODES = {"float32": "f", "float64": "d", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "bool": "?"}
NO_FRAME = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError, struct.error)


def read(array: dict, payload: bytes) -> tuple:
    """Return the values of a payload, in the order of its shape, the last axis fastest."""
    return struct.unpack(f"<{math.prod(array['shape'])}{CODES[array['dtype']]}", payload)


def line(parts: list[bytes]) -> tuple[int, str]:
    """Return the offset of a frame and what there is to say about it; raise one of NO_FRAME for anything else."""
    transport, header = (msgspec.msgpack.decode(part) for part in parts[:2])
    if header["version"] != 1:
        raise ValueError(f"frame version {header['version']}")
    words = [f"{header['offset']} {header['stream']!r}"]
    for array, payload in zip(header["arrays"], parts[2:], strict=True):
        values = read(array, payload)
        mean = sum(values) / max(1, len(values))
        words.append(f"{array['name']!r} {'x'.join(map(str, array['shape']))} {array['dtype']} mean {mean:.3f}")
    if transport["origin"] > 0:
        words.append(f"latency {1000 * (time.time() - transport['origin']):.3f} ms")
    return header["offset"], "  ".join(words)


def main(address: str) -> None:
    """Print a line for each frame, until the log has ended."""
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"frame")
    socket.subscribe(b"status")
    socket.connect(address)
    newest, missed, refused = None, 0, 0
    while True:
        topic, *parts = socket.recv_multipart()
        try:
            if topic == b"status":
                status = msgspec.msgpack.decode(parts[0])
                if not status["finished"]:
                    continue
                offset, text = status["newest"] + 1, ""  # the frames came before it
            else:
                offset, text = line(parts)
        except NO_FRAME:
            refused += 1
            continue
        if newest is not None:  # after a restart of the service an offset can come twice
            missed += max(0, offset - newest - 1)
        if topic == b"status":
            break
        newest = offset if newest is None else max(newest, offset)
        print(f"{text}  missed {missed}", flush=True)
    context.destroy(linger=0)
    print(f"ended at {newest}, missed {missed}, refused {refused}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
