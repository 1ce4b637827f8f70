"""Pages: a few pages over HTTP, for programs that ask a run how it is. Whoever asks cannot hold the run up.

Each connection has a thread, gets one answer and is closed. There are few at a time, and each ends soon, whatever the
other end does or does not do.
"""

from __future__ import annotations

import gzip
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from stream_infomax import __version__

_log = logging.getLogger(__name__)

# Connections at a time; beyond, the oldest is closed that has asked for nothing yet; without one, the newest.
MOST = 16
# Seconds that a connection takes at most, and within which its end is noticed.
LONGEST, EVERY = 10.0, 0.1
# Seconds between two that are taken, at least: however eagerly somebody asks, little of the run's time goes there.
BETWEEN = 0.05
# Bytes from which on a page is compressed.
WORTH_PACKING = 4096
PLAIN = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """A page: its code, its form, and its bytes."""

    code: int
    form: str
    body: bytes


Pages: TypeAlias = Mapping[str, Callable[[], Answer]]


class Server(ThreadingHTTPServer):
    """Serves pages at an address, from its making on; they are said later.

    Parameters
    ----------
    host, port
        Where; port 0: any that is free.

    Attributes
    ----------
    pages
        By path. Until there are any, whoever asks is told to come again.

    Raises
    ------
    OSError
        Where the address cannot be had.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * MOST

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages: Pages = {}
        self._open: dict[Any, float] = {}
        self._idle: dict[Any, None] = {}
        self._next = 0.0
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(EVERY,), name="metrics", daemon=True)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        self._end(older_than=0.0)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def server_bind(self) -> None:
        """Bind, and look nobody's name up."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, where there are not too many."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + BETWEEN
        with self._guard:
            oldest = next(iter(self._idle), None) if len(self._open) >= MOST else None
            if oldest is not None:
                del self._idle[oldest], self._open[oldest]
            has_room = len(self._open) < MOST
            if has_room:
                self._open[request] = time.monotonic()
                self._idle[request] = None
        if oldest is not None:
            _end(oldest)
        if has_room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._guard:
            self._open.pop(request, None)
            self._idle.pop(request, None)
        super().shutdown_request(request)

    def heard(self, request: Any) -> None:
        """Take note that a connection has asked for something."""
        with self._guard:
            self._idle.pop(request, None)

    def service_actions(self) -> None:
        """End connections that take too long; called every so often."""
        self._end(older_than=LONGEST)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note an error of ours; that a client has gone is none."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("a page could not be made")

    def _end(self, older_than: float) -> None:
        now = time.monotonic()
        with self._guard:
            late = [request for request, since in self._open.items() if now - since >= older_than]
        for request in late:
            _end(request)


def _end(connection: socket.socket) -> None:
    """Have the thread of a connection come to its end."""
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = f"stream_infomax/{__version__}", ""
    timeout = LONGEST

    def do_GET(self) -> None:
        """Send a page."""
        self.server.heard(self.request)
        pages = self.server.pages
        page = pages.get(urlsplit(self.path).path)
        if page is not None:
            answer = page()
        elif pages:
            answer = Answer(404, PLAIN, f"here are {', '.join(pages)}\n".encode())
        else:
            answer = Answer(503, PLAIN, b"the run is about to start\n")
        body = answer.body
        packed = "gzip" in self.headers.get("Accept-Encoding", "").lower() and len(body) >= WORTH_PACKING
        if packed:
            body = gzip.compress(body, 1)
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.form)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Vary", "Accept-Encoding")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  (the name that the library looks for)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing of each scrape."""
