"""What every record of settings promises."""

import inspect

import msgspec
import pytest

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import make, plain
from stream_infomax.settings.words import doc_of


def described(kind, settings):
    """Check that the settings of a class are documented, are its keywords, and refuse what they do not know."""
    record = kind.Settings
    signature = inspect.signature(kind)
    for field in msgspec.structs.fields(record):
        assert doc_of(field.type), f"{record.__name__}.{field.name} has no Doc"
        assert doc_of(field.type).split()[0] in kind.__doc__
        assert field.name in signature.parameters
    made = make(record, settings)
    assert make(record, plain(made)) == made
    with pytest.raises(SettingError, match="no_such_setting"):
        make(record, {**settings, "no_such_setting": 1})
