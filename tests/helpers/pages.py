"""A page that is served by a thread of this process, and what a browser or a stranger gets of it."""

import asyncio
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

from stream_infomax.page.access import Access
from stream_infomax.page.sections import SECTIONS
from stream_infomax.page.server import PageServer

TOKEN = "t" * 43


class Served:
    """A page at work; what is done with what it knows is done in its loop.

    Attributes
    ----------
    address
        Without the token.
    asked
        The commands that came: action, stage, value.
    """

    def __init__(self, watched, port=0, download=None, sections=SECTIONS):
        self.watched, self.asked, self.address = watched, [], ""
        self._port, self._download, self._sections = port, download, sections
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self.do(self._over.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self.page = PageServer(self.watched, self._sections, Access(TOKEN), self._control, self._download)
        self.address = self.page.start("127.0.0.1", self._port)
        self._ready.set()
        await self._over.wait()
        await self.page.stop("The run has finished.")

    async def _control(self, action, stage, value):
        self.asked.append((action, stage, value))
        return [{"text": f"learner: {action} <b>takes effect at frame 7</b>"}]

    def do(self, what, *arguments):
        """Call something in the loop of the page; return what it returns."""

        async def call():
            return what(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    @property
    def url(self):
        return f"{self.address}?token={TOKEN}"

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1].strip("/"))


@contextmanager
def served(watched, **options):
    with Served(watched, **options) as page:
        yield page


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *_):
        return None


def fetch(url, *, data=None, method=None, **headers):
    """Return status, headers and body of an answer, whatever it is."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, method=method, headers=named)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


CONFIG = """
[run]
folder = "run"
checkpoint_every = 8
[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = {frames}
pace = "{pace}"
[[stage]]
name = "learner"
kind = "learner"
block = 16
warmup = 64
"""


def config(folder, frames, pace="fast"):
    path = folder / "pipeline.toml"
    path.write_text(CONFIG.format(frames=frames, pace=pace))
    return path
