"""What the modules of a run hear: its source is read again, and the excerpts that drive their units most are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.configuration.compose import source_of
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.frames.contracts import Encoder, Seekable, Stage
from stream_infomax.run.encoding import start_encoding
from stream_infomax.settings.extras import require
from stream_infomax.stages.windows import WindowsSettings, WindowsStage
from stream_infomax.watch.hearing import SECONDS, SOUND, Hearing, added, wav

if TYPE_CHECKING:
    from stream_infomax.stages.contrast import ContrastStage

# Units that are drawn of a module.
UNITS = 8
# How much of the source is read: of signals seconds, of pictures frames.
MOST_SECONDS, MOST_PICTURES = 300.0, 1000


def draw_hearing(config: Config, stages: Iterable[Stage], folder: Path) -> list[Path]:
    """Draw what the contrastive modules of a run hear; return the paths of the pictures and of the sounds.

    Parameters
    ----------
    config
        Of the run.
    stages
        With their states; they go on encoding from another beginning.
    folder
        Where the pictures go; the sounds of a module's units go to a folder beside its picture.

    Raises
    ------
    ConfigError
        Where the source cannot be read again, or a stage before a module is missing.
    """
    stages = list(stages)
    modules = {stage.name: added(stage.name, stage.layers) for stage in modules_of(stages)}
    if not modules:
        return []
    files = []
    for name, hearing in _heard(config, _encoding(config, stages, modules), modules).items():
        files += _draw(name, hearing, folder, config)
    return files


def modules_of(stages: Iterable[Stage]) -> list[ContrastStage]:
    """Return the stages that are contrastive modules which have learnt."""
    from stream_infomax.stages.contrast import ContrastStage

    return [stage for stage in stages if isinstance(stage, ContrastStage) and stage.pupil is not None]


def _encoding(config: Config, stages: Iterable[Stage], modules: Iterable[str]) -> list[Encoder]:
    """Return the stages up to the last module in their order; they learn nothing and pass on everything."""
    found = {stage.name: stage for stage in stages}
    names = [table.name for table in config.stage]
    chosen: list[Encoder] = []
    for name in names[: max(map(names.index, modules)) + 1]:
        if name not in found:
            raise ConfigError(f"the stage {name!r} has no checkpoint here; give the run's folder")
        stage = found[name]
        if isinstance(stage, Encoder):
            chosen.append(stage)
    start_encoding(chosen)
    return chosen


def grid_of(settings: Sequence[object]) -> tuple[int, int] | None:
    """Return side and stride of the patches of the last grid among the settings of stages; None where there is none."""
    grids = [(one.patch, one.stride) for one in settings if isinstance(one, WindowsSettings) and one.form == "grid"]
    return grids[-1] if grids else None


def _heard(config: Config, stages: list[Encoder], modules: Mapping[str, tuple[str, int]]) -> dict[str, Hearing]:
    """Return what drives each module's units in the beginning of the source; of a module is given what it adds."""
    require(*config.source.settings.needs())
    source = source_of(config)
    if not isinstance(source, Seekable):
        raise ConfigError(f"source.kind = {config.source.kind!r} is live, and cannot be read again")
    grid = grid_of([stage.settings for stage in stages if isinstance(stage, WindowsStage)])
    found = {name: Hearing(grid, n_added) for name, (_, n_added) in modules.items()}
    one = next(iter(found.values()))
    for frame in source.frames():
        out = frame
        for stage in stages:
            out = stage.process(out)
            array, _ = modules.get(stage.name, ("", 0))
            if array in out.arrays:
                found[stage.name].listen(frame, config.source.name, out.arrays[array], out.rate)
        if one.seconds >= MOST_SECONDS or (not one.rate and one.frames >= MOST_PICTURES):
            break
    return found


def _read(hearing: Hearing) -> str:
    """Return how much of the source was read, as far as it may have had more."""
    if hearing.rate:
        return "its source" if hearing.seconds < MOST_SECONDS else f"the first {MOST_SECONDS / 60:g} min of its source"
    return "its source" if hearing.frames < MOST_PICTURES else f"the first {MOST_PICTURES:,} pictures"


def _draw(name: str, hearing: Hearing, folder: Path, config: Config) -> list[Path]:
    """Draw a module's strongest units, and write what they hear where it is sound."""
    from stream_infomax import plots

    units = hearing.strongest(UNITS)
    if not units:
        return []
    shown = {unit: [(one.segment or f"{one.time:.1f} s", one.data) for one in hearing.excerpts(unit)] for unit in units}
    what = f"the {SECONDS:g} s up to where each was largest" if hearing.rate else "where each was largest"
    note = f"The units whose outputs deviate most: {what} in {_read(hearing)}"
    note += f"; up to {hearing.rate / 2000:g} kHz" if hearing.rate >= SOUND else ""
    figure = plots.hearing(name, shown, hearing.rate, note)
    files = [plots.save(figure, folder / f"hears-{name}.png")]
    if hearing.rate >= SOUND:
        sounds = folder / f"hears-{name}"
        sounds.mkdir(exist_ok=True)
        for old in sounds.glob("unit-[0-9]*.wav"):  # of units that deviated most when they were drawn before
            old.unlink()
        for unit in units:
            path = sounds / f"unit-{unit + 1:03d}.wav"
            path.write_bytes(wav(hearing.excerpts(unit), hearing.rate))
            files.append(path)
    return files
