"""``stream-infomax warmup``: compile the kernels ahead."""

from __future__ import annotations


def warmup() -> int:
    """Compile all kernels, so that the first run starts as fast as the later ones."""
    from stream_infomax.learning.kernels import compile_kernels

    compile_kernels()
    return 0
