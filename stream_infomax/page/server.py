"""PageServer: the page over HTTP: bokeh's server behind a gate that lets nothing out without the token."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.util.token import get_session_id
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import GZipContentEncoding, OutputTransform, RequestHandler, StaticFileHandler

from stream_infomax.page.access import Access, Enter, Refused, refuse
from stream_infomax.page.connection import Together
from stream_infomax.page.document import STATIC, Viewer
from stream_infomax.page.section import Section
from stream_infomax.page.watched import Watched

# Sessions at a time; one of a page that was closed lives on for some seconds.
MOST_SESSIONS = 16
# Of what is sent to viewers, from 1 (quick) to 9: half of it are words that have come before.
COMPRESSION = 1
# Bytes that a viewer may send in one go.
MOST_BYTES = 1 << 18
# Seconds that a last word has to arrive, and a connection to be closed from both sides.
FAREWELL = 0.2
# Where the page is by default, and how many further ports are tried where that is taken.
PORT, PORTS = 5006, 32

# What makes a session where there is none.
MAKES_SESSIONS = ("/", "/ws", "/autoload.js")
NOTHING = "There is nothing of that name, or nothing yet."
# From which level on loggers speak that would write a line for requests that anybody may send, or a traceback with a
# message of a browser: the answer says what is wrong.
LEVELS = {"tornado.general": logging.ERROR, "bokeh.server": logging.ERROR, "bokeh.server.views.ws": logging.CRITICAL}

# What is sent with every answer: nothing is loaded from elsewhere, nothing is kept, no other page has it in a frame.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "stream_infomax",
}

# What a person asked for: action, stage, value; the answers, a `text` each.
Control: TypeAlias = Callable[[str, str, str], Awaitable[list[dict[str, str]]]]
# The file name, content type and bytes of what is behind a path; None where there is nothing.
Download: TypeAlias = Callable[[str], Awaitable[tuple[str, str, bytes] | None]]

_log = logging.getLogger(__name__)


class PageServer:
    """Serves the page of one run.

    Parameters
    ----------
    watched
        What is known of the run.
    sections
        What each viewer's page has, in this order.
    access
        Who gets in.
    control
        Does what a person asks of the run; None where nothing can be asked of it.
    download
        Makes what is downloaded.
    """

    def __init__(
        self,
        watched: Watched,
        sections: Sequence[type[Section]],
        access: Access,
        control: Control | None = None,
        download: Download | None = None,
    ) -> None:
        self.watched = watched
        self.sections = sections
        self.access = access
        self.control = control
        self.download = download
        # Another one after each start: pages that were open know that they have to load again.
        self.life = secrets.token_hex(8)
        self.viewers: set[Viewer] = set()
        self._server: BaseServer | None = None
        self._http: HTTPServer | None = None

    @property
    def looked_at(self) -> bool:
        """Whether anybody looks."""
        return any(viewer.looks for viewer in self.viewers)

    def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve on the loop that runs; return the address without the token.

        Parameters
        ----------
        host
            Name or address to bind.
        port
            0: the first that is free from 5006 on.

        Raises
        ------
        OSError
            Where it cannot be bound.
        """
        for name, level in LEVELS.items():
            logging.getLogger(name).setLevel(level)
        bound, port = _bound(host, port)
        self.access.named(port)
        application = Gate(self)
        http = self._http = HTTPServer(
            application, max_header_size=1 << 15, max_body_size=MOST_BYTES, idle_connection_timeout=300
        )
        http.add_socket(bound)
        self._server = BaseServer(IOLoop.current(), application, http)
        self._server.start()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/"

    async def stop(self, words: str) -> None:
        """Tell the viewers why it ends, then end."""
        for viewer in list(self.viewers):
            viewer.goodbye(words)
        if self._server is None or self._http is None:
            return
        await asyncio.sleep(FAREWELL)  # what was said is on its way
        application = self._server._tornado
        connections = list(application._clients)
        self._server.stop(wait=False)
        for connection in connections:  # bokeh leaves them open
            connection._socket.close(1001, words)
        await asyncio.sleep(FAREWELL)
        await self._http.close_all_connections()

    def modify(self, document: Document) -> None:
        """Make the document of a new viewer."""
        viewer = Viewer(document, self.watched, [section(self.watched) for section in self.sections], self.life)
        self.viewers.add(viewer)
        document.on_session_destroyed(lambda context: self.viewers.discard(viewer))


