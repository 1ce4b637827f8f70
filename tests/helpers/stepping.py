"""Loops of one process that take turns: a step of one never waits for the others."""

from stream_infomax.service.loop import Loop


def step(loop: Loop, frames: int = 1) -> None:
    """Process so many frames, if they are there, and do what else a loop does between two."""
    for _ in range(frames):
        loop.advance()
    if loop.finished:
        loop.feed.receive()  # that the last commit has arrived
    loop.feed.attend(())
    loop.attend()
    loop.tend()
