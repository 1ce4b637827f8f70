"""A relay between two sockets of TCP that holds every byte back: a long way on one machine."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class _Relay:
    def __init__(self, port: int, delay: float) -> None:
        self._port = port
        self._delay = delay
        self.ends: set[asyncio.StreamWriter] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect whoever comes with the other end."""
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            self.ends |= {writer, back}
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                loop.call_later(self._delay, _write, writer, data)
        loop.call_later(self._delay, writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@contextmanager
def relay(port: int, delay: float) -> Iterator[int]:
    """Give the port at which `port` is reached with a delay of some seconds each way."""
    loop = asyncio.new_event_loop()
    made = _Relay(port, delay)
    server = loop.run_until_complete(asyncio.start_server(made.take, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:

        async def close() -> None:
            server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in made.ends:
                end.transport.abort()
            await asyncio.gather(*(end.wait_closed() for end in made.ends), return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
