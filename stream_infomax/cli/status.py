"""``stream-infomax status``: how a run is, and what became of all that it has accepted."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.run.settings import Flag
from stream_infomax.settings.printable import as_json


def status(run: Path, *, streams: Flag = False, json: Flag = False) -> int:
    """Say how a run is: how far, what was lost, and what became of all that each place has accepted.

    Reads the statuses of a run that goes on, and the checkpoints of one that does not.

    Parameters
    ----------
    run
        The run's folder; of a fleet each shard is shown, and what became of all that all have accepted.
    streams
        Show each stream, too; of more than 64 the largest, and the others together.
    json
        Print one JSON object instead, for other programs.
    """
    from stream_infomax.fleet.folder import is_fleet
    from stream_infomax.fleet.summary import standings
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.standing import standing
    from stream_infomax.run.standing_table import print_standing

    going_on, services = standings(run) if is_fleet(run) else standing(RunFolder(run))
    if json:
        print(as_json({"running": going_on, "services": services}))
    else:
        print_standing(str(run), going_on, services, streams=streams)
    return 0
