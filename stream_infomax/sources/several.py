"""SeveralSource: several inputs as one source, each a stream of its own."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import msgspec
from msgspec.structs import asdict, replace

from stream_infomax.frames.contracts import Counts, Live, Noting, Refusing, Seekable, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import MISSING, SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings, make, plain
from stream_infomax.settings.types import NAME_PATTERN, Doc, Insecure, KeysFolder, Seed
from stream_infomax.settings.words import one_of

NAMED = "tables with a name, a kind, and the settings of that kind"


class Kind(NamedTuple):
    """An input as its table describes it: its name, its class, and its settings."""

    name: str
    make: Any
    settings: Settings

    @property
    def is_live(self) -> bool:
        """Whether it gives each frame once, when it comes."""
        return hasattr(self.make, "receive")


class SeveralSettings(Settings, frozen=True, kw_only=True):
    """Several inputs, each a stream of its own: files in a fixed order, devices as they come."""

    inputs: Annotated[
        tuple[dict[str, Any], ...],
        Doc(
            "Tables `[[source.inputs]]`, each with a `kind`, a `name`, which its stream gets, and the settings of that "
            "kind. All are files, or all are live. The first input has the seed, the next ones those that follow it."
        ),
    ]
    seed: Seed = 0
    keys: KeysFolder = ""
    insecure: Insecure = False

    def __post_init__(self) -> None:
        names: list[str] = []
        for kind in self.kinds():
            if kind.name in names:
                raise SettingError("inputs", kind.name, "names that differ", "used twice")
            names.append(kind.name)
        if not names:
            raise SettingError("inputs", list(self.inputs), NAMED, "empty")
        live = [kind.name for kind in self.kinds() if kind.is_live]
        if live and len(live) < len(names):
            files = [name for name in names if name not in live]
            raise SettingError(
                "inputs", names, "only files, or only live inputs", f"{one_of(live)} live, {one_of(files)} not"
            )

    def kinds(self) -> list[Kind]:
        """Return the inputs. Raises SettingError where one cannot be used."""
        of_run = {"keys": self.keys, "insecure": self.insecure}
        return [
            _kind(number, table, {"seed": (self.seed + number) % 2**32, **of_run})
            for number, table in enumerate(self.inputs)
        ]

    @property
    def is_live(self) -> bool:
        """Whether the inputs give each frame once, when it comes."""
        return any(kind.is_live for kind in self.kinds())

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the inputs need."""
        return tuple(dict.fromkeys(package for kind in self.kinds() for package in kind.settings.needs()))

    def placed(self, folder: Path, name: str) -> Self:
        """Return the settings with what follows for each input from the run's folder and the input's name."""
        tables = [
            {**table, **plain(kind.settings.placed(folder, kind.name))}
            for table, kind in zip(self.inputs, self.kinds(), strict=True)
        ]
        return replace(self, inputs=tuple(tables))

    def try_out(self) -> None:
        """Check what only this machine can tell of the inputs."""
        for kind in self.kinds():
            try:
                kind.settings.try_out()
            except SettingError as error:
                raise error.under(f"inputs.{kind.name}") from None


def _kind(number: int, table: Mapping[str, Any], of_run: Mapping[str, Any]) -> Kind:
    # A source of sources finds them where every source is found; nothing else of that room is used.
    from stream_infomax.configuration.kinds import SOURCES

    name = table.get("name", MISSING)
    if not (isinstance(name, str) and re.search(NAME_PATTERN, name)):
        accepted = "a letter and up to 63 letters, digits, hyphens and underscores"
        raise SettingError(f"inputs.{number}.name", name, accepted)
    try:
        if "kind" not in table:
            raise SettingError("kind", MISSING, one_of(SOURCES.names()))
        if table["kind"] == "several":
            raise SettingError("kind", "several", "kinds of files and devices", "inputs do not nest")
        record = SOURCES.settings_of(table["kind"])
        values = {key: value for key, value in table.items() if key not in ("kind", "name")}
        for key in record.__struct_fields__:
            if key in of_run:
                values.setdefault(key, of_run[key])
        return Kind(name, SOURCES.load(table["kind"]), make(record, values))
    except SettingError as error:
        raise error.under(f"inputs.{name}") from None


