"""``stream-infomax schema``: a JSON schema of the configuration."""

from __future__ import annotations

import json


def schema() -> int:
    """Print a JSON schema of the configuration, with which an editor completes and checks TOML.

    With Taplo (for example in VS Code: Even Better TOML): ``stream-infomax schema > schema.json``, and as the first
    line of a configuration ``#:schema ./schema.json``.
    """
    from stream_infomax.configuration.schema import schema as configuration_schema

    print(json.dumps(configuration_schema(), indent=1, ensure_ascii=False))
    return 0
