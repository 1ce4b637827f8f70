"""Subject: what is exported, a learner's encoder and the windows that its rows are cut by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import Config, ConfigError, convert
from stream_infomax.configuration.survey import survey
from stream_infomax.configuration.tables import StageTable
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.run.encode import learnt
from stream_infomax.stages.windows import WindowsSettings

# What no format holds: a program would have to draw the same random numbers.
DRAWN = "poisson"
# What helps where the front is in no format.
ALONE = "--rows exports the learner alone"


@dataclass(frozen=True)
class Front:
    """How rows are cut from a signal or a picture, before the learner.

    Attributes
    ----------
    windows
        The settings of the stage.
    channels
        Numbers of a sample: channels, or colours of a pixel.
    rate
        Samples a second; 0 where nothing depends on it.
    """

    windows: WindowsSettings
    channels: int = 1
    rate: float = 0.0

    @property
    def form(self) -> str:
        """What the stage makes: "waveform", "log-mel", "patches" or "grid"."""
        return self.windows.form


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes
    ----------
    encoder
        The basis.
    name
        The learner's stage, or what stands for it.
    front
        How its rows are cut; None where they come as they are.
    """

    encoder: Encoder
    name: str = "encoder"
    front: Front | None = None

    @property
    def centred(self) -> bool:
        """Whether each row's own mean is taken away."""
        return self.front is not None and self.front.windows.center

    def without_own_mean(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return rows (n, K) as the learner reads them, in float64."""
        given = rows.astype(np.float64)
        return given - given.mean(axis=1, keepdims=True) if self.centred else given


def subject(place: Path, stage: str = "", *, rows: bool = False) -> Subject:
    """Return what is to be exported from a file or folder.

    Parameters
    ----------
    place
        A checkpoint, a service's or a run's folder, what `OnlineInfomax.save` or `Encoder.save` wrote.
    stage
        The learner, where there are several.
    rows
        Leave out how its rows are made.

    Raises
    ------
    StateFileError
        Where there is no learner, no telling which, or no basis yet.
    ConfigError
        Where its output, or what its rows are made by, is in no format.
    """
    one = learnt(place, stage or None)
    if one.encoder.output == DRAWN:
        raise ConfigError(
            f"{place}: the output is 'poisson', random numbers that no format holds; accepted: potential, halves, "
            "rate, log"
        )
    if one.config is None:
        return Subject(one.encoder, "encoder")
    front = None if rows else _front(convert(one.config, str(place)), one.name, one.encoder.n_features)
    return Subject(one.encoder, one.name, front)


def _front(config: Config, name: str, width: int) -> Front | None:
    """Return what the rows of the learner `name` are cut by; None where it reads the source."""
    tables = {table.name: table for table in config.stage}
    input_ = config.input_of(tables[name])
    if input_ == config.source.name:
        return None
    table = tables.get(input_)
    if table is None or not isinstance(table.settings, WindowsSettings):
        what = f"the stage {table.name!r} (kind {table.kind!r})" if table else repr(input_)
        raise _refused(name, what)
    if config.input_of(table) != config.source.name:
        raise _refused(name, f"{config.input_of(table)!r}, cut by the stage {table.name!r}")
    given = table.settings
    per_row = {"waveform": given.length, "grid": given.patch**2}.get(given.form, width)
    rate = _rate(config, table) if given.form == "log-mel" else 0.0
    return Front(given, width // per_row, rate)


def _refused(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"the learner {name!r} reads {what}; accepted are the source's own rows, or windows of them. {ALONE}"
    )


def _rate(config: Config, table: StageTable) -> float:
    """Return samples a second: as the source's settings have it, or as its data have."""
    rate = getattr(config.source.settings, "rate", 0)
    if rate:
        return float(rate)
    try:
        outline = survey(config)[config.source.name]
    except (ValueError, OSError, MemoryError) as error:
        raise ConfigError(
            f"stage.{table.name}: log-mel needs the rate of the source, which is that of its data: {error}"
        ) from error
    if outline is None or not outline.rate:
        raise ConfigError(f"stage.{table.name}: log-mel needs the rate of the source; its settings have none. {ALONE}")
    return float(outline.rate)
