"""Waiting for the frames of a live source as the loop does: on its sockets."""

import math
import time

import zmq

LONG = 30.0


def arriving(source, n):
    """Return the next `n` frames of a live source."""
    poller = zmq.Poller()
    for socket in source.sockets:
        poller.register(socket, zmq.POLLIN)
    frames = []
    while len(frames) < n:
        frame = source.receive()
        if frame is not None:
            frames.append(frame)
            continue
        due = source.due()
        ready = poller.poll(1000 * (LONG if math.isinf(due) else due))
        assert ready or not math.isinf(due), f"{len(frames)} of {n} frames have come: {source.counts()} {source.lost}"
    return frames


def rest_of(source):
    """Return the frames that are there by now."""
    frames = []
    while (frame := source.receive()) is not None:
        frames.append(frame)
    return frames


def arriving_while(source, act):
    """Do something again and again until frames come; return them."""
    poller = zmq.Poller()
    for socket in source.sockets:
        poller.register(socket, zmq.POLLIN)
    end = time.monotonic() + LONG
    while not (frames := rest_of(source)):
        assert time.monotonic() < end, "no frame has come"
        act()
        poller.poll(50)
    return frames
