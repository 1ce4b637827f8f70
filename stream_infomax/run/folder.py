"""RunFolder: what a run keeps on disk: to be resumed, told from another one and read afterwards.

run.json            the configuration, how it runs, and the summary once it has finished
pipeline.toml       the same configuration, as the services read it
lock                held by the one supervisor of the folder
<service>/          its checkpoints; what it was told while it ran; of a live source, the folder of its journal
recorder/           what was published, where that is kept
<service>.log       what it wrote to stderr
history.csv         every measure of the learning over the run
page.log            what its page wrote to stderr
page.token          the token of its page
filters.png, learning_curve.png
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import tomli_w

from stream_infomax.configuration.compose import MAY_CHANGE
from stream_infomax.configuration.load import RECORDER, Config, ConfigError, to_builtins
from stream_infomax.journal.settings import JOURNAL
from stream_infomax.settings.types import NAME_PATTERN
from stream_infomax.state.lock import HeldError, exclusive, open_lock
from stream_infomax.state.numbered import PAGE, PAGES, ROUNDS
from stream_infomax.state.private import private
from stream_infomax.state.regular import open_regular

FORMAT = 2
IN_PROCESS = "in-process"
Found: TypeAlias = Literal["new", "unfinished", "finished"]

# What a service keeps in its folder and beside it, and what the run writes as a whole; `--fresh` removes no more.
KEPT = re.compile(
    r"(checkpoint-[0-9]+-at-[0-9]+|part-[0-9]+|basis-[\w.-]+-[0-9]+-[0-9a-f]{12})\.safetensors(\.damaged|\.tmp)?"
)
# What a service was told.
OF_COMMANDS = re.compile(r"commands\.jsonl|command-[0-9]+\.safetensors|furthest")
# What a sink has made of the stream, in this folder in its own.
PARTS = "parts"
OF_PARTS = re.compile(r"part-[0-9]+\.(npz|parquet)|\.part-[0-9]+\.(npz|parquet)\.tmp|\.parts\.json(\.tmp)?")
# What a live source accepted, in the folder JOURNAL in its own.
OF_JOURNAL = re.compile(r"part-[0-9]+\.mcap(\.damaged)?|\.part-[0-9]+\.tmp|reserved\.json(\.tmp)?")
# What a guest of a fleet went on from, in the folder ROUNDS in the service's.
OF_ROUNDS = re.compile(r"[0-9]+\.(safetensors|json)(\.tmp)?|furthest")
# Pages of the checkpoints, in the folder PAGES in the service's.
OF_PAGES = re.compile(rf"{PAGE.pattern}(\.tmp)?")
BESIDE = (
    ".log",
    *(f".{end}{lock}" for end in ("outlet", "tap", "control", "labels", "devices") for lock in ("", ".lock")),
)
PAGE_LOG = "page.log"
WHOLE = (PAGE_LOG, "filters.png", "learning_curve.png", "recovery.png", "history.csv", "pipeline.toml", "run.json")
# What is there before a run is.
BEFORE = ("lock", "run.json.tmp", "page.token")


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a run was forked.

    Attributes
    ----------
    run, folder
        Id and folder of the run that it was until then.
    offset
        The first frame of its own.
    changes
        By stage, the settings that are others from there on, in words.
    """

    run: str
    folder: str
    offset: int
    changes: dict[str, list[str]]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What run.json holds.

    Attributes
    ----------
    format
        Of this record.
    id
        Of the run; stands in every status of its services.
    in_process
        Whether all stages run in one process.
    config
        The configuration as plain values.
    summary
        What came of it; None before the end.
    origin
        Where it was forked; None for a run that began by itself.
    """

    format: int
    id: str
    in_process: bool
    config: dict[str, Any]
    summary: dict[str, Any] | None
    origin: Origin | None = None


class RunFolder:
    """The folder of one run.

    Parameters
    ----------
    path
        Made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pipeline = path / "pipeline.toml"
        self.history = path / "history.csv"
        self._record = path / "run.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; it is free again as soon as the process is gone.

        The folder is its user's alone, and so is whatever this process, and those that it starts, write meanwhile.

        Raises
        ------
        ConfigError
            Where another process holds it, or the folder cannot be written.
        """
        with private():
            yield from self._locked()

    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            number = open_lock(self.path / "lock")
            self.path.chmod(0o700)
        except OSError as error:
            raise ConfigError(f"run.folder = {str(self.path)!r}: {error.strerror}") from error
        except ValueError as error:  # a zero byte
            raise ConfigError(f"run.folder = {str(self.path)!r}: {error}") from error
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(number))
            except HeldError as error:
                raise ConfigError(f"run.folder = {str(self.path)!r} is in use by process {error.holder}") from error
            yield

    def open(self, config: Config, in_process: bool, fresh: bool) -> Found:
        """Make the folder ready for `config` and say what is in it.

        Parameters
        ----------
        config
            What is about to run.
        in_process
            Whether it runs in one process.
        fresh
            Remove what an earlier run left behind.

        Raises
        ------
        ConfigError
            Where the folder holds something else than a run, a damaged record, or a run of another configuration
            (names the keys).
        """
        if not self._record.exists() and any(name not in BEFORE for name in _listed(self.path)):
            raise ConfigError(
                f"run.folder = {str(self.path)!r} holds files but no run (run.json); choose an empty or a new one"
            )
        if fresh:
            self.clear()
        record = self._read()
        if record is not None:
            different = _different(record, config, in_process)
            if different and self._has_frames(names_in(record.config)):
                done = "an unfinished" if record.summary is None else "a finished"
                raise ConfigError(
                    f"run.folder = {str(self.path)!r} holds {done} run of another configuration: "
                    f"{'; '.join(different)}. Go back to that, choose another folder, or give --fresh"
                )
            if different:  # nothing is lost
                self._clear(names_in(record.config))
                record = None
        if record is None:
            self.begin(config, in_process)
        _replace(self.pipeline, as_toml(config))
        if record is not None and record.summary is not None:
            return "finished"
        return "unfinished" if record is not None and self._has_frames(names_in(record.config)) else "new"

    def begin(self, config: Config, in_process: bool, origin: Origin | None = None) -> None:
        """Note which run is in the folder."""
        run = secrets.token_hex(8)
        self._write(
            Record(
                format=FORMAT,
                id=run,
                in_process=in_process,
                config=to_builtins(config),
                summary=None,
                origin=origin,
            )
        )

    @property
    def held(self) -> bool:
        """Whether a process holds the folder: the run goes on."""
        try:
            number = os.open(self.path / "lock", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(number)
        return False

    @property
    def record(self) -> Record:
        """What run.json holds. Raises ConfigError where there is none, or a damaged one."""
        record = self._read()
        if record is None:
            raise ConfigError(f"{self.path}: no run in this folder (run.json)")
        return record

    @property
    def id(self) -> str:
        """The id of the run in the folder."""
        return self.record.id

    def summary(self) -> dict[str, Any] | None:
        """Return the summary of a finished run, None before that."""
        return self.record.summary

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Note that the run has finished, and its summary."""
        self._write(msgspec.structs.replace(self.record, summary=dict(summary)))

    def clear(self) -> None:
        """Remove what a run left behind, and nothing else."""
        self._clear(self._names())

    def _names(self) -> set[str]:
        """Return the names under which the run writes, from the record or, where that is damaged, pipeline.toml."""
        try:
            record = self._read()
            return names_in(record.config) if record else set()
        except ConfigError as error:
            try:
                with open_regular(self.pipeline) as file:
                    return names_in(tomllib.load(file))
            except (OSError, ValueError, RecursionError):
                raise ConfigError(
                    f"{self._record} and {self.pipeline}: neither is readable and says what to remove; do it yourself"
                ) from error

    def _has_frames(self, names: Iterable[str]) -> bool:
        """Return whether a checkpoint with frames behind it, or a part of what was published, is there."""
        if any(OF_JOURNAL.fullmatch(kept) for name in names for kept in _listed(self.path / name / JOURNAL)):
            return True
        kept = [match for name in names for match in map(KEPT.fullmatch, _listed(self.path / name)) if match]
        return any(not (match[1].endswith("-at-0") or match[1].startswith("basis")) for match in kept)

    def _clear(self, names: Iterable[str]) -> None:
        """Remove what a run with services and stages of these names writes, and nothing else."""
        for name in names:
            folder = self.path / name
            if folder.is_symlink():
                raise ConfigError(f"{folder} is a symbolic link; nothing is removed through one, do it yourself")
            parts = folder / PARTS
            below = (
                (parts, OF_PARTS),
                (folder / JOURNAL, OF_JOURNAL),
                (folder / PAGES, OF_PAGES),
                (folder / ROUNDS, OF_ROUNDS),
            )
            for place, pattern in (*below, (folder, OF_COMMANDS), (folder, KEPT)):
                if not place.is_symlink():
                    for kept in filter(pattern.fullmatch, _listed(place)):
                        _remove(place / kept)
                    with suppress(OSError):  # it holds something else, or is none
                        place.rmdir()
            for ending in BESIDE:
                _remove(self.path / f"{name}{ending}")
            pictures = re.compile(rf"filters-{re.escape(name)}(\.[\w-]+)?\.png")  # of the stage, or of its streams
            for picture in filter(pictures.fullmatch, _listed(self.path)):
                _remove(self.path / picture)
        for name in WHOLE:
            _remove(self.path / name)

    def _read(self) -> Record | None:
        try:
            with open_regular(self._record) as file:
                content = file.read()
            from stream_infomax.state.nesting import check_json  # brings numpy, which --help does without

            check_json(content)
            record = msgspec.json.decode(content, type=Record)
            if record.format != FORMAT:
                raise ValueError(f"format {record.format}; accepted is format {FORMAT}")
            names_in(record.config)
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise ConfigError(
                f"{self._record}: not readable: {error}. --fresh removes what the run wrote and starts over"
            ) from error
        return record

    def _write(self, record: Record) -> None:
        _replace(self._record, json.dumps(msgspec.to_builtins(record), indent=1) + "\n")


