"""Keys: who gets in at an address that others can reach, by CURVE.

A folder holds a pair of keys and the public keys of those who are allowed in, in the certificates of pyzmq::

    own.public          to be given to others
    own.secret          nobody else's
    allowed/NAME.public

Whoever has a pair of the folder may read under any name, others under their own. A key that is taken away is refused
at its next connection and at its next request.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.utils import z85

from stream_infomax.settings.printable import printable
from stream_infomax.settings.reach import is_local, is_within
from stream_infomax.settings.types import NAME_PATTERN
from stream_infomax.state.private import private

PUBLIC, SECRET, ALLOWED = "own.public", "own.secret", "allowed"
ENDING = ".public"
# Whoever has the pair of the folder; no name of a key has this form.
OWN = "*"
DOMAIN = b"stream_infomax"
# Of a key in Z85.
LENGTH = 40
# What a file of a certificate takes at most.
LONGEST = 4096

_log = logging.getLogger(__name__)


class KeysError(ValueError):
    """A folder of keys, or a key, that cannot be used."""


class Keys:
    """The keys in a folder.

    Parameters
    ----------
    folder
        As `new` made it.

    Raises
    ------
    KeysError
        Where it is none, or others can read what is secret.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        _check_private(self.folder, "a folder of keys, as `stream-infomax keys new` makes it")
        _check_private(self.folder / SECRET, "a file with the pair of keys")
        public, secret = _certificate(self.folder / SECRET)
        if secret is None:
            raise KeysError(f"{self.folder / SECRET}: no secret key in it")
        self.public = public
        # Connections that were refused, by reason.
        self.refused: Counter[str] = Counter()
        self._secret = secret
        self._owners: dict[str, _Owner] = {}

    def owner(self, key: str) -> str | None:
        """Return who has a public key, by the name under which it is allowed; None where it is not."""
        if key == self.public:
            return OWN
        known = self._owners.get(key)
        if known is None or known.mark != _mark(self.folder / ALLOWED / f"{known.name}{ENDING}"):
            self._owners = self._read()
            known = self._owners.get(key)
        return known.name if known else None

    def allowed(self) -> dict[str, str]:
        """Return the keys that are allowed, by their names."""
        return {owner.name: key for key, owner in self._read().items()}

    def serve(self, socket: zmq.Socket[Any]) -> None:
        """Let a socket, before it is bound, take only connections whose keys are allowed; see `answering`."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # where nobody answers, nobody gets in

    def call(self, socket: zmq.Socket[Any], address: str, server: str = "") -> None:
        """Let a socket, before it is connected, show these keys to the server that has the key `server`.

        Parameters
        ----------
        server
            A public key; empty: that of this folder.
        """
        if not is_within(address):
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret.encode())
            socket.setsockopt(zmq.CURVE_SERVERKEY, (server or self.public).encode())

    @contextmanager
    def answering(self, context: zmq.Context[Any]) -> Iterator[None]:
        """Say of each connection to sockets of `context` whether it is allowed, in a thread, until the block ends."""
        from zmq.auth.thread import ThreadAuthenticator  # brings asyncio, which a run without keys does without

        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve_callback(DOMAIN.decode(), self)
        try:
            yield
        finally:
            authenticator.stop()

    def callback(self, domain: str, key: bytes) -> bool:
        """Return whether a connection with this key is allowed; the authenticator's thread asks."""
        if self.owner(key.decode()) is not None:
            return True
        self.refused["key"] += 1
        if self.refused["key"] == 1:  # the count says the rest
            _log.warning("a connection is refused: its key %s is not allowed", key.decode())
        return False

    def _read(self) -> dict[str, _Owner]:
        found = {}
        for path in sorted((self.folder / ALLOWED).glob(f"*{ENDING}")):
            name = path.name.removesuffix(ENDING)
            try:
                if re.search(NAME_PATTERN, name):
                    mark = _mark(path)
                    found[_certificate(path)[0]] = _Owner(name, mark)
            except KeysError as error:
                _log.warning("%s: passed over", error)
        return found

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.folder,)


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who has a key, and what tells whether the file that says so is still the same."""

    name: str
    mark: tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """Who gets in at the sockets that a process binds.

    Attributes
    ----------
    keys
        Guard every address that others can reach; None: there are none.
    insecure
        Whether such an address may be bound without keys.
    """

    keys: Keys | None = None
    insecure: bool = False

    @classmethod
    def of(cls, folder: str, insecure: bool = False) -> Self:
        """Return what settings say. Raises KeysError."""
        return cls(Keys(folder) if folder else None, insecure)

    def refusals(self) -> Counter[str]:
        """Return how many connections were refused because of their keys, by reason."""
        return Counter(self.keys.refused if self.keys is not None else {})

    def admits(self, address: str) -> bool:
        """Return whether an address may be bound."""
        return self.keys is not None or self.insecure or is_local(address)

    def guard(self, socket: zmq.Socket[Any], address: str) -> Keys | None:
        """Make a socket ready to be bound, and return the keys that guard it; None where none do."""
        if self.keys is None or is_within(address):
            return None
        self.keys.serve(socket)
        return self.keys

    @contextmanager
    def answering(self, context: zmq.Context[Any]) -> Iterator[None]:
        """Answer for the keys, where there are any."""
        if self.keys is None:
            yield
        else:
            with self.keys.answering(context):
                yield


# Nobody but processes of this machine.
LOCAL = Access()


def public_key(place: str | Path) -> str:
    """Return the public key in a file. Raises KeysError."""
    return _certificate(Path(place))[0]


def new(folder: Path) -> Keys:
    """Make a folder of keys with a new pair. Raises KeysError where there is one already."""
    if (folder / SECRET).exists() or (folder / PUBLIC).exists():
        raise KeysError(f"{folder} has a pair of keys already; remove it, or choose another folder")
    with private():
        (folder / ALLOWED).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        public, secret = create_certificates(folder, "own")
        Path(secret).rename(folder / SECRET)
        Path(public).rename(folder / PUBLIC)
    return Keys(folder)


def allow(keys: Keys, place: Path, name: str) -> None:
    """Allow the public key in a file, under a name that no other key has."""
    if not re.search(NAME_PATTERN, name):
        raise KeysError(f"name {name!r}; accepted are a letter and up to 63 letters, digits, hyphens and underscores")
    key, allowed = public_key(place), keys.allowed()
    if key == keys.public:
        raise KeysError(f"{place}: that is the key of {keys.folder} itself, which may do everything")
    for other, theirs in allowed.items():
        if other == name or theirs == key:
            raise KeysError(f"{keys.folder}: {other!r} is allowed already; revoke it first")
    path = keys.folder / ALLOWED / f"{name}{ENDING}"
    with private():
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="ascii") as file:
            file.write(f'metadata\ncurve\n    public-key = "{key}"\n')
        temporary.replace(path)


def revoke(keys: Keys, name: str) -> None:
    """Take a key away. Raises KeysError where there is none of that name."""
    allowed = sorted(keys.allowed())
    if name not in allowed:
        raise KeysError(f"{keys.folder}: no key is called {name!r}; there are {', '.join(allowed) or 'none'}")
    (keys.folder / ALLOWED / f"{name}{ENDING}").unlink()


def show(socket: zmq.Socket[Any], address: str, keys: str | Path, server: str | Path) -> None:
    """Let a socket, before it is connected, show the keys in a folder to a server.

    Parameters
    ----------
    keys
        The folder; empty: there are no keys.
    server
        The file with the server's public key; empty: the server has the keys of the same folder.

    Raises
    ------
    KeysError
        Where the keys cannot be used.
    """
    if keys:
        Keys(keys).call(socket, address, public_key(server) if server else "")
    elif server:
        raise KeysError(f"{server}: the key of a server alone; a folder with one's own keys is needed too")


def _check_private(path: Path, what: str) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise KeysError(f"{path}: not {what}: {error.strerror}") from error
    if found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid()):
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise KeysError(
            f"{path}: others can read it (mode {stat.S_IMODE(found.st_mode):o}, owner {found.st_uid}); "
            f"accepted is mode {mode} of one's own: chmod {mode} {path}"
        )


def _certificate(path: Path) -> tuple[str, str | None]:
    """Return the public and the secret key in a file."""
    try:
        if path.stat().st_size > LONGEST:
            raise ValueError(f"more than {LONGEST} bytes")
        public, secret = load_certificate(path)
        found = public.decode("ascii"), secret.decode("ascii") if secret is not None else None
        for key in found:
            if key is not None and len(z85.decode(key)) != 32:
                raise ValueError(f"a key has {LENGTH} characters")
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise KeysError(printable(f"{path}: no certificate with a key: {error}")) from error
    return found


def _mark(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced; nothing where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
