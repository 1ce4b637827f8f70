"""``stream-infomax join``: learn with a fleet from a box of one's own."""

from __future__ import annotations

import os
import re
import socket
from contextlib import nullcontext
from pathlib import Path

from stream_infomax.run.settings import Changes, Flag, RunError, read

# Seconds for an answer.
PATIENCE = 5.0


def join(
    address: str,
    config: Path,
    *,
    name: str = "",
    keys: Path | None = None,
    server: Path | None = None,
    patience: float = PATIENCE,
    set: Changes = (),  # noqa: A002  (the option's name)
    fresh: Flag = False,
    plain: Flag = False,
    metrics: str = "",
) -> int:
    """Run a pipeline whose learner learns with a fleet, as a guest. Ctrl-C stops it; the same command resumes.

    What it has learnt goes to the fleet, what all have learnt comes back. While nobody answers it learns on alone.

    Parameters
    ----------
    address
        Where the fleet's coordinator is, as RUN/rounds.address says: tcp://HOST:PORT
    config
        The TOML file, or the name of a shipped one (for example photographs).
    name
        Of this box, another one for each, and always the same; by default what the machine is called.
    keys
        The folder of this box's keys, where the fleet has keys; they are allowed there under the box's name.
    server
        The file with the fleet's public key; without it the fleet has the keys of the same folder.
    patience
        Seconds that it waits for an answer (5 without it) before it learns on alone.
    fresh
        Start over instead of resuming what is in the run folder.
    plain
        Print lines instead of the live view (as where the output is no terminal).
    metrics
        Serve /metrics, /livez and /readyz at this HOST:PORT while the run goes on (run.metrics).
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.metrics import served
    from stream_infomax.run.summary import saved_summary
    from stream_infomax.run.summary_text import print_summary
    from stream_infomax.run.whole import carry_on, code_of
    from stream_infomax.service.guests import Visiting
    from stream_infomax.settings.printable import printable
    from stream_infomax.settings.types import NAME_PATTERN
    from stream_infomax.transport.keys import Keys, KeysError, public_key
    from stream_infomax.transport.sockets import RefusedError, StreamError

    name = name or own_name()
    if not re.search(NAME_PATTERN, name):
        raise ConfigError(f"--name {name!r}; accepted are a letter and up to 63 letters, digits, hyphens, underscores")
    if not 0 <= patience < float("inf"):
        raise ConfigError(f"--patience {patience}; accepted are seconds from 0 on")
    if server and not keys:
        raise ConfigError(f"--server {server}: the key of a fleet alone; --keys with this box's own is needed too")
    settings = read(config, [*set, *([f"run.metrics={metrics}"] if metrics else [])])
    try:
        visiting = Visiting(
            name=name,
            rows=settings.fleet.round if settings.fleet else 0,
            address=lambda: address,
            keys=Keys(keys) if keys else None,
            server=public_key(server) if server else "",
            patience=patience,
        )
    except KeysError as error:
        raise ConfigError(str(error)) from error
    folder = RunFolder(Path(settings.run.folder))
    shown = printable(str(folder.path))
    with folder.lock(), served(settings) if metrics else nullcontext() as metered:
        found = folder.open(settings, in_process=True, fresh=fresh)
        if found == "finished":
            print(f"{shown}: this run has finished; --fresh starts over")
            summary = saved_summary(folder)
            print_summary(summary)
            return code_of(summary)
        if found == "unfinished":
            print(f"{shown}: resuming")
        try:
            return carry_on(
                *(settings, folder, True),
                title=f"{config} → {folder.path}, with {printable(address)} as {name}",
                again="the same command",
                plain=plain,
                server=metered,
                joining=visiting,
            )
        except (StreamError, RefusedError) as error:
            raise RunError(printable(str(error))) from error


def own_name() -> str:
    """Return what this machine is called, in the characters of a name."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0])[:64]
