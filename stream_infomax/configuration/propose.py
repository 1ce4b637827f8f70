"""A configuration that fits a file or a folder: what is in it, which settings follow, and why, in plain words."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.configuration.propose_table import Proposal, propose_table
from stream_infomax.configuration.survey import survey
from stream_infomax.learning.infomax.settings import InfomaxSettings
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.types import NAME_PATTERN
from stream_infomax.sources.files import Found, find, name_of
from stream_infomax.sources.images import SUFFIXES as PICTURES
from stream_infomax.sources.labels import BESIDE, Labels, keys
from stream_infomax.sources.playlist import FileSettings
from stream_infomax.sources.recordings import SUFFIXES as SOUND
from stream_infomax.sources.table_files import SUFFIXES as TABLES
from stream_infomax.sources.video_files import SUFFIXES as VIDEOS

SUFFIXES = tuple(dict.fromkeys([*TABLES, *PICTURES, *VIDEOS]))
ACCEPTED = f"a file or a folder of recordings, pictures, videos or tables ({', '.join(SUFFIXES)})"
# Pixels of the shorter side of a video's pictures at most, and patches of each.
SIDE, PATCHES = 144, 64
# There is a basis after at most this share of the rows.
SHARE = 0.5
LEAST_ROWS = 40
# What a table of labels has at most.
LABELS_BYTES = 16 << 20
# Rows of a frame of tables.
FRAME = 256
TABLE = "tables"


def propose(path: Path) -> tuple[str, str, list[str]]:
    """Return a name for a configuration, its TOML, and in words what was chosen.

    Raises
    ------
    ConfigError
        Where nothing there can be learnt from.
    """
    name = _name(path)
    try:
        proposal = _proposal(path)
        _settle(proposal, name)
    except SettingError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (ValueError, OSError, MemoryError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{path}: {error}") from error
    return name, _toml(proposal, name), proposal.said


def _name(path: Path) -> str:
    """Return the name of a file or folder as a folder of runs may have it."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", path.resolve().stem).strip("_") or "data"
    name = name if name[0].isalpha() else f"data_{name}"
    return name if re.match(NAME_PATTERN, name) else name[:64]


def _proposal(path: Path) -> Proposal:
    found = find(path, SUFFIXES, ACCEPTED)
    beside = _table_of_labels(path, found)
    kinds = {file: _kind(file) for file in found.files if file != beside and file.name != BESIDE}
    if not kinds:
        raise SettingError("path", str(path), ACCEPTED, found.nothing())
    counts = Counter(kinds.values())
    kind, _ = counts.most_common(1)[0]
    files = [file for file in kinds if kinds[file] == kind]
    proposers = {TABLE: propose_table, "recordings": _recordings, "pictures": _pictures, "videos": _videos}
    proposal = proposers[kind](path, files)
    others = ", ".join(f"{n} {other}" for other, n in counts.items() if other != kind)
    if others:
        suffixes = "|".join(sorted({file.suffix.lower()[1:] for file in files}))
        proposal.source["include"] = rf"(?i)\.({suffixes})$"
        proposal.said.append(f"There is something else too, which is not used: {others}.")
    if beside is not None and kind != "pictures":
        proposal.source["labels_csv"] = str(beside)
        proposal.said.append(f"Labels are taken from {beside}, which names the files in its first column.")
    return proposal


def _table_of_labels(path: Path, found: Found) -> Path | None:
    """Return the CSV file beside the others whose first column names most of them, None where there is none."""
    names = [name_of(file, found.folder) for file in found.files]
    fits = {key for name in names for key in keys(name)}
    for file in sorted((path if path.is_dir() else path.parent).glob("*.csv"), key=lambda file: file.name != BESIDE):
        if file == path or file.stat().st_size > LABELS_BYTES:
            continue
        with suppress(SettingError):
            labels = Labels("", file, path)
            if not any(key in fits for key in labels.lines):  # so that thousands of tables are not all compared
                continue
            n_named = sum(bool(labels.of(name)) for name in names if name != file.name)
            if n_named and 2 * n_named >= len(names) - 1:
                return file
    return None


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix == ".npz":
        return "pictures" if _is_stack(file) else TABLE
    if suffix in PICTURES:
        return "pictures"
    if suffix in VIDEOS:
        return "videos"
    if suffix in SOUND:
        return TABLE if _channels_of(file) > 2 else "recordings"
    return TABLE


