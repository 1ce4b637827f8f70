"""RunFolder: what a run keeps on disk, so that it can be resumed, told from another one and read afterwards.

run.json            the configuration, how it runs, and the summary once it has finished
pipeline.toml       the same configuration, as the services read it
lock                held by the one supervisor of the folder
<service>/          its checkpoints
recorder/           what was published, where that is kept
    <service>.log       what it wrote to stderr
history.csv         every measure of the learning over the run
filters.png, learning_curve.png
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import tomli_w

from stream_infomax.configuration.compose import MAY_CHANGE
from stream_infomax.configuration.load import RECORDER, Config, ConfigError, to_builtins

FORMAT = 1
IN_PROCESS = "in-process"


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

        Raises
        ------
        ConfigError
            Where another process holds it, or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+")
        except OSError as error:
            raise ConfigError(f"run.folder = {str(self.path)!r}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ConfigError(
                    f"run.folder = {str(self.path)!r} is in use by process {file.read().strip() or 'unknown'}"
                ) from error
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def open(self, config: Config, in_process: bool, fresh: bool) -> Literal["new", "unfinished", "finished"]:
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
            Where the folder holds something else than a run, or a run of another configuration (names the keys).
        """
        record = self._read()
        if record is None and any(entry.name not in ("lock", "run.tmp") for entry in self.path.iterdir()):
            raise ConfigError(
                f"run.folder = {str(self.path)!r} holds files but no run (run.json); choose an empty or a new one"
            )
        if record is not None and fresh:
            self._clear(record["config"])
            record = None
        if record is None:
            self._write({"format": FORMAT, "in_process": in_process, "config": to_builtins(config), "summary": None})
        else:
            self._compare(record, config, in_process)
        settings = _without_none(to_builtins(config))
        self.pipeline.write_text(tomli_w.dumps(settings), encoding="utf-8")
        if record is None:
            return "new"
        return "unfinished" if record["summary"] is None else "finished"

    def summary(self) -> dict[str, Any] | None:
        """Return the summary of a finished run, None before that."""
        record = self._read()
        return None if record is None else record["summary"]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Note that the run has finished, and its summary."""
        record = self._read()
        if record is None:
            raise ConfigError(f"run.folder = {str(self.path)!r}: its run.json is gone")
        self._write({**record, "summary": dict(summary)})

    def _compare(self, record: Mapping[str, Any], config: Config, in_process: bool) -> None:
        from stream_infomax.service.checkpoints import differences

        # Both through JSON, so that tuples and lists are the same.
        current = json.loads(json.dumps(to_builtins(config)))
        found = differences(record["config"], current, MAY_CHANGE)
        if config.run.record and not record["config"]["run"]["record"]:
            found.append("--save-features was not given there, and what was published before is gone")
        if record["summary"] is None and record["config"]["run"]["record"] and not config.run.record:
            found.append("--save-features was given there, and what is published without it would be missing")
        if record["in_process"] != in_process:
            found.append("--in-process was given" if in_process else "--in-process was given there, and not now")
        if found:
            done = "an unfinished" if record["summary"] is None else "a finished"
            raise ConfigError(
                f"run.folder = {str(self.path)!r} holds {done} run of another configuration: {'; '.join(found)}. "
                f"Go back to that, choose another folder, or give --fresh"
            )

    def _clear(self, config: Mapping[str, Any]) -> None:
        """Remove what a run of `config` writes, and nothing else that a person may have put there."""
        stages = config.get("stage", [])
        services = {
            config["source"]["name"],
            *(stage["service"] or stage["name"] for stage in stages),
            IN_PROCESS,
            RECORDER,
        }
        for service in services:
            shutil.rmtree(self.path / service, ignore_errors=True)
            for ending in ("log", "outlet", "outlet.lock", "tap", "tap.lock"):
                (self.path / f"{service}.{ending}").unlink(missing_ok=True)
        for name in ("learning_curve.png", "recovery.png", "history.csv", "pipeline.toml", "run.json"):
            (self.path / name).unlink(missing_ok=True)
        for picture in self.path.glob("filters*.png"):
            picture.unlink()

    def _read(self) -> dict[str, Any] | None:
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{self._record}: not readable: {error}") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ConfigError(f"{self._record}: not readable: accepted is format {FORMAT}")
        return record

    def _write(self, record: Mapping[str, Any]) -> None:
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._record)


def _without_none(value: Any) -> Any:
    """TOML has no null; a key that is absent takes its default, which null is for these."""
    if isinstance(value, dict):
        return {key: _without_none(child) for key, child in value.items() if child is not None}
    if isinstance(value, list | tuple):
        return [_without_none(child) for child in value]
    return value
