"""StateFileError: a state on disk that cannot be read or written. It stands apart from what needs numpy."""


class StateFileError(ValueError):
    """A state that cannot be read or written: names the file and the reason."""
