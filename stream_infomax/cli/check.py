"""``stream-infomax check``: is a configuration usable, and what does it come to?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.settings import Changes, read


def check(config: Path, *, set: Changes = ()) -> int:  # noqa: A002  (the option's name)
    """Read a configuration, make its source and stages without running them, and print what it comes to.

    Parameters
    ----------
    config
        The TOML file.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from stream_infomax.configuration.compose import pipeline_of, source_of

    settings = read(config, set)
    try:
        source_of(settings)
        pipeline_of(settings)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{config}: {error}") from error
    print(f"{config}: usable; run folder {settings.run.folder}, policy {settings.run.policy}, seed {settings.run.seed}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("service", "name", "kind", "set to"):
        table.add_column(title)
    source = settings.source
    table.add_row(source.name, source.name, source.kind, Text(_what_is_set(source.settings)))
    for stage in settings.stage:
        table.add_row(stage.service_name, stage.name, stage.kind, Text(_what_is_set(stage.settings)))
    Console().print(table)
    return 0


def _what_is_set(record: Any) -> str:
    """Return the keys that are not at their defaults, as TOML would have them."""
    import msgspec

    from stream_infomax.settings.record import plain

    texts = []
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        if field.name not in ("name", "service") and value != field.default:
            texts.append(f"{field.name} = {json.dumps(plain(record)[field.name], ensure_ascii=False)}")
    return ", ".join(texts)
