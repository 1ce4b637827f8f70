"""Inlet: the DEALER socket of a reader, which resumes by itself when its outlet comes back."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Arrival, Counts, State
from stream_infomax.frames.frame import FrameError
from stream_infomax.transport import messages
from stream_infomax.transport.keys import Keys
from stream_infomax.transport.messages import Commit, Fetch, Full, Gone, Refused, Sent
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import RefusedError, StreamError, receive, set_options

CREDIT = 64
# Seconds after which a reader that heard nothing repeats its request.
SILENCE = 1.0
# Requests without an answer after which it is said that nothing is heard.
UNANSWERED = 10
# Seconds for which a reader waits for its name, which somebody else holds. A dead peer seems alive for a few seconds;
# whoever has taken a name that is not his is to be found by a person meanwhile.
PATIENCE = 300.0

_log = logging.getLogger(__name__)


class Inlet:
    """A reader's DEALER socket: asks for frames in order and resumes by itself when the peer comes back.

    Parameters
    ----------
    context
        The ZeroMQ context.
    address
        The outlet to connect to; it need not be there yet.
    reader
        The name to read under.
    log_id
        The id of the log that was read before; empty accepts any and takes it over.
    start
        The first offset wanted; what comes before counts as committed.
    credit
        The most frames under way.
    keys
        To be shown where others can reach the address; None: there are none.
    committed
        The last offset that upstream may forget; None: all before `start`.
    """

    # What a loop wants to know of its feed: only the source knows how many there will be.
    expected = 0
    after_restart: Callable[[Iterable[int]], int] | None = None

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        reader: str,
        log_id: str = "",
        start: int = 0,
        credit: int = CREDIT,
        keys: Keys | None = None,
        committed: int | None = None,
    ) -> None:
        self.address = address
        self.reader = reader
        self.log_id = log_id
        self.credit = credit
        # The offset that is expected next.
        self.next = start
        # Frames that will never come, by reason.
        self.lost: Counter[str] = Counter()
        # Whether upstream waits for a commit.
        self.full = False
        self.committed = start - 1 if committed is None else committed
        # What upstream has confirmed of it.
        self.acknowledged = -1
        self._newest = -1
        self._finished = False
        self._asked = start
        self._heard = time.monotonic()
        self._unanswered = 0
        self._taken_since: float | None = None
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        set_options(self.socket)
        if keys is not None:
            keys.call(self.socket, address)
        # Requests are sent only while there is a connection: one that had to wait would be a wrong one. (ZMQ_IMMEDIATE
        # is no help: it throws away what has arrived when the connection goes, a last acknowledgement for example.)
        self._monitor = Monitor(self.socket)
        self._monitor.connected = address.startswith("inproc:")  # where there are no events, and no reconnecting
        self._warned = False
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise StreamError(f"cannot connect to {address}: {error.strerror}") from error
        self.sockets: tuple[zmq.Socket[bytes], ...] = (self.socket, self._monitor.socket)
        self._fetch()

    @property
    def finished(self) -> bool:
        """Whether upstream has ended and everything of it has arrived."""
        return self._finished and self.next > self._newest

    @property
    def settled(self) -> bool:
        """Whether upstream knows the last commit."""
        return self.acknowledged >= self.committed

    def receive(self) -> Arrival | None:
        """Return the next frame, None where none is there yet.

        Raises
        ------
        RefusedError
            Where upstream refuses this reader, or serves another log.
        """
        while True:
            try:
                parts = receive(self.socket)
            except zmq.Again:
                return None
            arrival = self._take(parts)
            if arrival is not None:
                return arrival

    def attend(self, ready: Collection[Any] = ()) -> None:
        """Repeat the request after a reconnection and after silence; nothing is due while frames are there."""
        if self.socket in ready:
            return
        silent = time.monotonic() - self._heard >= SILENCE
        if silent and not self.finished:
            self._unanswered += 1
            if self._unanswered == UNANSWERED:
                _log.warning("nothing heard of %s for %g s; waiting for it", self.address, UNANSWERED * SILENCE)
        if self._look() or silent:
            self._fetch()

    def due(self) -> float:
        """Return the seconds until `attend` has something to do."""
        return max(0.0, self._heard + SILENCE - time.monotonic())

    def commit(self, offset: int) -> None:
        """Tell upstream that everything up to `offset` is safe here; repeated with every request."""
        self.committed = offset
        self.full = False
        if self._look():
            self._fetch()
        self._send(Commit(self.reader, self.log_id, offset))

    def state(self) -> State:
        """Nothing but positions, which the checkpoint has."""
        return {}

    def counts(self) -> dict[str, Counts]:
        """Nothing is counted here but what is `lost`."""
        return {}

    def refusals(self) -> Mapping[str, int]:
        """Nobody can reach an inlet."""
        return {}

    def rewinds(self, offset: int) -> bool:
        """Return that it cannot be set back: upstream has forgotten what was committed."""
        return False

    def seek(self, offset: int) -> None:
        """Ask for `offset` next."""
        self.next = offset
        self._fetch()

    def close(self) -> None:
        """Close the sockets."""
        self._monitor.close()
        self.socket.close()

    def _look(self) -> bool:
        """Take note of what has happened to the connection; return whether there is another one.

        Raises
        ------
        RefusedError
            Where the peer refuses it: nothing would come any more.
        """
        another = self._monitor.look()
        if self._monitor.hopeless:
            raise RefusedError(f"{self.address} {self._monitor.hopeless}")
        if self._monitor.refused and not self._warned:  # it may be another server soon
            _log.warning("%s %s", self.address, self._monitor.refused)
        self._warned = bool(self._monitor.refused)
        return another

    def _fetch(self) -> None:
        self._asked = self.next
        self._heard = time.monotonic()
        self._send(Fetch(self.reader, self.log_id, self.next, self.credit, self.committed))

    def _send(self, request: Fetch | Commit) -> None:
        if not self._monitor.connected:
            return  # it is sent again when the handshake is done
        try:
            self.socket.send(messages.encode(request), zmq.NOBLOCK)
        except zmq.Again:
            return  # the peer takes nothing; it is sent again after silence

    def _take(self, parts: Sequence[bytes]) -> Arrival | None:
        try:
            answer = messages.decode_answer(parts[0])
        except (messages.MessageError, IndexError):
            self.lost["transport"] += 1
            return None
        if self._unanswered >= UNANSWERED:
            _log.warning("%s is heard again", self.address)
        self._unanswered = 0
        if isinstance(answer, Refused):
            self._refused(answer)
            return None
        self._taken_since = None
        if answer.log and answer.log != self.log_id:
            if self.log_id:
                raise RefusedError(
                    f"{self.address} serves log {answer.log}, this service has read log {self.log_id}: two runs do "
                    f"not mix; start afresh, or from the run folder that belongs to it"
                )
            self.log_id = answer.log
        if isinstance(answer, Sent):
            return self._take_frame(answer, parts)
        self._heard = time.monotonic()
        if isinstance(answer, Gone):
            self._take_gone(answer)
        elif isinstance(answer, Full):
            self.full = True
        else:
            self._newest = answer.newest
            self._finished = answer.finished
            self.acknowledged = answer.committed
        return None

    def _take_frame(self, sent: Sent, parts: Sequence[bytes]) -> Arrival | None:
        if sent.offset != self.next:
            return None  # a repeat, or what a lost connection swallowed stands before it
        self.next += 1
        self.full = False
        self._heard = time.monotonic()
        if 2 * (self.next - self._asked) >= self.credit:
            self._fetch()
        try:
            frame = wire.decode(parts[1:])
            if frame.offset != sent.offset:
                raise FrameError("header", f"offset {frame.offset} under transport offset {sent.offset}")
        except FrameError as error:
            self.lost[error.reason] += 1
            _log.warning("frame %d from %s is refused: %s", sent.offset, self.address, error)
            return None
        return Arrival(frame, sent.sent, sent.origin)

    def _take_gone(self, gone: Gone) -> None:
        if gone.first <= self.next <= gone.last:
            self.lost["gone"] += gone.last + 1 - self.next
            _log.warning("frames %d to %d are gone from %s", self.next, gone.last, self.address)
            self.next = gone.last + 1
            self._fetch()

    def _refused(self, refused: Refused) -> None:
        if refused.reason == "commit":
            return  # it was for a connection that broke; every fetch repeats it
        text = f"{self.address} refuses reader {self.reader!r}: {refused.text}"
        if refused.reason != "taken":
            raise RefusedError(text)
        if self._taken_since is None:
            self._taken_since = time.monotonic()
            _log.warning("%s; waiting for the name, for %g s at most", text, PATIENCE)
        if time.monotonic() - self._taken_since >= PATIENCE:
            raise RefusedError(f"{text}, for {PATIENCE:g} s")
