"""``stream-infomax record``: write down what a live source gives, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from stream_infomax.run.settings import Changes, Flag, read


def record(config: Path, *, to: Path | None = None, set: Changes = (), plain: Flag = False) -> int:  # noqa: A002
    """Keep what a live source gives in a journal, without learning from it. Ctrl-C stops it; again, it goes on.

    The journal is a folder of MCAP files, which Foxglove opens. Nothing of it is removed unless `source.journal.keep`
    or `keep_seconds` are set here. `replay`, `export` and sources of kind `journal` read it.

    Parameters
    ----------
    config
        The TOML file, or the name of a shipped one; only its source counts.
    to
        The folder; by default that of the run, with -recorded behind.
    plain
        Print lines instead of the live view (as where the output is no terminal).
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.configuration.load import convert, to_builtins
    from stream_infomax.journal.settings import JOURNAL
    from stream_infomax.run.folder import IN_PROCESS, RunFolder
    from stream_infomax.run.metrics import served
    from stream_infomax.run.settings import check
    from stream_infomax.run.whole import carry_on
    from stream_infomax.settings.printable import printable

    given = read(config, ("source.journal.enabled=true", "source.journal.keep=0", *set))
    raw = to_builtins(given)
    raw["run"] |= {"folder": str(to or f"{given.run.folder}-recorded"), "record": False}
    source = convert({"run": raw["run"], "source": raw["source"]}, str(config))
    check(source)
    folder = RunFolder(Path(source.run.folder))
    place = folder.path / IN_PROCESS / JOURNAL
    with folder.lock(), served(source) as server:
        if folder.open(source, True, fresh=False) == "finished":
            print(printable(f"{place}: this recording has come to its end; --to names another folder"))
            return 0
        title = f"{config} → {place}"
        code = carry_on(source, folder, True, title=title, again="the same command", plain=plain, server=server)
    print(printable(f"{place}: the recording"))
    return code
