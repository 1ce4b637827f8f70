"""ContrastStage: one gradient-isolated module of Greedy InfoMax on the features of a stream.

Every module is a stage. The first takes the training batches that come with its input, or keeps a memory of excerpts
and draws them itself; what it made of them travels on with the frame, and the next module learns from that. So modules
in one process, modules in several and joint training give the same weights, and messages go forward only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams, incoming
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.contrast.excerpts import Batch, ExcerptMemory
from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout, output_width
from stream_infomax.learning.contrast.shapes import Shape, restored, shape_of
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.extras import require
from stream_infomax.settings.record import make
from stream_infomax.stages.batches import carries_batches, to_arrays
from stream_infomax.stages.contrast_settings import ContrastSettings
from stream_infomax.stages.pupil import Pupil, StreamMemory
from stream_infomax.stages.steering import ACTIONS, PAUSED, Steering, logged
from stream_infomax.stages.teachers import BatchesBelow, BatchesOfFeatures, OwnExcerpts, Teacher
from stream_infomax.state.kept import text, within

if TYPE_CHECKING:  # torch takes seconds, and whoever reads a configuration does not need it
    from stream_infomax.learning.contrast.online import OnlineModule

Rows = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


@configured_by(ContrastSettings)
class ContrastStage(Accounting):
    """Encode each frame's rows with the module as it stood before, then train.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds (row axes of the input, its output); a module with a GRU adds
        ``<name>.context`` (c) too. ``<name>.batch`` and ``.batch.lengths``, ``.sizes``, ``.past`` and ``.streams``
        carry training batches, as `to_arrays` says.
    input
        The array to learn from: features for the first module, the module below for the others.
    carry
        Arrays of the incoming frame that are passed on.
    """

    actions: ClassVar[frozenset[Action]] = ACTIONS

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        given = make(ContrastSettings, settings).settled({})
        require(*given.needs())
        modules = layout(given.layout, given.width)
        self.name, self.input, self.carry, self.settings = name, input, tuple(carry), given
        self.account, self.reads, self.shows = Account(name, "stage"), (input,), given.adds(name)
        self.layers, self.is_last = modules[given.module - 1], given.module == len(modules)
        self.learn = given.learn
        self.pupil: Pupil | None = None  # before the first rows
        self.streams: Streams[StreamMemory] = Streams()
        self.steering = Steering(name)
        self.encoder = ""  # of the features that it learns from
        self._described = given.described(name)
        self._has_warned = False

    def _new_teacher(self, is_given_batches: bool) -> Teacher:
        given = self.settings
        if given.module > 1:
            return BatchesBelow(self.input)
        if is_given_batches:
            return BatchesOfFeatures(self.input, live=given.live)
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
            pupil.teacher.watch(rows)
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
        is_given_batches = carries_batches(frame, self.input)
        try:
            shape = shape_of(axes[:n], array.data.shape[:n], math.prod(array.row_shape), frame.rate)
            if self.pupil is None:
                self.pupil = self._new_pupil(shape, is_given_batches)
        except ValueError as error:
            raise ValueError(f"stage {self.name!r} reads {self.input!r}: {error}") from error
        if shape != self.pupil.shape:
            raise ValueError(
                f"stage {self.name!r}: {self.input!r} changed from {self.pupil.shape} to {shape} at offset "
                f"{frame.offset} of stream {frame.stream!r}; a module keeps its sizes"
            )
        is_first = self.settings.module == 1
        if self.learn and is_first and is_given_batches == isinstance(self.pupil.teacher, OwnExcerpts):
            came, comes = ("with", "without") if not is_given_batches else ("without", "with")
            raise ValueError(
                f"stage {self.name!r}: {self.input!r} came {came} batches before and comes {comes} at offset "
                f"{frame.offset} of stream {frame.stream!r}; a module keeps learning from the one or the other"
            )
        return self.pupil

    def _new_pupil(self, shape: Shape, is_given_batches: bool) -> Pupil:
        return Pupil(self._new_module(shape), shape, self._new_teacher(is_given_batches), self.settings.excerpt)

    def _new_module(self, shape: Shape) -> OnlineModule:
        from stream_infomax.learning.contrast.online import OnlineModule

        given = self.settings
        stride = math.prod(layer.stride for layer in self.layers if isinstance(layer, Conv))
        assert given.skip != "auto"
        asked = ("negatives", "anchors", "own", "stream", "temperature", "reach", "residual", "normalise")
        online = ("seed", "learning_rate", "warmup_rows", "decay_rows", "device")
        same: dict[str, Any] = {key: getattr(given, key) for key in (*asked, *online)}
        same |= shape.loss(stride, given.horizon_ms / 1000, given.skip)
        return OnlineModule(
            shape.channels,
            self.layers,
            index=given.module - 1,
            **same,
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
        output = output_width(prod(array.row_shape), self.layers, self.settings.residual)
        z, c = (np.zeros((0,) * array.n_row_axes + (n,), np.float32) for n in (output, self.layers[-1].width))
        return self._named(array, z, c)

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
        text = json.dumps([*self._described.values()]) + below
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    # --- state -------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return weights, optimiser, memory of excerpts, the streams' tails, the counters, and whether it is paused."""
        pupil = None
        if self.pupil is not None:
            pupil = {"batches": isinstance(self.pupil.teacher, BatchesOfFeatures), **self.pupil.state()}
        return {
            "described": self._described,
            "encoder": self.encoder,
            "pupil": pupil,
            "steering": self.steering.state(),
            **self.streams.state(),
        }

    def restore(self, state: State) -> None:
        """Take over what `state()` returned; ValueError where it is of another module, or by another version."""
        self._check_described(state["described"])
        self.encoder, self.pupil = text(state["encoder"], "encoder"), None
        if state["pupil"] is not None:
            self.pupil = self._new_pupil(restored(state["pupil"]["shape"]), state["pupil"]["batches"] is True)
            self.pupil.restore(state["pupil"])
        with within("steering"):
            self.steering.restore(state["steering"])
        self.streams.restore(state, self._new_stream)

    def _check_described(self, saved: Any) -> None:
        """Raise ValueError where a state is of another module."""
        if not isinstance(saved, dict) or saved.keys() != self._described.keys():
            raise ValueError(f"stage {self.name!r}: another version wrote the state, of {saved!r:.200}")
        for key, value in self._described.items():
            if saved[key] != value:
                raise ValueError(f"stage {self.name!r}: {key} is {value!r}, the state is of {saved[key]!r}")

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
        counts |= self.pupil.teacher.holds()
        skipped = Counter(self.streams.counts)
        for more in (self.pupil.teacher.counts, online.skipped):
            skipped.update(more)
        counts |= self.steering.counts()
        return counts | {f"skipped: {reason}": count for reason, count in skipped.items()}
