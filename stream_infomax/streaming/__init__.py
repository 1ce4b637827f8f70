"""Frames, logs, sockets, checkpoints and the loop of every service; no mathematics."""
