"""What a setting is, and what is installed only where a setting asks for it."""
