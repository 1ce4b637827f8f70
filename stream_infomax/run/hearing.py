"""What the modules of a run hear: its source is read again, and the excerpts that drive their units most are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
# How much of the source is read: of signals seconds, of pictures frames; of a longer one so many parts.
MOST_SECONDS, MOST_PICTURES, PARTS = 300.0, 1000, 20
# Frames at the beginning, of which the longest tells how long frames are.
LOOKED_AT = 64


class Drawn(NamedTuple):
    """What the modules of a run hear.

    Attributes
    ----------
    files
        The paths of the pictures and of the sounds.
    read
        What was read of the source, in words; empty where nothing was.
    """

    files: list[Path]
    read: str


def draw_hearing(config: Config, stages: Iterable[Stage], folder: Path) -> Drawn:
    """Draw what the contrastive modules of a run hear: in its whole source, or in parts of a long one.

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
        return Drawn([], "")
    encoding = _encoding(config, stages, modules)
    grid = grid_of([stage.settings for stage in encoding if isinstance(stage, WindowsStage)])
    found = {name: Hearing(grid, n_added) for name, (_, n_added) in modules.items()}
    read = _listen(config, encoding, modules, found)
    files = []
    for name, hearing in found.items():
        files += _draw(name, hearing, folder, read)
    return Drawn(files, read)


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


def _listen(
    config: Config, stages: list[Encoder], modules: Mapping[str, tuple[str, int]], found: Mapping[str, Hearing]
) -> str:
    """Let each module hear the source; `modules` gives what it adds. Return in words what was read."""
    require(*config.source.settings.needs())
    source = source_of(config)
    if not isinstance(source, Seekable):
        raise ConfigError(f"source.kind = {config.source.kind!r} is live, and cannot be read again")
    one = next(iter(found.values()))
    longest = 0.0 if one.grid else max((frame.seconds for frame in islice(source.frames(), LOOKED_AT)), default=0.0)
    parts = spread(len(source), max(1, round(MOST_SECONDS / longest)) if longest else MOST_PICTURES)
    for part in parts:
        for frame in islice(source.frames(part.start), len(part)):
            out = frame
            for stage in stages:
                out = stage.process(out)
                array, _ = modules.get(stage.name, ("", 0))
                if array in out.arrays:
                    found[stage.name].listen(frame, config.source.name, out.arrays[array], out.rate)
    n_read = sum(map(len, parts))
    if n_read == len(source):
        return "the whole source"
    what = f"{one.seconds / 60:.2g} of about {one.seconds * len(source) / n_read / 60:.3g} min"
    what = what if longest else f"{n_read:,} of {len(source):,} frames"
    return f"{len(parts)} parts, spread evenly over the source: {what}"


def spread(n: int, most: int) -> list[range]:
    """Return which of `n` frames are read: all, or at most so many in parts that are spread evenly over all."""
    if n <= most:
        return [range(n)]
    parts = min(PARTS, most)
    size = most // parts
    starts = [i * (n - size) // max(1, parts - 1) for i in range(parts)]
    return [range(start, start + size) for start in starts]


def _draw(name: str, hearing: Hearing, folder: Path, read: str) -> list[Path]:
    """Draw a module's strongest units, and write what they hear where it is sound."""
    from stream_infomax import plots

    units = hearing.strongest(UNITS)
    if not units:
        return []
    shown = {unit: [(one.segment or f"{one.time:.1f} s", one.data) for one in hearing.excerpts(unit)] for unit in units}
    what = f"the {SECONDS:g} s up to where each was largest" if hearing.rate else "where each was largest"
    note = f"The units whose outputs deviate most: {what} in {read}"
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