class Gate(BokehTornado):
    """Bokeh's application; whoever has no token gets nothing of it, whatever address is asked for."""

    def __init__(self, page: PageServer) -> None:
        self.page = page
        # Gate.find_handler checks the origin: it knows the name under which the page was asked for.
        super().__init__(
            {"/": Application(FunctionHandler(page.modify, trap_exceptions=False))},
            extra_websocket_origins=["*", "*:*"],
            extra_patterns=[
                (r"/page/(.*)", StaticFileHandler, {"path": str(STATIC)}),
                (r"/alive", Alive, {"page": page}),
                (r"/control", Ask, {"page": page}),
                (r"/(download/[a-z.]+|sound/.+\.wav)", Fetch, {"page": page}),
            ],
            use_index=False,
            websocket_max_message_size_bytes=MOST_BYTES,
            websocket_compression_level=COMPRESSION,
            websocket_compression_mem_level=COMPRESSION,
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"samesite": "Strict"},
            include_headers=[],
            include_cookies=[],
            log_function=lambda handler: None,
            transforms=[GZipContentEncoding, Guarded],
        )

    def new_connection(self, protocol: Any, socket: Any, application_context: Any, session: Any) -> Together:
        """Return the connection of a browser."""
        connection = Together(protocol, socket, application_context, session)
        self._clients.add(connection)
        return connection

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what answers a request."""
        page = self.page
        if request.path == "/" and "token" in request.query_arguments:
            return self.get_handler_delegate(request, Enter, {"access": page.access})
        if text := page.access.refusal(request):
            return self.get_handler_delegate(request, Refused, {"text": text})
        session = _session_of(request) if request.path == "/ws" else ""
        if request.path == "/ws" and not session:
            return self.get_handler_delegate(request, Refused, {"text": "No session is named.", "status": 400})
        if request.path in MAKES_SESSIONS and self._is_full(session):
            text = f"{MOST_SESSIONS} viewers look at this page already; close one, and load again in a minute."
            return self.get_handler_delegate(request, Refused, {"text": text, "status": 503})
        if "%00" in request.path:  # no file has such a name, and the system takes it for an error
            return self.get_handler_delegate(request, Refused, {"text": NOTHING, "status": 404})
        return super().find_handler(request, **kwargs)

    def _is_full(self, session: str) -> bool:
        """Return whether there is no room for one more look; a session that is there already has its room."""
        sessions = {one.id for one in self.get_sessions("/")}
        is_over = bool(session) and len(self._clients) >= MOST_SESSIONS
        return is_over or (session not in sessions and len(sessions) >= MOST_SESSIONS)


def _session_of(request: HTTPServerRequest) -> str:
    """Return of which session a websocket says that it is, which a browser may make up; empty where it says nothing."""
    _, _, token = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")
    try:
        return str(get_session_id(token.strip()))
    except (ValueError, KeyError, TypeError):
        return ""


class Guarded(OutputTransform):
    """Sends `HEADERS` with every answer."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._keep = request.path.startswith("/static/")

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add them."""
        for name, value in HEADERS.items():
            headers[name] = value
        if not self._keep or status_code >= 400:
            headers["Cache-Control"] = "no-store"
        return status_code, headers, chunk


class _OfPage(RequestHandler):
    def initialize(self, page: PageServer) -> None:
        """Take over the page."""
        self.page = page


class Alive(_OfPage):
    """Answers whether the server is there, and which life it has."""

    def get(self) -> None:
        """Say so."""
        self.write({"life": self.page.life})


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks of the run."""

    action: str
    stage: str = ""
    value: str = ""


class Ask(_OfPage):
    """Passes on what a person asks of the run. Tornado checks that our own page has sent it (XSRF)."""

    async def post(self) -> None:
        """Answer what the services answered."""
        if self.page.control is None:
            refuse(self, "This run takes no commands here.", 409)
            return
        try:
            asked = msgspec.json.decode(self.request.body, type=Asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            refuse(self, f"Not understood: {error}", 400)
            return
        self.write({"answers": await self.page.control(asked.action, asked.stage, asked.value)})


class Fetch(_OfPage):
    """Sends something to be kept: a sound, a picture, arrays, the configuration."""

    async def get(self, name: str) -> None:
        """Send it."""
        found = await self.page.download(name) if self.page.download is not None else None
        if found is None:
            refuse(self, NOTHING, 404)
            return
        name, kind, content = found
        self.set_header("Content-Type", kind)
        if not kind.startswith("audio/"):
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(content)


def _bound(host: str, port: int) -> tuple[socket.socket, int]:
    """Return a socket bound to a port, and which it is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(PORTS):
        try:
            found = socket.create_server((host, port or PORT + number), family=family, backlog=128)
        except OSError as error:
            if port or number == PORTS - 1:
                where = f"{host}:{port or PORT}"
                # Python's own text has the address, too.
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                raise OSError(error.errno, f"cannot serve the page at {where}: {why}") from None
        else:
            found.setblocking(False)
            return found, port or PORT + number
    raise AssertionError
