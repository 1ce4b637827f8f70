"""What a live source accepts, kept on disk as MCAP files: written, read, mended, forgotten."""
