"""Sensors to frames: recordings, pictures and synthetic signals, one file a sensor."""
