"""Sensors to frames: seekable iterables over recordings, pictures and synthetic signals."""
