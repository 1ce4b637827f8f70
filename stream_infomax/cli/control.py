"""``stream-infomax control``: tell a run that goes on what to do."""

from __future__ import annotations

from pathlib import Path

from stream_infomax.settings.printable import printable


def control(
    run: Path,
    action: str,
    value: str = "",
    /,
    *,
    stage: str = "",
    keys: Path | None = None,
    server: Path | None = None,
) -> int:
    """Tell a run that goes on what to do. Each service says from which frame on it holds.

    Actions are pause and resume (of learning), hold (encode, and learn nothing until resume), undo VERSION (go back to
    a basis, by its version on the frames or four digits of it), mark TEXT (label the next frame), and save (write a
    checkpoint now). A command is kept with the run: resumed, verified or replayed, the run comes to the same bits.

    Parameters
    ----------
    run
        The folder of a run; or a configuration file with the addresses of one on another machine.
    action
        pause, resume, hold, undo, mark or save.
    value
        Of undo the version, of mark the text.
    stage
        The stage that is meant (default: every one that it concerns).
    keys
        The folder of your keys, where the run has keys (default: what the configuration names).
    server
        The file with the run's public key; without it the run has the keys of the same folder.
    """
    from stream_infomax.run.control import control as tell
    from stream_infomax.run.place import place_of

    answers = tell(place_of(run, keys, server), action, stage, value)
    for answer in answers:
        print(printable(f"{answer.service}: {answer.problem or _done(action, answer.offset)}"))
    return int(any(answer.problem for answer in answers))


def _done(action: str, offset: int) -> str:
    if action == "save":
        return f"a checkpoint of all before frame {offset:,} is on disk"
    return f"{action} from frame {offset:,} on" if action != "mark" else f"frame {offset:,} is marked"
