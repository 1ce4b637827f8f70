"""``stream-infomax export``: what was learnt, or what was recorded, for programs without this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from stream_infomax.configuration.load import ConfigError

# The exit code where a journal lacks frames, as of a run that lost some.
INCOMPLETE = 3


def export(
    checkpoint: Path,
    *,
    to: Annotated[Literal["c", "npz", "onnx", "wav"], Parameter(name="--to")],
    out: Path | None = None,
    name: str = "",
    stage: str = "",
    weights: Literal["float32", "int16", "int8"] = "float32",
    rows: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write what a learner has learnt for programs without this package, with the windows that it learnt from.

    Or what a live source gave: of a journal, an .mcap file or a folder of such, npz writes arrays and wav sound.
    Where frames are missing in it, the rest is written, and the exit code is 3.

    Parameters
    ----------
    checkpoint
        What `OnlineInfomax.save` or `Encoder.save` wrote; or, of a run, a checkpoint, a service's folder or the run's
        folder, of which the newest checkpoint is taken; of a fleet that of the shard with the newest round. Or a
        journal.
    to
        c: a header in C99 that needs nothing. npz: arrays for NumPy; the documentation has the formula. onnx: a model
        (with onnx). wav: of a journal, a file for each stream.
    out
        The file (default: NAME.h, NAME.npz, NAME.onnx); with wav the folder (default: NAME-wav). NAME is that of the
        stage, of a journal that of its run. Without it, nothing that is there is written over.
    name
        What names in C begin with (default: the stage's).
    stage
        The learner, where the run has several.
    weights
        How the header keeps filters (default: float32). int16 and int8 need half and a quarter of that, and no
        floating point for the products; the header says how exact they are.
    rows
        Leave out how rows are made of a signal or picture: only rows to features.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.played import is_journal, journal_within

    if is_journal(checkpoint):
        return _recording(checkpoint, to, out)
    if to == "wav":
        within = journal_within(checkpoint)
        hint = f": {within}" if within else ""
        raise ConfigError(f"--to wav: {checkpoint} is no journal; accepted is an .mcap file, or a folder of such{hint}")
    from stream_infomax.export.c_text import check_name, identifier
    from stream_infomax.export.formats import FORMATS
    from stream_infomax.export.subject import subject
    from stream_infomax.fleet.folder import newest_of
    from stream_infomax.settings.printable import printable
    from stream_infomax.state.file import replacing
    from stream_infomax.state.private import private

    one = subject(newest_of(checkpoint), stage, rows=rows)
    called = check_name(name or identifier(one.name))
    place = out or _new(Path(f"{called}.{'h' if to == 'c' else to}"))
    content = FORMATS[to](one, called, weights)
    with private(), replacing(place) as file:
        file.write(content)
    encoder = one.encoder
    print(
        printable(
            f"{place}: {len(content):,} bytes, {encoder.n_features} numbers to {encoder.width} ({encoder.output}), "
            f"basis {encoder.version}"
        )
    )
    return 0


def _recording(journal: Path, to: str, out: Path | None) -> int:
    """Write what a live source gave."""
    from stream_infomax.export.recording import to_npz, to_wav
    from stream_infomax.settings.error import SettingError
    from stream_infomax.settings.extras import require
    from stream_infomax.settings.printable import printable
    from stream_infomax.state.private import private

    if to not in ("npz", "wav"):
        raise ConfigError(f"--to {to}: {journal} is a journal; accepted are npz and wav")
    require("mcap")
    place = out or _new(Path(f"{_name_of(journal)}{'.npz' if to == 'npz' else '-wav'}"))
    try:
        with private():
            written = to_npz(journal, place) if to == "npz" else to_wav(journal, place)
    except (SettingError, ValueError) as error:
        raise ConfigError(str(error)) from error
    for path, rows in written.files:
        print(printable(f"{path}: {rows:,} rows, {path.stat().st_size:,} bytes"))
    if not written.missing:
        return 0
    print(printable(f"{journal}: {written.missing}"), file=sys.stderr)
    return INCOMPLETE


def _name_of(journal: Path) -> str:
    """Return the name of a journal's run, of any other journal its own."""
    place = journal.resolve()
    run = place.parent.parent
    return run.name if place.name == "journal" and (run / "run.json").is_file() else place.stem


def _new(place: Path) -> Path:
    """Return a place where nothing is yet."""
    if place.exists() or place.is_symlink():
        raise ConfigError(f"{place} is there already, and is left as it is; --out names another place, or this one")
    return place
