"""The page needs bokeh; without it there is nothing to test here."""

from helpers.extras import installed

collect_ignore_glob = [] if installed("bokeh") else ["test_*.py"]
