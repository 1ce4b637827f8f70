"""Mathematics on arrays: the learners, their kernels and their measures; no frames, sockets, files or configuration."""
