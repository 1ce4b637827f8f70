"""``stream-infomax check``: is a configuration usable, and what does it come to?"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.run.settings import Changes, read
from stream_infomax.settings.printable import printable

if TYPE_CHECKING:
    from stream_infomax.configuration.tables import SourceTable, StageTable, Table
    from stream_infomax.journal.settings import JournalSettings
    from stream_infomax.settings.outline import Outline

WIDTH = 80


def check(config: Path, *, set: Changes = ()) -> int:  # noqa: A002  (the option's name)
    """Read a configuration, look at its data, and print what it comes to. Nothing is run and nothing is written.

    Parameters
    ----------
    config
        The TOML file, or the name of a shipped one.
    """
    from stream_infomax.configuration.survey import survey

    settings = read(config, set)
    try:
        outlines = survey(settings)
    except (ValueError, OSError, MemoryError) as error:
        raise ConfigError(f"{config}: {error}") from error
    print(printable(f"{config}: usable"))
    for line in (*_whole(settings, outlines), "", *_table(settings, outlines), "", *_set(settings)):
        print(printable(line, keep="\n"))
    return 0


def _whole(config: Config, outlines: Mapping[str, Outline | None]) -> Iterator[str]:
    """Yield what holds for the whole run."""
    run, source = config.run, outlines[config.source.name]
    yield from _entry("run", f"{run.folder}, policy {run.policy}, seed {run.seed}")
    if source is not None:
        labels = "; labels: " + ", ".join(f"{name} ({n})" for name, n in source.labels.items()) if source.labels else ""
        frames = "" if source.live else f", {source.frames:,} frames"
        yield from _entry("data", f"{source.about}{frames}{labels}")
        if source.live:
            yield from _entry("journal", _journal(config.source.journal))
        left_out = ", ".join(f"{count:,} {what}" for what, count in source.left_out.items() if count)
        if left_out:
            yield from _entry("left out", left_out)
    logs = {service: config.log_of(service).memory for service in config.services()}
    kept = {stage.name: memory for stage in config.stage if (memory := _memory(config, stage))}
    yield from _entry(
        "memory", "logs at most " + ", ".join(f"{memory} ({service})" for service, memory in logs.items())
    )
    if kept:
        yield from _entry("", "kept for learning at most " + ", ".join(f"{n} ({name})" for name, n in kept.items()))
    if config.fleet is not None:
        yield from _entry("fleet", _fleet(config))
    if config.sink:
        yield from _entry("sinks", ", ".join(f"{sink.service_name} ({sink.kind})" for sink in config.sink))
    for stage in config.stage:
        if stage.start:
            yield from _entry("start", f"{stage.name} from {stage.start}")
    if run.insecure:
        yield from _entry("warning", "run.insecure: addresses without keys are open to whoever reaches them")
    for name, outline in outlines.items():
        if outline is not None and outline.warning:
            yield from _entry("warning", f"{name}: {outline.warning}")


def _memory(config: Config, stage: StageTable) -> int:
    """Return the bytes of past rows that a stage may keep."""
    if stage.kind == "contrast":
        is_given_batches = any(getattr(other.settings, "replay", 0) for other in config.stage)
        if is_given_batches or getattr(stage.settings, "module", 1) > 1:
            return 0
    return getattr(stage.settings, "replay", 0) or getattr(stage.settings, "memory", 0)


def _fleet(config: Config) -> str:
    """Return how the data are divided. Raises ConfigError where they cannot be."""
    from stream_infomax.fleet.layout import divided, empty, fleet_of, shards

    found, fleet = shards(config), fleet_of(config)
    numbers = [shard.files for shard in found]
    has = f", {min(numbers):,} to {max(numbers):,} files or frames each" if min(numbers) >= 0 else ""
    without = f"; without data: {', '.join(names)}" if (names := empty(config, found)) else ""
    rhythm = f"every {fleet.round:,} rows of each" if fleet.round else "when 5 % more rows have come"
    return f"{len(found)} shards{has}{without}, in {len(divided(found, fleet.workers))} processes; merged {rhythm}"


def _journal(given: JournalSettings) -> str:
    """Return what is kept of what a live source gives."""
    if not given.enabled:
        return "none: what the source gave is lost where it dies before its readers have it"
    bounds = [f"{given.keep}"] if given.keep else []
    bounds += [f"{given.keep_seconds:g} s"] if given.keep_seconds else []
    return f"kept, {' and '.join(bounds) or 'all of it'}; flushed every {given.flush_seconds:g} s"


def _table(config: Config, outlines: Mapping[str, Outline | None]) -> Iterator[str]:
    """Yield a line for source and each stage with the rows that it publishes, and what else is known of them."""
    yield _line("service", "name", "kind", "rows a frame", "rows a second", "a row")
    tables: list[tuple[str, SourceTable | StageTable]] = [(config.source.name, config.source)]
    tables += [(stage.service_name, stage) for stage in config.stage]
    before = ""
    for service, table in tables:
        outline = outlines[table.name]
        rows = rate = row = "?"
        if outline is not None:
            rows = "?" if outline.live else f"{outline.rows / max(1, outline.frames):,.4g}"
            rate = f"{outline.rate:,.5g}" if outline.rate else "–"
            row = "?" if outline.row is None else " × ".join(map(str, outline.row))
            row = f"at most {row}" if outline.at_most and outline.row is not None else row
        yield _line(service if service != before else "", table.name, table.kind, rows, rate, row)
        if outline is not None and outline.about and table is not config.source:
            yield _line("", f"  {outline.about}", "", "", "", "")
        before = service


def _line(service: str, name: str, kind: str, rows: str, rate: str, row: str) -> str:
    return f"{service:12.12}{name:14}{kind:12}{rows:>12}{rate:>14}  {row}".rstrip()


def _set(config: Config) -> Iterator[str]:
    """Yield the keys that are not at their defaults, as TOML has them."""
    import msgspec

    from stream_infomax.configuration.load import own_keys
    from stream_infomax.settings.record import plain

    tables: list[tuple[str, Table]] = [(config.source.name, config.source)]
    tables += [(stage.name, stage) for stage in config.stage]
    tables += [(sink.service_name, sink) for sink in config.sink]
    for name, table in tables:
        found = []
        for record in (table, table.settings):
            values = plain(record, leave_out=("settings", "name", "kind", "service", "seed"))
            defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
            changed = [key for key in values if key in own_keys(type(record)) and getattr(record, key) != defaults[key]]
            found += [f"{key} = {json.dumps(values[key], ensure_ascii=False)}" for key in changed]
        if found:
            yield from _entry(name, ", ".join(found))


def _entry(title: str, text: str) -> list[str]:
    """Return a text behind its title, in lines that fit."""
    indent = " " * 12
    text = text.replace(" = ", "\u00a0=\u00a0")  # a key stays with its value
    lines = textwrap.wrap(text, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False) or [""]
    lines = [line.replace("\u00a0", " ") for line in lines]
    head = f"{title:11} " if len(title) < len(indent) else f"{title}\n{indent}"
    return [head + lines[0], *(indent + line for line in lines[1:])]
