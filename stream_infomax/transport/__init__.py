"""Logs and sockets between processes."""
