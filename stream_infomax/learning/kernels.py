"""All kernels of learning, compiled before a stream begins."""

from __future__ import annotations

import sys


def compile_kernels() -> None:
    """Compile every kernel for every type it is called with, or load what was compiled before."""
    from stream_infomax.learning.infomax import kernels as infomax
    from stream_infomax.learning.infomax import signal_kernels as signals
    from stream_infomax.learning.measures import kernels as measures

    infomax.call_all()
    signals.call_all()
    measures.call_all()


def compile_used() -> None:
    """Compile every kernel where something that learns has been loaded; what only encodes does without numba."""
    if "numba" in sys.modules:
        compile_kernels()
