"""Reach: whether an address can be reached from other machines."""

from __future__ import annotations

import ipaddress
import socket

from stream_infomax.settings.error import SettingError

# What is refused and what is not; the same words wherever an address is given.
ACCEPTED = "ipc://, tcp://127.0.0.1, or any address with `keys` in [run]; `insecure = true` there lets everyone in"
PROBLEM = "others can reach it, and there are no keys"


def is_within(address: str) -> bool:
    """Return whether an address is for processes of this machine that may write to a file, or of this process."""
    return address.startswith(("ipc://", "inproc://"))


def is_local(address: str) -> bool:
    """Return whether nobody but processes of this machine can reach an address.

    A name counts by all that it stands for. Wildcards, names of interfaces and what cannot be looked up are not local.
    """
    if is_within(address):
        return True
    protocol, _, place = address.partition("://")
    host = place.rpartition(":")[0].strip("[]")
    if protocol != "tcp" or not host or host == "*":
        return False
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        return bool(found) and all(ipaddress.ip_address(one).is_loopback for one in found)
    except (OSError, ValueError):  # a UnicodeError, of a name that cannot be one, is a ValueError
        return False


def check_reach(key: str, address: str, keys: str, insecure: bool) -> None:
    """Raise SettingError where others can reach an address, there are no keys, and nobody says that this is meant."""
    if address and not keys and not insecure and not is_local(address):
        raise SettingError(key, address, ACCEPTED, PROBLEM)
