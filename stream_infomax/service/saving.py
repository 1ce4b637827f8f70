"""Saving: checkpoints that a thread writes beside the loop, one at a time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from stream_infomax.service.checkpoints import Checkpoint, Checkpoints


class Saving:
    """The thread that writes a service's checkpoints: the stream does not wait for the disk.

    Parameters
    ----------
    checkpoints
        Where they are written.

    Attributes
    ----------
    bell
        Becomes readable when one has been written, or could not be.
    last, at
        The offset of the newest one that was written, and when, in seconds of the wall clock; -1 and 0 before the
        first of this process.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.bell, self._rope = socket.socketpair()
        self.bell.setblocking(False)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._under_way: Future[None] | None = None
        self.last, self.at = -1, 0.0

    @property
    def busy(self) -> bool:
        """Whether there is one of which `written` has not told the end."""
        return self._under_way is not None

    def begin(self, checkpoint: Checkpoint, first: Callable[[], None]) -> None:
        """Write a checkpoint of which nothing changes any more, and before it what `first` writes."""
        assert self._under_way is None
        self._under_way = self._thread.submit(self._write, checkpoint, first)

    def written(self, *, wait: bool) -> bool:
        """Return whether a checkpoint is on disk that was not there at the last call.

        Raises
        ------
        StateFileError
            Where the disk does not take it; names the file.
        """
        if self._under_way is None or not (wait or self._under_way.done()):
            return False
        written, self._under_way = self._under_way, None
        try:
            written.result()
        finally:
            self.bell.recv(1)  # it rang before that
        return True

    def close(self) -> None:
        """End the thread, after what it is writing."""
        self._thread.shutdown()
        self.bell.close()
        self._rope.close()

    def _write(self, checkpoint: Checkpoint, first: Callable[[], None]) -> None:
        try:
            first()
            self.checkpoints.save(checkpoint)
            self.last, self.at = checkpoint.processed, time.time()
        finally:
            self._rope.send(b"\0")
