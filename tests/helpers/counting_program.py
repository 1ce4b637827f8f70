"""A program that counts on disk to a number, from where its last life came to; what a fleet places, without a fleet."""

import os
import signal
import sys
import time
from pathlib import Path

from stream_infomax.service.parent import end_with_parent


def main(name: str, folder: Path, until: int, code: int) -> None:
    end_with_parent()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    counted = folder / f"{name}.counted"
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    print("READY", name, flush=True)
    number = int(counted.read_text()) if counted.exists() else 0
    while not stopped and (number < until or (folder / "hold").exists()):
        number += 1
        counted.with_suffix(".tmp").write_text(str(number))
        counted.with_suffix(".tmp").replace(counted)
        time.sleep(0.01)
    if code:
        print("it cannot go on", file=sys.stderr)
        sys.exit(code)
    if not stopped:
        print("FINISHED", name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
