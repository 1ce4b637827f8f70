"""The words that outlet and inlet exchange, and the status on a tap: one MessagePack map each.

Words are told apart by their key ``kind``. A reader says `Fetch` and `Commit`; an outlet answers `Sent` (with a
frame's parts behind it), `Gone`, `Full`, `Alive` and `Refused`. To an `Order` on a control socket the answer is
`Accepted` or `Refused`. Members of a fleet say `Ask` and `HandIn`, and hear `Common`, `Heard` or `Refused`.
docs/protocol.md describes them for writers of clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from stream_infomax.frames.buckets import Buckets
from stream_infomax.frames.command import MAX_ID, MAX_VALUE
from stream_infomax.frames.event import Event
from stream_infomax.frames.ledger import Balance
from stream_infomax.frames.measure import Measure
from stream_infomax.state.nesting import NestedError, check_packed

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
# Empty where the log is not known yet.
LogId = Annotated[str, msgspec.Meta(max_length=64)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# An offset, or -1 before the first.
Position = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]

# Seconds of the wall clock that a calendar has a date for, up to the year 9999.
Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_214_400)]

# A longer request is refused before it is parsed.
MAX_REQUEST_BYTES = 4096
# Of a status, which comes a few times a second.
MAX_EVENTS = 16


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """One word of the protocol."""


class Fetch(Message, frozen=True, tag="fetch"):
    """A reader asks for the frames `start` … `start` + `credit` - 1, instead of what it asked for before.

    Those that were sent by this connection already are not sent again.
    """

    reader: Name
    log: LogId
    start: Offset = msgspec.field(name="from")
    credit: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    committed: Position = -1


class Commit(Message, frozen=True, tag="commit"):
    """A reader needs nothing up to `offset` any more: what came of it is on its disk."""

    reader: Name
    log: LogId
    offset: Position


class Sent(Message, frozen=True, tag="frame"):
    """The transport part of a frame: never stored, and no stage sees it.

    `sent` is when this outlet sent it, `origin` when the source first had it (0: not known), in seconds of the
    wall clock.
    """

    log: LogId
    offset: Offset
    sent: float
    origin: float


class Gone(Message, frozen=True, tag="gone"):
    """The frames `first` … `last` are not in the log and will not be."""

    log: LogId
    first: Offset
    last: Offset


class Full(Message, frozen=True, tag="full"):
    """The log is full and the reader has been sent all of it: nothing moves until it commits."""

    log: LogId


class Alive(Message, frozen=True, tag="alive"):
    """How far the log is, whether it ends there, and what the reader has committed."""

    log: LogId
    newest: Position
    finished: bool
    committed: Position


class Refused(Message, frozen=True, tag="error"):
    """A request was not understood or not granted.

    To a command: `command` where it cannot be carried out, `elsewhere` where nothing that it is about is here. To a
    member of a fleet: `fleet` where it is of another one, `round` where what it hands in does not fit.
    """

    reason: Literal["request", "reader", "log", "taken", "commit", "key", "command", "elsewhere", "fleet", "round"]
    text: str


class Order(Message, frozen=True, tag="command"):
    """Somebody wants something of a service; the same id is the same command. See `frames.command`."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    action: Annotated[str, msgspec.Meta(max_length=MAX_ID)]
    stage: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)] = ""
    value: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)] = ""


class Accepted(Message, frozen=True, tag="accepted"):
    """The command of this id is on disk, and takes effect before the frame `offset`."""

    id: str
    offset: Offset


class Ask(Message, frozen=True, tag="ask"):
    """A member of a fleet wants what all have in common.

    Attributes
    ----------
    member
        Its name.
    number
        The least round that it can begin with.
    since
        The round that it may have to begin with once more after a restart; what is older may be forgotten.
    fleet
        The id of the fleet that it learns with; empty while it knows none.
    guest
        Whether nobody waits for it.
    """

    member: Name
    number: Offset
    since: Offset = 0
    fleet: LogId = ""
    guest: bool = False


class HandIn(Message, frozen=True, tag="hand in"):
    """A member of a fleet hands in what it has learnt; its bytes are the next part.

    Attributes
    ----------
    what
        ``share`` is what a fleet begins with, ``delta`` what was learnt since a round began.
    number
        The round that it began with.
    last
        Whether its stream is over: nobody waits for it in later rounds.
    """

    member: Name
    what: Literal["share", "delta"]
    number: Offset
    last: bool = False
    since: Offset = 0
    fleet: LogId = ""
    guest: bool = False


