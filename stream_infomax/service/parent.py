"""A service ends with the supervisor that started it, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Its value is the process id of the supervisor.
PARENT = "STREAM_INFOMAX_PARENT"
# Its value is the id of the run, which stands in every status.
RUN = "STREAM_INFOMAX_RUN"
PR_SET_PDEATHSIG = 1


def run_id() -> str:
    """Return the id of the run that this process belongs to; empty where nobody supervises it."""
    return os.environ.get(RUN, "")


def end_with_parent() -> None:
    """Have the kernel kill this process when its supervisor is gone; nothing happens where there is none.

    Killing is safe: a service can be killed at any moment and resumes from its checkpoint. Only Linux can do this.
    """
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it was gone before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)
