"""Listener: from the taps of a run's services to what the page knows of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.frame import FrameError
from stream_infomax.page.watched import Watched
from stream_infomax.transport import bases, messages
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import receive, set_options, without_heartbeats
from stream_infomax.transport.tap import BASIS, INPUT, SAMPLED, STATUS

# Seconds between two looks at the sockets, while somebody looks at the page and while nobody does: to wake up for each
# message would take most of the time.
EVERY, UNSEEN = 0.1, 0.5
# Messages of a service that are taken in one go, and that wait for it; what is more is passed over.
MOST = 256


class Listener:
    """Listens to the taps of a run; frames only while somebody looks.

    Anybody can publish at an address. What is not well formed, of another run or of another service is passed over
    and counted.

    Parameters
    ----------
    watched
        Is told what comes.
    addresses
        By the names of those that publish there.
    source
        The name of the source, for services that publish what came to them, too.
    show
        Called with a socket and its address before it is connected: shows keys.
    is_run
        Whether an id is that of the run that is watched now; asked when another one comes.
    looked_at
        Whether anybody looks.
    """

    def __init__(
        self,
        watched: Watched,
        addresses: Mapping[str, str],
        source: str,
        *,
        show: Callable[[zmq.Socket[Any], str], None],
        is_run: Callable[[str], bool],
        looked_at: Callable[[], bool],
    ) -> None:
        self.watched = watched
        self.refused: Counter[str] = Counter()
        self._source = source
        self._is_run, self._looked_at = is_run, looked_at
        self._run = ""
        self._looks = False
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._monitors: dict[str, Monitor] = {}
        for name, address in addresses.items():
            socket = self._sockets[name] = self._context.socket(zmq.SUB)
            set_options(socket)
            without_heartbeats(socket)
            socket.setsockopt(zmq.RCVHWM, MOST)
            for topic in (STATUS, BASIS):
                socket.subscribe(topic)
            self._monitors[name] = Monitor(socket)
            show(socket, address)
            socket.connect(address)

    async def listen(self) -> None:
        """Take in what comes, for ever."""
        while True:
            self.attend()
            await asyncio.sleep(EVERY if self._looks else UNSEEN)

    def attend(self) -> None:
        """Take in what is there."""
        looks = self._looked_at()
        if looks != self._looks:
            self._looks = looks
            # What a service reads is the source's own only where the source has no tap.
            topics = (SAMPLED,) if self._source in self._sockets else (SAMPLED, INPUT)
            for socket in self._sockets.values():
                for topic in topics:
                    (socket.subscribe if looks else socket.unsubscribe)(topic)
        for name, socket in self._sockets.items():
            for _ in range(MOST):
                try:
                    topic, *parts = receive(socket)
                except zmq.Again:
                    break
                try:
                    self._take(name, topic, parts)
                except (FrameError, messages.MessageError, IndexError, ValueError) as error:
                    self.refused[f"{name}: {type(error).__name__}"] += 1
            monitor = self._monitors[name]
            monitor.look()
            if monitor.refused:
                self.watched.unreachable[name] = monitor.refused

    def close(self) -> None:
        """Stop listening."""
        self._context.destroy(linger=0)

    def _take(self, name: str, topic: bytes, parts: list[bytes]) -> None:
        if topic == STATUS:
            (content,) = parts
            status = messages.decode_status(content)
            if status.name != name or not self._is_of_run(status.run):
                self.refused[f"{name}: of another run"] += 1
            else:
                self.watched.unreachable.pop(name, None)
                self.watched.status(name, status)
        elif topic == BASIS:
            basis = bases.decode(parts)
            if self.watched.has_stage(basis.stage):
                self.watched.basis(basis)
            else:
                self.refused[f"{name}: of no stage"] += 1
        elif topic in (SAMPLED, INPUT):
            messages.decode_sent(parts[0])
            self.watched.frame(self._source if topic == INPUT else name, wire.decode(parts[1:]))

    def _is_of_run(self, run: str) -> bool:
        if run == self._run:
            return True
        if not self._is_run(run):
            return False
        if self._run:  # it was started afresh
            self.watched.reset()
        self._run = run
        return True
