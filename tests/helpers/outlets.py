"""A real outlet of the lab streaming layer, in a process of its own, which does as it is told."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

LONG = 30.0


class Outlet:
    """An outlet in another process: its rows count in their first channel, and have the times of their rate.

    Parameters
    ----------
    name, type, channels, rate, format, source_id
        Of the stream; a rate of 0 makes every sample an event of its own.
    """

    def __init__(self, name: str, *, type="EEG", channels=2, rate=100.0, format="float32", source_id="") -> None:  # noqa: A002
        self.name = name
        settings = [name, type, channels, rate, format, source_id]
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__)), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()

    def push(self, n: int = 10, skip: float = 0.0) -> None:
        """Push rows, after so many seconds of which there are none."""
        self._tell(["push", n, skip])

    def push_texts(self, *texts: str, at: float = 0.0) -> None:
        """Push texts, at a time in seconds since 1970; 0: now."""
        self._tell(["texts", at, *texts])

    def wait_for_listeners(self) -> None:
        self._tell(["wait"])

    def now(self) -> float:
        """Return the time of the next row, in seconds since 1970."""
        return float(self._tell(["now"]))

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        self.process.communicate(timeout=LONG)

    def _tell(self, what: list) -> str:
        self.process.stdin.write(json.dumps(what) + "\n")
        return self._answer()

    def _answer(self) -> str:
        assert select.select([self.process.stdout], [], [], LONG)[0], f"outlet {self.name} says nothing"
        return self.process.stdout.readline().strip()


def main(name: str, kind: str, channels: int, rate: float, form: str, source_id: str) -> None:
    """Be the outlet."""
    import time

    import numpy as np
    import pylsl

    info = pylsl.StreamInfo(name, kind, channels, rate, form, source_id)
    if form != "string":
        info.set_channel_labels([f"c{i}" for i in range(channels)])
        info.set_channel_units("microvolts")
    outlet = pylsl.StreamOutlet(info)
    count, at = 0, pylsl.local_clock()
    print("there", flush=True)
    for line in sys.stdin:
        match json.loads(line):
            case ["push", n, skip]:
                at += skip
                rows = np.zeros((n, channels), int if "int" in form else float)
                rows[:, 0] = np.arange(count, count + n)
                for i in range(n):
                    outlet.push_sample(rows[i].tolist(), at + i / rate if rate else at)
                count, at = count + n, at + (n / rate if rate else 0)
            case ["texts", moment, *texts]:
                for text in texts:
                    outlet.push_sample([text], moment - time.time() + pylsl.local_clock() if moment else 0.0)
            case ["wait"]:
                assert outlet.wait_for_consumers(LONG)
            case ["now"]:
                print(at + time.time() - pylsl.local_clock(), flush=True)
                continue
        print("done", flush=True)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