@configured_by(SeveralSettings)
class SeveralSource:
    """Several inputs as one source. Each input is a stream under its own name; all arrays have the source's name.

    Files are interleaved in proportion to their lengths: frame k of an input with n frames stands at (k + ½) / n of the
    whole, of two at the same place the one of the earlier input first. So any offset can be sought, and the order never
    changes. Live inputs are asked in turn, and give their frames as they come.

    Streams of an input that has several (devices) are called ``INPUT/STREAM``.

    Parameters
    ----------
    name
        Name of the array.

    Raises
    ------
    SettingError
        A setting that is not accepted, by the input that has it.
    """

    def __new__(cls, *_: Any, **settings: Any) -> SeveralSource:
        """Return the kind of source that the inputs make: one that can be sought, or a live one."""
        if cls is SeveralSource:
            given = make(SeveralSettings, {key: value for key, value in settings.items() if key != "name"})
            cls = CollectedSource if given.is_live else InterleavedSource
        return object.__new__(cls)

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.name = name
        self.given = make(SeveralSettings, settings)
        self.inputs: dict[str, Any] = {}
        for kind in self.given.kinds():
            try:
                self.inputs[kind.name] = kind.make(name=kind.name, **asdict(kind.settings))
            except SettingError as error:
                raise error.under(f"inputs.{kind.name}") from None

    def outline(self) -> Outline:
        """Return what the inputs come to together."""
        found = {name: source.outline() for name, source in self.inputs.items() if hasattr(source, "outline")}
        outlines = list(found.values())
        rows = {outline.row for outline in outlines}
        rates = {outline.rate for outline in outlines}
        labels: Counter[str] = Counter()
        for outline in outlines:
            labels |= Counter(outline.labels)
        return Outline(
            frames=sum(outline.frames for outline in outlines),
            segments=sum((Counter(outline.segments) for outline in outlines), Counter[int]()),
            row=rows.pop() if len(rows) == 1 and len(outlines) == len(self.inputs) else None,
            live=self.given.is_live,
            rate=rates.pop() if len(rates) == 1 else 0.0,
            labels=labels,
            left_out={f"{what} ({name})": n for name, one in found.items() for what, n in one.left_out.items() if n},
            about=f"{len(self.inputs)} inputs: " + "; ".join(f"{name}: {one.about}" for name, one in found.items()),
            warning="; ".join(f"{name}: {one.warning}" for name, one in found.items() if one.warning),
        )

    def state(self) -> State:
        """Return the state of each input under its name."""
        return {name: source.state() for name, source in self.inputs.items()}

    def restore(self, state: State) -> None:
        """Give each input its state back.

        Raises
        ------
        ValueError
            Where the inputs are others, or one does not find what it had; names it.
        """
        if list(state) != list(self.inputs):
            raise ValueError(f"the state is of the inputs {one_of(state)}; there are {one_of(self.inputs)}")
        for name, source in self.inputs.items():
            try:
                source.restore(state[name])
            except ValueError as error:
                raise ValueError(f"inputs.{name}: {error}") from error

    def counts(self) -> Counts:
        """Return what each input counts, with its name behind."""
        return {
            f"{what} ({name})": count for name, source in self.inputs.items() for what, count in source.counts().items()
        }

    def refusals(self) -> dict[str, int]:
        """Return what the inputs refused to strangers, with their names behind."""
        refusing = {name: source for name, source in self.inputs.items() if isinstance(source, Refusing)}
        return {f"{why} ({name})": count for name, own in refusing.items() for why, count in own.refusals().items()}

    def _given(self, frame: Frame, source: str, offset: int) -> Frame:
        """Return a frame of an input as one of this source."""
        stream = source if frame.stream == source else f"{source}/{frame.stream}"
        arrays = {self.name if array == source else array: rows for array, rows in frame.arrays.items()}
        return replace(frame, stream=stream, offset=offset, arrays=arrays)


class InterleavedSource(SeveralSource):
    """Inputs that can be sought, interleaved; see SeveralSource.

    Attributes
    ----------
    lost
        Frames that lack rows, by reason and input.
    """

    inputs: dict[str, Seekable]

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.lost: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of frames."""
        return sum(map(len, self.inputs.values()))

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on, in the order that the lengths of the inputs fix."""
        names = list(self.inputs)
        lengths = [len(source) for source in self.inputs.values()]
        order = Order(lengths, max(0, start))
        readers = {
            number: iter(self.inputs[names[number]].frames(first))
            for number, first in enumerate(order.next)
            if first < lengths[number]
        }
        for offset, number in enumerate(order, max(0, start)):
            yield self._given(self._read(names[number], readers[number]), names[number], offset)

    def _read(self, name: str, frames: Iterator[Frame]) -> Frame:
        """Return the next frame of an input; where it lacks rows, it counts here, too."""
        source: Any = self.inputs[name]
        before: Counter[str] = Counter(getattr(source, "lost", {}))
        frame = next(frames)
        after: Counter[str] = Counter(getattr(source, "lost", {}))
        self.lost.update({f"{reason} ({name})": n for reason, n in (after - before).items()})
        return frame