class Common(Message, frozen=True, tag="shared"):
    """What all members go on from in round `number`; its bytes are the next part."""

    fleet: LogId
    number: Offset


class Heard(Message, frozen=True, tag="heard"):
    """The request is understood, and answered when others have handed in; `number` is the newest round."""

    fleet: LogId
    number: Offset


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a service is, for people who watch it; published on its tap a few times a second.

    Attributes
    ----------
    name, run, log
        The service; the id of the run that it belongs to, empty where nobody gave one; the id of the log that it
        serves, empty while a stage has not learnt it.
    processed, newest
        The last offset that was read, and the last in the log.
    committed
        Each reader's position.
    finished
        Whether the log has ended.
    log_frames, log_bytes, log_fill
        What the log holds, and how full it is (0 to 1).
    dropped
        Frames that drop-oldest has pushed out.
    lost, refused
        Frames that never came, and requests that were not granted, by reason.
    expected
        Frames in all, where a source knows that; 0 elsewhere.
    frames, rows
        Counted since the process started.
    step_p50, step_p99, total_p50, total_p99
        Latency in seconds, since the step before sent a frame and since the source had it; None where none came.
    step_seconds, latency_seconds
        The same two latencies of all frames since the process started, counted in buckets.
    started, last_frame
        When the process started, and when the newest frame was done, in seconds of the wall clock; 0 before the first.
    checkpoint, last_checkpoint
        The last offset that the newest checkpoint on disk has behind it, and when it was written by this process; -1
        and 0 before the first.
    ledger
        What has become of all that its input, its stages and its sinks have accepted; of more than 64 streams the
        largest, and the others together.
    measures, counts
        What the stages measure, and what they (or the source) count, by name.
    events
        What happened to the stages, the newest of it, oldest first.
    """

    name: str
    run: str
    log: str
    processed: Position
    newest: Position
    committed: dict[str, Position]
    finished: bool
    log_frames: int
    log_bytes: int
    log_fill: float
    dropped: int
    lost: dict[str, int]
    refused: dict[str, int]
    expected: int
    frames: int
    rows: int
    step_p50: float | None
    step_p99: float | None
    total_p50: float | None
    total_p99: float | None
    step_seconds: Buckets
    latency_seconds: Buckets
    started: Moment
    last_frame: Moment
    checkpoint: Position
    last_checkpoint: Moment
    ledger: list[Balance]
    measures: list[Measure]
    counts: dict[str, dict[str, float]]
    events: Annotated[list[Event], msgspec.Meta(max_length=MAX_EVENTS)]


Request: TypeAlias = Fetch | Commit
FromMember: TypeAlias = Ask | HandIn
ToMember: TypeAlias = Common | Heard | Refused
Answer: TypeAlias = Sent | Gone | Full | Alive | Refused

T = TypeVar("T")


class MessageError(ValueError):
    """Bytes that are none of the words that are expected: says why."""


def _only(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Return the decoder of a word; it raises MessageError where the bytes are anything else."""

    def decoded(part: bytes) -> T:
        try:
            check_packed(part)
            return decode(part)
        except (msgspec.DecodeError, UnicodeDecodeError, NestedError) as error:
            raise MessageError(str(error)) from error

    return decoded


encode = msgspec.msgpack.Encoder().encode
decode_status: Callable[[bytes], Status] = _only(msgspec.msgpack.Decoder(Status).decode)
decode_request: Callable[[bytes], Request] = _only(msgspec.msgpack.Decoder(Fetch | Commit).decode)
decode_order: Callable[[bytes], Order] = _only(msgspec.msgpack.Decoder(Order).decode)
decode_reply: Callable[[bytes], Accepted | Refused] = _only(msgspec.msgpack.Decoder(Accepted | Refused).decode)
decode_from_member: Callable[[bytes], FromMember] = _only(msgspec.msgpack.Decoder(Ask | HandIn).decode)
decode_to_member: Callable[[bytes], ToMember] = _only(msgspec.msgpack.Decoder(Common | Heard | Refused).decode)
decode_sent: Callable[[bytes], Sent] = _only(msgspec.msgpack.Decoder(Sent).decode)
decode_answer: Callable[[bytes], Answer] = _only(msgspec.msgpack.Decoder(Sent | Gone | Full | Alive | Refused).decode)