def _is_stack(file: Path) -> bool:
    from stream_infomax.sources.npy_head import read_heads
    from stream_infomax.sources.table_files import UNUSABLE

    try:
        images = read_heads(file).get("images")
    except UNUSABLE:
        return False
    return images is not None and images.dtype == np.uint8 and len(images.shape) in (3, 4)


def _channels_of(file: Path) -> int:
    import soundfile

    try:
        return int(soundfile.info(file).channels)
    except (soundfile.LibsndfileError, OSError):
        return 1


def _recordings(path: Path, files: Sequence[Path]) -> Proposal:
    from stream_infomax.sources.recordings import slower
    from stream_infomax.sources.recordings import survey as survey_recordings

    recordings = survey_recordings(path, FileSettings(), 0).files
    rates = Counter(recording.rate for recording in recordings)
    rate = rates.most_common(1)[0][0]
    source: dict[str, Any] = {"kind": "audio", "path": str(path), "order": "shuffled"}
    said = [f"{len(recordings):,} recordings; their channels are mixed to one, and their order is shuffled."]
    if len(rates) > 1:
        source["rate"] = rate
        said.append(f"They have {len(rates)} rates, and are resampled to the most frequent one, {rate:,} a second.")
        said += [f"Beware: {few}."] if (few := slower(recordings, rate)) else []
    length = max(16, 1 << round(np.log2(0.008 * rate)))
    hop = max(1, min(length, round(0.005 * rate)))
    source["frame"] = max(hop, round(0.1 * rate))
    said.append(
        f"Windows of {length} samples ({1000 * length / rate:.3g} ms) every {hop}, and log energies of their "
        "components: what a linear classifier reads best."
    )
    windows = {"form": "waveform", "length": length, "hop": hop}
    return Proposal(source, [_windows(windows), _learner({"output": "log"})], said)


