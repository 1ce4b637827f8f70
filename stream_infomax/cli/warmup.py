"""``stream-infomax warmup``: compile the kernels ahead."""

from __future__ import annotations


def warmup() -> int:
    """Compile all kernels: the first run then starts as fast as later ones."""
    from stream_infomax.learning.kernels import compile_kernels

    compile_kernels()
    return 0
