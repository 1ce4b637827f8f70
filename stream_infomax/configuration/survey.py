"""What a configuration comes to, before anything runs: the outline of what its source and each stage will publish."""

from __future__ import annotations

from stream_infomax.configuration.compose import source_of, stage_of, take_over
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline


def outlines(config: Config) -> dict[str, Outline | None]:
    """Return by the name of source and stage what it will publish; None where only the data tell.

    Raises
    ------
    ConfigError
        Where the source cannot be read, or a stage cannot work on what comes in.
    """
    source = source_of(config)
    of_array: dict[str, Outline | None] = {config.source.name: source.outline() if hasattr(source, "outline") else None}
    found = dict(of_array)
    below = {config.source.name: config.source.settings}
    for stage in config.stage:
        incoming = of_array.get(config.input_of(stage))
        try:
            outline = stage.settings.settled(below).outline(incoming) if incoming is not None else None
        except SettingError as error:
            raise ConfigError(str(error.under(f"stage.{stage.name}"))) from error
        found[stage.name] = outline
        below[stage.name] = stage.settings
        of_array |= dict.fromkeys(stage.settings.adds(stage.name), outline)
    return found


def survey(config: Config) -> dict[str, Outline | None]:
    """Look at the data and at the states that stages start from.

    Returns
    -------
    By the name of source and stage what it will publish; None where only the data tell.

    Raises
    ------
    ConfigError
        Where the source cannot be read, a stage cannot work on what comes in, a state does not fit its stage, or a sink
        has no place.
    """
    found = outlines(config)
    for stage in config.stage:
        if stage.start:
            take_over(config, Pipeline([stage_of(config, stage)]))
    for sink in config.sink:
        try:
            sink.settings.try_out()
        except SettingError as error:
            raise ConfigError(str(error.under(f"sink.{sink.service_name}"))) from error
    return found
