"""Access: who may see the page: whoever has its token, in a cookie that only this page's own scripts send."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from stream_infomax.state.private import private
from stream_infomax.state.regular import open_regular

TOKEN = re.compile(r"[A-Za-z0-9_-]{32,64}")
# The file in a run folder.
FILE = "page.token"
NO_TOKEN = "This page needs its token. Open the address that the command printed, with ?token=…"


def token_in(folder: Path | None) -> str:
    """Return the token that is kept in a folder; a new one where there is none, or no folder.

    A server that is started again has the same one, and pages that are open go on.

    Raises
    ------
    OSError
        Where it cannot be read or kept.
    """
    new = secrets.token_urlsafe(32)
    if folder is None:
        return new
    path = folder / FILE
    try:
        with open_regular(path, follow=False) as file:
            kept = file.read(100).decode("ascii", "replace").strip()
        if TOKEN.fullmatch(kept) and not path.stat().st_mode & 0o077:
            return kept
        path.unlink()  # others could read it, or it is none
    except FileNotFoundError:
        pass
    with private(), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(f"{new}\n")
    return new


class Access:
    """Who gets in.

    Parameters
    ----------
    token
        Whoever has it.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.named(0)

    def named(self, port: int) -> None:
        """Take the name and the value of the cookie from the port: a server that is started again has the same.

        A browser sends the cookies of a host to all its ports: pages of several runs are not to take theirs from each
        other, and whoever serves at another port, or at this one later, is not sent the token.
        """
        self.cookie = f"stream-infomax-{port}"
        self.value = hmac.new(self.token.encode(), f"cookie of port {port}".encode(), hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Return whether this is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def refusal(self, request: HTTPServerRequest) -> str:
        """Return why a request is refused; empty where it is not."""
        cookie = request.cookies.get(self.cookie)
        if cookie is None or not hmac.compare_digest(cookie.value.encode(), self.value.encode()):
            return NO_TOKEN
        # A browser says from which page a request comes: no page but our own may ask for anything.
        origin = request.headers.get("Origin")
        if origin is not None and _host_of(origin) != request.host.lower():
            return "This request comes from another page."
        return ""


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # it is no address
        return None


class Quiet(RequestHandler):
    """Answers strangers: whatever is wrong with what they ask, they get a sentence, and nothing is written down."""

    def check_xsrf_cookie(self) -> None:
        """Let everything through: nobody gets anything here."""

    def log_exception(self, *_: Any) -> None:
        """Write nothing: a stranger is not to fill the disk."""

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say the one sentence instead of what tornado says."""
        refuse(self, NO_TOKEN)


class Enter(Quiet):
    """Takes the token from the address and keeps it as a cookie: it is not in what a browser remembers or sends on."""

    def initialize(self, access: Access) -> None:
        """Take over who gets in."""
        self.access = access

    def get(self) -> None:
        """Set the cookie and go to the page, or refuse."""
        token = self.get_query_argument("token", "")
        if not self.access.is_token(token):
            refuse(self, "The token in this address is not that of this page. It may be an older one.")
            return
        self.set_cookie(self.access.cookie, self.access.value, httponly=True, samesite="Strict", path="/")
        _ = self.xsrf_token  # sets its cookie
        self.redirect(self.request.path)


class Refused(Quiet):
    """Answers whoever is not let in."""

    def initialize(self, text: str, status: int = 403) -> None:
        """Take over what is said."""
        self.text, self.status = text, status

    def prepare(self) -> None:
        """Say it, whatever was asked for."""
        refuse(self, self.text, self.status)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say it to methods that nobody knows, too."""
        refuse(self, self.text, self.status)


def refuse(handler: RequestHandler, text: str, status: int = 403) -> None:
    """Answer with a sentence as plain text, and nothing of the run."""
    handler.set_status(status)
    handler.set_header("Content-Type", "text/plain; charset=utf-8")
    handler.finish(f"{text}\n")