def names_in(config: Mapping[str, Any]) -> set[str]:
    """Return the names under which a run of `config` writes: of its services, inputs and stages.

    Raises
    ------
    ValueError
        Where it is no configuration, or something in it is no name: a path, for example.
    """
    try:
        names = {config["source"].get("name", "source")}
        names |= {table["name"] for table in config["source"].get("inputs", ())}
        for stage in config.get("stage", ()):
            names |= {stage["name"], stage.get("service") or stage["name"]}
        names |= {sink.get("name") or sink["kind"] for sink in config.get("sink", ())}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it holds no configuration") from error
    for name in names:
        if not (isinstance(name, str) and re.search(NAME_PATTERN, name)):
            raise ValueError(f"{name!r} is no name of a service")
    return names | {IN_PROCESS, RECORDER}


def _different(record: Record, config: Config, in_process: bool) -> list[str]:
    """Return one sentence for everything in which a run differs from what is about to run."""
    from stream_infomax.service.checkpoints import differences

    found = differences(record.config, to_builtins(config), MAY_CHANGE)
    recorded = record.config.get("run", {}).get("record", False)
    if config.run.record and not recorded:
        found.append("--save-features was not given there, and what was published before is gone")
    if record.summary is None and recorded and not config.run.record:
        found.append("--save-features was given there, and what is published without it would be missing")
    if record.in_process != in_process:
        found.append("--in-process was given" if in_process else "--in-process was given there, and not now")
    return found


def _listed(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path: Path) -> None:
    """Remove a file or a link; a folder of that name is somebody else's."""
    with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        path.unlink()


def _replace(path: Path, text: str) -> None:
    from stream_infomax.state.file import replacing

    with replacing(path) as file:
        file.write(text.encode())


def as_toml(config: Config) -> str:
    """Return a configuration as the text of a TOML file."""
    return tomli_w.dumps(_without_none(to_builtins(config)))


def _without_none(value: Any) -> Any:
    """TOML has no null; a key that is absent takes its default, which null is for these."""
    if isinstance(value, dict):
        return {key: _without_none(child) for key, child in value.items() if child is not None}
    if isinstance(value, list | tuple):
        return [_without_none(child) for child in value]
    return value
