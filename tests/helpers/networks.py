"""A network of its own on this machine: a namespace with nothing but its loopback, which can be cut and slowed down."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_numbers = count()


def reason() -> str:
    """Return why no network can be made here, or nothing."""
    if not (shutil.which("ip") and shutil.which("tc")):
        return "ip and tc (iproute2) are not installed"
    if os.geteuid():
        return "network namespaces need root"
    name = f"infomax{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "this kernel makes no network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Network:
    """A network namespace.

    Attributes
    ----------
    prefix
        What stands before a command that runs in it.
    """

    def __init__(self, name: str) -> None:
        self.prefix = ("ip", "netns", "exec", name)

    def _tc(self, *words: str) -> None:
        done = subprocess.run([*self.prefix, "tc", "qdisc", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"tc qdisc {' '.join(words)}: {done.stderr.strip()}")

    def cut(self) -> None:
        """Let no packet through from now on, without a word to anyone."""
        self._tc("add", "dev", "lo", "root", "blackhole")

    def mend(self) -> None:
        """Let all packets through again."""
        self._tc("del", "dev", "lo", "root")

    def delay(self, seconds: float) -> None:
        """Hold every packet back; raises OSError where the kernel has no netem."""
        self._tc("add", "dev", "lo", "root", "netem", "delay", f"{1000 * seconds:.0f}ms")


@contextmanager
def network() -> Iterator[Network]:
    """Make a network; it goes with the block."""
    name = f"infomax{os.getpid()}-{next(_numbers)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield Network(name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
