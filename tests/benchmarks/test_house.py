"""Lines of code are lines that hold code."""

from house import lines_of_code


def test_comments_docstrings_and_empty_lines_do_not_count():
    source = '''"""A module.

Two paragraphs.
"""

import math  # one

# a comment


class Circle:
    """A circle."""

    def area(self, r):  # two, three with the class
        """Area."""
        text = """a string
        is code"""  # four, five
        return (
            math.pi
            * r**2
        )  # six to nine
'''
    assert lines_of_code(source) == 9
