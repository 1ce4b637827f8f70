"""``stream-infomax run``: run a pipeline to its end, or resume it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

from stream_infomax.run.settings import Changes, Flag, read


def run(
    config: Path,
    *,
    set: Changes = (),  # noqa: A002  (the option's name)
    in_process: Flag = False,
    fresh: Flag = False,
    save_features: Path | None = None,
    plain: Flag = False,
    metrics: str = "",
    page: Flag = False,
) -> int:
    """Run the pipeline that a configuration describes, until its source ends. Ctrl-C stops it; run it again to resume.

    Parameters
    ----------
    config
        The TOML file, or the name of a shipped one (for example photographs).
    in_process
        Run all stages in this process instead of one each; the features are the same to the last bit.
    fresh
        Start over instead of resuming what is in the run folder.
    save_features
        Keep the arrays of all stages but windows in this file: .npz, or .parquet (a table, with pyarrow).
    plain
        Print lines instead of the live view (as where the output is no terminal).
    metrics
        Serve /metrics, /livez and /readyz at this HOST:PORT while the run goes on (run.metrics).
    page
        Show the run in the browser, too, at the address that is printed.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.fleet.folder import is_fleet
    from stream_infomax.run.beside import page_beside
    from stream_infomax.run.feature_files import try_out
    from stream_infomax.run.features import save_features as write_features
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.metrics import served
    from stream_infomax.run.summary import saved_summary
    from stream_infomax.run.summary_text import print_summary
    from stream_infomax.run.whole import carry_on, code_of
    from stream_infomax.settings.extras import require
    from stream_infomax.settings.printable import printable

    if page:
        require("bokeh")
    changes = [*set, *(["run.record=true"] if save_features else []), *([f"run.metrics={metrics}"] if metrics else [])]
    settings = read(config, changes)
    if save_features:
        try_out("--save-features", save_features)
    folder = RunFolder(Path(settings.run.folder))
    shown = printable(str(folder.path))
    with folder.lock(), served(settings) as server:
        if is_fleet(folder.path):
            problem = "holds a fleet; choose another folder, or go on with stream-infomax fleet"
            raise ConfigError(f"run.folder = {str(folder.path)!r} {problem}")
        found = folder.open(settings, in_process, fresh)
        if found == "finished":
            print(f"{shown}: this run has finished; --fresh starts over")
            if save_features:
                write_features(settings, folder, in_process, save_features)
            summary = saved_summary(folder)
            print_summary(summary, save_features)
            return code_of(summary)
        if found == "unfinished":
            print(f"{shown}: resuming")
        title = f"{config} → {folder.path}"
        again = "the same command"
        with page_beside(folder) if page else nullcontext():
            return carry_on(
                *(settings, folder, in_process),
                title=title,
                again=again,
                plain=plain,
                save_features=save_features,
                server=server,
            )
