"""Mathematics on arrays: learners, their kernels and measures; no frames, sockets, files or configuration."""
