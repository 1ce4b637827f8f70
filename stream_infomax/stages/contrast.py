"""ContrastStage: one gradient-isolated module of Greedy InfoMax on the features of a stream.

Every module is a stage. The first keeps the memory of excerpts, draws the training batches and learns from them; what
it made of them travels on with the frame that triggered them, and the next module learns from that. So modules in one
process, modules in several and joint training give the same weights, and messages go forward only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from msgspec.structs import replace

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams, incoming
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.contrast.excerpts import Batch, ExcerptMemory
from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout
from stream_infomax.learning.contrast.shapes import Shape, restored, shape_of
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, NotNegative, Positive, PositiveFloat, Seed, Share
from stream_infomax.stages.batches import to_arrays
from stream_infomax.stages.pupil import Pupil, StreamMemory
from stream_infomax.stages.steering import ACTIONS, PAUSED, Steering, logged
from stream_infomax.stages.teachers import BatchesBelow, OwnExcerpts, Teacher
from stream_infomax.stages.windows import WindowsSettings
from stream_infomax.state.kept import text, within

if TYPE_CHECKING:  # torch takes seconds, and whoever reads a configuration does not need it
    from stream_infomax.learning.contrast.online import OnlineModule

Rows = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


class ContrastSettings(StageSettings, frozen=True, kw_only=True):
    """One gradient-isolated contrastive module: number `module` of the stack that `layout` names."""

    free: ClassVar = ("negatives", "anchors", "learning_rate", "updates", "every", "rows", "live", "learn", "device")

    layout: Annotated[
        Literal["fine", "paired", "paper", "patches"],
        Doc(
            "The stack. `fine`: a layer a module, for features at 100 to 200 rows a second. `paired`: the same layers "
            "in two modules. `paper`: six modules for raw audio at 16 kHz. `patches`: two modules for grids of "
            "patches."
        ),
    ] = "fine"
    module: Annotated[Positive, Doc("Which module of the stack this is.")] = 1
    width: Annotated[Positive, Doc("Channels of every layer; `paper` has its own.")] = 128
    horizon_ms: Annotated[
        PositiveFloat, Doc("How far ahead it predicts, at most 12 of its rows; on grids up to 5 rows of patches.")
    ] = 120.0
    skip: Annotated[
        NotNegative,
        Doc("Grids: rows of patches between context and target, left out because they share pixels with both."),
    ] = 0
    negatives: Annotated[int, Meta(ge=2), Doc("Wrong rows among which the right one is to be found.")] = 64
    anchors: Annotated[Positive, Doc("Rows of a batch from which is predicted.")] = 256
    learning_rate: Annotated[PositiveFloat, Doc("Of Adam.")] = 1e-3
    updates: Annotated[
        Positive, Doc("Batches after every `every` excerpts. First module only, as are the next five.")
    ] = 1
    every: Annotated[Positive, Doc("New excerpts after which the module learns.")] = 1
    rows: Annotated[Positive, Doc("Rows of a batch, about.")] = 2048
    excerpt: Annotated[Positive, Doc("Rows of an excerpt at most.")] = 256
    memory: Annotated[Memory, Doc("Excerpts that are kept.")] = Memory("16 MB")
    reservoir: Annotated[Share, Doc("Share of the memory that holds a uniform sample of older excerpts.")] = 0.5
    live: Annotated[
        bool, Doc("Stop training while more than a second behind the stream; counted as `late`. Encoding goes on.")
    ] = False
    learn: Annotated[bool, Doc("False: only encode.")] = True
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Doc("Where the module trains; `auto` is a GPU if there is one. On a GPU results agree to rounding only."),
    ] = "cpu"
    seed: Seed = 0

    def __post_init__(self) -> None:
        n_modules = len(layout(self.layout))
        if self.module > n_modules:
            raise SettingError("module", self.module, f"1 to {n_modules}, the modules of layout {self.layout!r}")

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the rows of the module's output."""
        layers = layout(self.layout, self.width)[self.module - 1]
        stride = prod(layer.stride for layer in layers if isinstance(layer, Conv))
        segments = Counter[int]()
        for rows, count in incoming.segments.items():
            segments[rows // stride] += count
        incoming = replace(incoming, channels=(), units=(), about="", warning="")
        return replace(incoming, segments=segments, row=(layers[-1].width,), at_most=False, rate=incoming.rate / stride)

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the stage needs."""
        return ("torch",)

    def adds(self, name: str) -> tuple[str, ...]:
        """Return the module's output and, of one with a GRU, its context."""
        is_recurrent = isinstance(layout(self.layout, self.width)[self.module - 1][-1], Recurrent)
        return (name, f"{name}.context") if is_recurrent else (name,)

    def check_place(self, input: str, below: Mapping[str, Settings]) -> None:
        """Check that the module below is the input, and that no patches are predicted which share pixels."""
        grids = [one for one in below.values() if isinstance(one, WindowsSettings) and one.form == "grid"]
        shared_rows = -(-grids[-1].patch // grids[-1].stride) - 1 if grids else 0
        if self.layout == "patches" and self.skip < shared_rows:
            raise SettingError(
                "skip",
                self.skip,
                f"skip >= {shared_rows}",
                f"{shared_rows} rows of patches share pixels with the one above",
            )
        named = below.get(input)
        expected = (self.layout, self.module - 1)
        is_next = isinstance(named, ContrastSettings) and (named.layout, named.module) == expected
        if self.module > 1 and not is_next:
            raise SettingError(
                "input",
                input,
                f"module {self.module - 1} of layout {self.layout!r}, on whose batches module {self.module} trains",
            )


@configured_by(ContrastSettings)
class ContrastStage(Accounting):
    """Encode each frame's rows with the module as it stood before, then train.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds (z: row axes of the input, width); a module with a GRU adds
        ``<name>.context`` (c) too. ``<name>.batch``, ``.batch.lengths`` and ``.batch.sizes`` carry training batches.
    input
        The array to learn from: features for the first module, the module below for the others.
    carry
        Arrays of the incoming frame that are passed on.
    """

    actions: ClassVar[frozenset[Action]] = ACTIONS

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        given = make(ContrastSettings, settings)
        require(*given.needs())
        modules = layout(given.layout, given.width)
        self.name, self.input, self.carry, self.settings = name, input, tuple(carry), given
        self.account, self.reads = Account(name, "stage"), (input,)
        self.layers, self.is_last = modules[given.module - 1], given.module == len(modules)
        self.learn = given.learn
        self.teacher = self._new_teacher()
        self.pupil: Pupil | None = None  # before the first rows
        self.streams: Streams[StreamMemory] = Streams()
        self.steering = Steering(name)
        self.encoder = ""  # of the features that it learns from
        self._described = json.dumps(
            [name, given.layout, given.module, given.width, given.horizon_ms, given.skip, given.seed]
        )
        self._has_warned = False

    def _new_teacher(self) -> Teacher:
        given = self.settings
        if given.module > 1:
            return BatchesBelow(self.input)
        memory = ExcerptMemory(given.memory, given.reservoir, given.seed)
        return OwnExcerpts(memory, updates=given.updates, every=given.every, rows=given.rows, live=given.live)

    def process(self, frame: Frame) -> Frame:
        """Return the frame with this module's output, and the batches that the next module trains on.

        Raises
        ------
        ValueError
            Where the rows' size, the grid or the rate change, or the axes are neither a sequence nor a grid.
        """
        self.streams.follow(frame)
        array = incoming(frame, self.input, self.name)
        if array is None:
            return frame
        rows = np.ascontiguousarray(array.rows(), dtype=np.float32)
        encoder = self._encoder_id(frame.encoder)
        finite = np.asarray(np.isfinite(rows).all(1))
        self.steering.rows += len(rows)
        self._book(frame.stream, finite, has_width=rows.shape[1] > 0)
        events = (*frame.events, *logged(self.steering.tell()))
        learns = self.learn and not self.steering.paused
        if self.pupil is None and not (rows.shape[1] and finite.any() and (learns or not self.learn)):
            return frame.extend(self._no_rows(array), self.carry, encoder=encoder, events=events)
        pupil = self._settle(frame, array)
        self._notice_encoder(frame, pupil)
        stream = self.streams.enter(frame, self._new_stream)
        if learns:
            self.teacher.watch(rows)
        arrays = self._named(array, *pupil.encode(rows, stream))
        if learns:
            arrays |= self._passed_on(pupil.learn(frame, rows, stream))
            self._warn_of_collapse(pupil)
        self.streams.leave(frame)
        rate = frame.rate / pupil.stride
        return frame.extend(arrays, self.carry, rate=rate, encoder=encoder, update=pupil.online.updates, events=events)

    def command(self, command: Command, basis: Basis | None) -> None:
        """Pause or resume before the next frame; see `Steered`. Paused, it gives the next module no batches either."""
        was_paused = self.steering.paused
        self.steering.command(command, self.learn)
        if self.steering.paused and not was_paused:
            for _, memory in self.streams.memories():  # what comes after the pause does not continue these rows
                memory.close()

    def _book(self, stream: str, finite: npt.NDArray[np.bool_], has_width: bool) -> None:
        if not has_width:
            self.account.set_aside(stream, NO_WIDTH, len(finite))
        elif self.steering.paused:
            self.account.set_aside(stream, PAUSED, len(finite))
        else:
            self.account.process(stream, int(np.count_nonzero(finite)))
            self.account.set_aside(stream, NOT_FINITE, int(np.count_nonzero(~finite)))

    # --- what comes in -----------------------------------------------------------------------------------------------

    def _settle(self, frame: Frame, array: Array) -> Pupil:
        """Make the pupil for the first rows, and refuse others of another kind."""
        axes, n = array.axes, array.n_row_axes
        try:
            shape = shape_of(axes[:n], array.data.shape[:n], math.prod(array.row_shape), frame.rate)
            if self.pupil is None:
                self.pupil = self._new_pupil(shape)
        except ValueError as error:
            raise ValueError(f"stage {self.name!r} reads {self.input!r}: {error}") from error
        if shape != self.pupil.shape:
            raise ValueError(
                f"stage {self.name!r}: {self.input!r} changed from {self.pupil.shape} to {shape} at offset "
                f"{frame.offset} of stream {frame.stream!r}; a module keeps its sizes"
            )
        return self.pupil

    def _new_pupil(self, shape: Shape) -> Pupil:
        return Pupil(self._new_module(shape), shape, self.teacher, self.settings.excerpt)

    def _new_module(self, shape: Shape) -> OnlineModule:
        from stream_infomax.learning.contrast.online import OnlineModule

        given = self.settings
        stride = math.prod(layer.stride for layer in self.layers if isinstance(layer, Conv))
        return OnlineModule(
            shape.channels,
            self.layers,
            **shape.loss(stride, given.horizon_ms / 1000, given.skip),
            negatives=given.negatives,
            anchors=given.anchors,
            seed=given.seed,
            index=given.module - 1,
            learning_rate=given.learning_rate,
            device=given.device,
        )

    def _new_stream(self) -> StreamMemory:
        assert self.pupil is not None
        return self.pupil.new_stream()

    def _notice_encoder(self, frame: Frame, pupil: Pupil) -> None:
        """Forget all rows where the features come from another encoder; the weights stay."""
        if self.encoder not in ("", frame.encoder):
            self.streams.counts["new_encoder"] += 1
            self.streams.clear()
            pupil.forget_rows()
        self.encoder = frame.encoder

    # --- what goes out -----------------------------------------------------------------------------------------------

    def _no_rows(self, array: Array) -> dict[str, Array]:
        """Return no rows: before the first finite one the width of the features may not have settled."""
        none = np.zeros((0,) * array.n_row_axes + (self.layers[-1].width,), np.float32)
        return self._named(array, none, none)

    def _named(self, array: Array, z: Rows, c: Rows) -> dict[str, Array]:
        """Return outputs and, of a module with a GRU, contexts, both with the row axes of `array`."""
        axes = (*array.axes[: array.n_row_axes], "component")
        outputs = {self.name: Array(z, axes)}
        if isinstance(self.layers[-1], Recurrent):
            outputs[f"{self.name}.context"] = Array(c, axes)
        return outputs

    def _passed_on(self, batches: list[Batch]) -> dict[str, Array]:
        """Return batches for the next module."""
        return {} if self.is_last or not batches else to_arrays(batches, self.name)

    def _warn_of_collapse(self, pupil: Pupil) -> None:
        if pupil.online.collapsed and not self._has_warned:
            self._has_warned = True
            log.warning("stage %r: the score has long been that of chance; the module predicts nothing", self.name)

    def _encoder_id(self, below: str) -> str:
        # It depends on settings and features only: runs can be compared.
        return f"{self.name}-{hashlib.sha256((self._described + below).encode()).hexdigest()[:12]}"

    # --- state -------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return weights, optimiser, memory of excerpts, the streams' tails, the counters, and whether it is paused."""
        pupil = None if self.pupil is None else {"shape": self.pupil.shape.state(), **self.pupil.state()}
        return {
            "described": self._described,
            "encoder": self.encoder,
            "pupil": pupil,
            "steering": self.steering.state(),
            **self.streams.state(),
        }

    def restore(self, state: State) -> None:
        """Take over what `state()` returned; ValueError where it is of a module of other sizes."""
        if state["described"] != self._described:
            raise ValueError(
                f"stage {self.name!r}: the state is of {state['described']}, this is {self._described} "
                f"(name, layout, module, width, horizon_ms, skip, seed)"
            )
        self.encoder, self.pupil = text(state["encoder"], "encoder"), None
        if state["pupil"] is not None:
            self.pupil = self._new_pupil(restored(state["pupil"]["shape"]))
            self.pupil.restore(state["pupil"])
        with within("steering"):
            self.steering.restore(state["steering"])
        self.streams.restore(state, self._new_stream)

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """From now on only encode, from another beginning; `untrained` with the weights from before any learning."""
        self.learn, self.carry, self.streams = False, carry, Streams()
        if untrained and self.pupil is not None:
            self.pupil.online = self._new_module(self.pupil.shape)

    def measures(self) -> list[Measure]:
        """Return the score (nats) of the contrast."""
        if self.pupil is None or math.isnan(self.pupil.online.score):
            return []
        return [Measure(self.name, "", "score", self.pupil.online.score, self.streams.offset + 1)]

    def events(self) -> list[Event]:
        """Return the newest 64 events: what it was told."""
        return self.steering.events()

    def counts(self) -> Counts:
        """Return updates, accuracy of the contrast, best score, collapse, memory, and what was skipped by reason."""
        if self.pupil is None:
            return {"updates": 0, **self.steering.counts()}
        online = self.pupil.online
        counts: dict[str, float] = {"updates": online.updates, "best score": online.best_score}
        if not math.isnan(online.accuracy):
            counts["accuracy"] = online.accuracy
        counts["collapsed"] = float(online.collapsed)
        counts |= self.teacher.holds()
        skipped = Counter(self.streams.counts)
        for more in (self.teacher.counts, online.skipped):
            skipped.update(more)
        counts |= self.steering.counts()
        return counts | {f"skipped: {reason}": count for reason, count in skipped.items()}