def _pictures(path: Path, files: Sequence[Path]) -> Proposal:
    from stream_infomax.sources.images import ImageSource

    pictures = ImageSource(path, mode="tiles", crop=(4, 4)).pictures
    smaller = np.minimum(pictures.heights, pictures.widths)
    side = min(64, int(np.percentile(smaller, 10)))
    patch = 12 if side >= 48 else max(2, round(0.36 * side))
    stride = max(1, patch // 3)
    tiles = int(np.sum((pictures.heights // side) * (pictures.widths // side)))
    of_tile = ((side - patch) // stride + 1) ** 2
    frames = max(tiles, -(-3 * InfomaxSettings().rows_until_basis(patch**2) // of_tile))
    source: dict[str, Any] = {
        "kind": "images",
        "path": str(path),
        "mode": "tiles",
        "crop": [side, side],
        "order": "shuffled",
    }
    said = [
        f"{len(pictures):,} pictures, cut into tiles of {side} × {side} pixels, grey: {tiles:,} of them, shuffled.",
        f"From each tile patches of {patch} × {patch} pixels every {stride}, without their mean brightness.",
    ]
    if frames > tiles:
        source["frames"] = frames
        said.append(f"{tiles:,} tiles are few: they are gone through until there were {frames:,}.")
    windows = {"form": "grid", "patch": patch, "stride": stride, "center": True}
    return Proposal(source, [_windows(windows), _learner({"energy": 0.98})], said)


def _videos(path: Path, files: Sequence[Path]) -> Proposal:
    from stream_infomax.sources.video_files import survey as survey_videos

    require("av")
    videos = survey_videos(path, FileSettings()).files
    height, width = videos[0].size
    source: dict[str, Any] = {"kind": "video", "path": str(path), "mode": "patches", "items": PATCHES}
    said = [
        f"{len(videos):,} videos with {sum(video.rows for video in videos):,} pictures of {height} × {width} pixels."
    ]
    if min(height, width) > SIDE or len({video.size for video in videos}) > 1:
        scale = min(1.0, SIDE / min(height, width))
        source["size"] = [round(scale * height), round(scale * width)]
        said.append(f"Pictures are brought to {' × '.join(map(str, source['size']))} pixels.")
    patch = 12 if min(height, width) >= 48 else max(2, round(0.36 * min(height, width)))
    source["crop"] = [patch, patch]
    said.append(
        f"Of each {PATCHES} patches of {patch} × {patch} pixels at random places, grey, without their mean brightness."
    )
    return Proposal(source, [_windows({"form": "patches", "center": True}), _learner({"energy": 0.98})], said)


def _windows(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "windows", "kind": "windows", "service": "learner", **settings}


def _learner(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "learner", "kind": "learner", **settings}


def _settle(proposal: Proposal, name: str) -> None:
    """Look at the data as the configuration does, and let the warm-up end within them."""
    learner, source = proposal.stages[-1], proposal.source
    incoming = _incoming(proposal, name)
    width = incoming.width or 1
    rows = int(incoming.rows * proposal.finite)
    if rows < LEAST_ROWS:
        raise ConfigError(f"{source['path']}: {rows} rows to learn from; accepted are {LEAST_ROWS} or more")
    settings = InfomaxSettings()
    if settings.rows_until_basis(width) > SHARE * rows:
        # As small a block as may be, the warm-up over after half of the rows, and if need be the data again.
        learner["block"] = block = InfomaxSettings(block=1).rows_a_block(width)
        least = InfomaxSettings(block=block, warmup=2).rows_until_basis(width)
        repeat = max(1, math.ceil(3 * least / rows))
        learner["warmup"] = warmup = max(2, int(SHARE * repeat * rows) - least)
        again = f" They are gone through {repeat} times." if repeat > 1 else ""
        if repeat > 1:
            source["repeat"] = repeat
        if source["kind"] not in ("images", "video"):  # rows of a frame in which the warm-up ends have no features
            source["frame"] = max(1, min(source.get("frame", FRAME), rows // 16))
        proposal.said.append(
            f"{rows:,} rows of {width} numbers are few: the warm-up takes {warmup:,}, and what is learnt is "
            f"rough.{again} More data would do more than any setting."
        )
        return
    warmup = settings.rows_of_warmup(width)
    seconds = f" ({warmup / incoming.rate:,.1f} s)" if incoming.rate else ""
    proposal.said.append(
        f"The learner gets {incoming.rows:,} rows of {width} numbers; its warm-up takes {warmup:,}{seconds}, and "
        "features follow."
    )


def _incoming(proposal: Proposal, name: str) -> Outline:
    """Return the outline of what the learner gets."""
    config = convert(proposal.raw(name))
    outlines = survey(config)
    outline = outlines[config.input_of(config.stage[-1])]
    assert outline is not None
    if outlines[config.source.name] is not None:
        left_out = getattr(outlines[config.source.name], "left_out", {})
        words = ", ".join(f"{n:,} {what}" for what, n in left_out.items() if n)
        if words:
            proposal.said.append(f"Left out: {words}.")
    return outline


def _toml(proposal: Proposal, name: str) -> str:
    """Return the configuration as TOML, with what was said in front."""
    lines = [f"# {line}" for sentence in proposal.said for line in textwrap.wrap(sentence, 118)]
    raw = proposal.raw(name)
    for title, table in (("[run]", raw["run"]), ("[source]", raw["source"])):
        lines += ["", title, *_entries(table)]
    for stage in proposal.stages:
        lines += ["", "[[stage]]", *_entries(stage)]
    return "\n".join(lines) + "\n"


def _entries(table: Mapping[str, Any]) -> Sequence[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
