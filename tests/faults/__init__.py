"""Faults that are really made, and the table of docs/operations.md that the tests of them make."""
