"""Where mathematics meets frames: one file a stage."""
