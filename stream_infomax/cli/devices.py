"""``stream-infomax devices``: the inputs of this machine."""

from __future__ import annotations


def devices() -> int:
    """List what this machine can listen to and look at: microphones, cameras, LSL streams."""
    from stream_infomax.run.inputs import listed
    from stream_infomax.settings.printable import printable

    for title, found, problem in listed():
        print(title)
        for line in found or [problem or "none"]:
            print(f"  {printable(line)}")
    return 0