class Order:
    """Which input comes next, from an offset on.

    Parameters
    ----------
    lengths
        Frames of each input.
    start
        The offset.

    Attributes
    ----------
    next
        Of each input, the frame that comes next.
    """

    def __init__(self, lengths: Sequence[int], start: int) -> None:
        self.lengths = lengths
        total, n = sum(lengths), len(lengths)
        # Before the place (start - n/2) / total stand at most `start` frames, and hardly fewer, since each input rounds
        # by half a frame. One is left for the rounding of places to floating point; the rest is gone through.
        twice = 2 * (min(start, total) - 1) - n
        self.next = [max(0, -((total - length * twice) // (2 * total))) if total else 0 for length in lengths]
        self._heap = [(self._place(i), i) for i in range(n) if self.next[i] < lengths[i]]
        heapq.heapify(self._heap)
        for _ in range(start - sum(self.next)):
            if next(self, None) is None:
                break

    def __iter__(self) -> Iterator[int]:
        """Return itself."""
        return self

    def __next__(self) -> int:
        """Return the number of the input whose frame comes next."""
        if not self._heap:
            raise StopIteration
        _, number = self._heap[0]
        self.next[number] += 1
        if self.next[number] < self.lengths[number]:
            heapq.heapreplace(self._heap, (self._place(number), number))
        else:
            heapq.heappop(self._heap)
        return number

    def _place(self, number: int) -> float:
        """Return where in the whole the next frame of an input stands; whole numbers are divided exactly rounded."""
        return (2 * self.next[number] + 1) / (2 * self.lengths[number])


class CollectedSource(SeveralSource):
    """Live inputs, asked in turn; see SeveralSource.

    Attributes
    ----------
    lost
        Frames that never came, by reason and input.
    """

    inputs: dict[str, Live]

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.lost: Counter[str] = Counter()
        self._seen: dict[str, Counter[str]] = {one: Counter() for one in self.inputs}  # of what was lost
        self._turn = list(self.inputs)
        self._served = ""  # the input whose frame was given last

    def open(self) -> None:
        """Take the devices of all inputs; none where one cannot be taken."""
        for name, source in self.inputs.items():
            try:
                source.open()
            except BaseException:
                self.close()
                raise
            self._note(name)

    @property
    def sockets(self) -> Sequence[Any]:
        """What becomes readable when one of the inputs may have a frame."""
        return [socket for source in self.inputs.values() if not source.finished for socket in source.sockets]

    @property
    def finished(self) -> bool:
        """Whether no input will give a frame any more."""
        return all(source.finished for source in self.inputs.values())

    def receive(self) -> Frame | None:
        """Return the next frame of the first input that has one, the one that was served last being asked last."""
        for place, name in enumerate(self._turn):
            source = self.inputs[name]
            frame = None if source.finished else source.receive()
            self._note(name)
            if frame is not None:
                self._served = name
                self._turn.append(self._turn.pop(place))
                return self._given(frame, name, frame.offset)
        return None

    def note(self) -> bytes:
        """Return the input whose frame was given last, and its note."""
        source = self.inputs[self._served]
        return msgspec.msgpack.encode([self._served, source.note() if isinstance(source, Noting) else b""])

    def recall(self, frame: Frame, note: bytes) -> None:
        """Have the input of a frame take it in."""
        name, own = msgspec.msgpack.decode(note, type=tuple[str, bytes])
        source = self.inputs.get(name)
        if isinstance(source, Noting):
            arrays = {name if array == self.name else array: rows for array, rows in frame.arrays.items()}
            source.recall(replace(frame, stream=frame.stream.removeprefix(f"{name}/"), arrays=arrays), own)

    def due(self) -> float:
        """Return the seconds until one of the inputs is to be asked again."""
        return min((source.due() for source in self.inputs.values() if not source.finished), default=float("inf"))

    def close(self) -> None:
        """Let go of all devices."""
        for source in self.inputs.values():
            source.close()

    def _note(self, name: str) -> None:
        """Take over what an input has lost since it was last asked."""
        for reason, count in self.inputs[name].lost.items():
            if count > self._seen[name][reason]:
                self.lost[f"{reason} ({name})"] += count - self._seen[name][reason]
                self._seen[name][reason] = count
