"""Configuration files and the objects that they describe."""
