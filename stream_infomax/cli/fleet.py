"""``stream-infomax fleet``: learn one basis on many machines."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.run.settings import Changes, Flag, read


def fleet(
    config: Path,
    *,
    address: str = "",
    set: Changes = (),  # noqa: A002  (the option's name)
    fresh: Flag = False,
    plain: Flag = False,
) -> int:
    """Learn one basis from all shards of the data, in processes that Ray places. Ctrl-C stops it; again resumes.

    Parameters
    ----------
    config
        The TOML file with a table [fleet], or the name of a shipped one (for example fleet).
    address
        Of the Ray cluster; without one a Ray of this machine starts and ends with the fleet.
    fresh
        Start over instead of resuming what is in the run folder.
    plain
        Print lines instead of the live view (as where the output is no terminal).
    """
    from stream_infomax.settings.extras import require

    require("ray")
    from stream_infomax.fleet.whole import run_fleet

    return run_fleet(read(config, set), title=str(config), address=address, fresh=fresh, plain=plain)
