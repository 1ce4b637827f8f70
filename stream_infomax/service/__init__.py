"""One process of a pipeline: its loop, its checkpoints, its status."""
