"""Tests that need a package of an extra skip where it is not installed, and say which extra has it."""

import pytest

from stream_infomax.settings.extras import MissingExtraError, installed, require

__all__ = ["extra", "installed", "needs"]


def _reason(package):
    try:
        require(package)
    except MissingExtraError as error:
        return str(error)
    return ""


def extra(package):
    """Import a package, or skip the whole file."""
    return pytest.importorskip(package, reason=_reason(package))


def needs(*packages):
    """Mark a test that needs packages."""
    missing = [package for package in packages if not installed(package)]
    return pytest.mark.skipif(bool(missing), reason="; ".join(map(_reason, missing)))
