"""Tests that need a package of an extra skip where it is not installed, and say which extra has it."""

import pytest

from stream_infomax.settings.extras import EXTRAS, MissingExtraError, installed

__all__ = ["extra", "installed", "needs"]


# Public names that live in files which import a package of an extra.
NEED_TORCH = ("GreedyInfoMax", "InfoNCE")


def _reason(package):
    if package in EXTRAS:
        return str(MissingExtraError(package))
    return f'{package} is not installed: pip install "stream_infomax[test]"'


def extra(package):
    """Import a package, or skip the whole file."""
    return pytest.importorskip(package, reason=_reason(package))


def needs(*packages):
    """Mark a test that needs packages."""
    missing = [package for package in packages if not installed(package)]
    return pytest.mark.skipif(bool(missing), reason="; ".join(map(_reason, missing)))
