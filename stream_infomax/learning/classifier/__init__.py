"""Linear classifiers and their scores."""
