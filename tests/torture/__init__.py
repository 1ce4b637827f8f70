"""Trials that take hours and are to find what the tests do not: ``make torture``.

Each file but this one, `frame`, `__main__` and the tests is a torture, or several: a function with the decorator of
`frame`. It is seeded and bounded, says how far it is, and returns one line that says what it showed.
"""
