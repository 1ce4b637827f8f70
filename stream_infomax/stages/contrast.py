"""ContrastStage: one gradient-isolated module of Greedy InfoMax on the features of a stream.

Every module is a stage. The first keeps the memory of excerpts, draws the training batches and learns from them; what
it made of them travels on with the frame that triggered them, and the next module learns from that. So modules in one
process, modules in several and joint training give the same weights, and messages go forward only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from stream_infomax.frames.contracts import Metrics, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch, Cutter, ExcerptMemory, pad
from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout, steps_ahead
from stream_infomax.learning.measures.standardise import RunningScale
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.types import Doc, NotNegative, Positive, PositiveFloat, Seed, Share
from stream_infomax.stages.batches import pack, unpack

if TYPE_CHECKING:  # torch takes seconds, and whoever reads a configuration does not need it
    from stream_infomax.learning.contrast.online import GridEncoder, OnlineModule, StreamState

Rows = npt.NDArray[np.float32]

MOST_GRID_STEPS = 5  # GIM predicts up to five rows of patches downwards
SCALE_HALF_LIFE = 600.0  # seconds; a slow standardisation does not chase what is being learnt from it
LATE = 1.0  # seconds behind the stream at which live mode stops training

log = logging.getLogger(__name__)


class ContrastSettings(Settings, frozen=True, kw_only=True):
    """One gradient-isolated contrastive module: number `module` of the stack that `layout` names."""

    layout: Annotated[
        Literal["fine", "paired", "paper", "patches"],
        Doc(
            "The stack. `fine`: a layer a module, for features at 100 to 200 rows a second. `paired`: the same layers "
            "in two modules. `paper`: six modules for raw audio at 16 kHz. `patches`: two modules for grids of patches."
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

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the stage needs."""
        return ("torch",)


@configured_by(ContrastSettings)
class ContrastStage:
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

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        import stream_infomax.learning.contrast.modules  # noqa: F401  (where torch is missing, it says so here)

        given = make(ContrastSettings, settings)
        modules = layout(given.layout, given.width)
        self.name, self.input, self.carry = name, input, tuple(carry)
        self.layers, self.number = modules[given.module - 1], given.module
        self.is_last = given.module == len(modules)
        self.horizon, self.skip = given.horizon_ms / 1000, given.skip
        self.loss = {"negatives": given.negatives, "anchors": given.anchors}
        self.learning_rate, self.rows, self.excerpt = given.learning_rate, given.rows, given.excerpt
        self.updates, self.every = given.updates, given.every
        self.live, self.learn, self.device, self.seed = given.live, given.learn, given.device, given.seed
        self.memory = ExcerptMemory(given.memory, given.reservoir, given.seed)
        self.online: OnlineModule | None = None
        self.geometry: tuple[int, ...] = ()  # of a grid: height and width in patches
        self.grid: GridEncoder | None = None
        self.rate = 0.0
        self.scale: RunningScale | None = None
        self.streams: dict[str, StreamState] = {}
        self.encoder = ""  # of the features that come in
        self.offset = -1
        self.draws = 0
        self.counts = {"late": 0, "short": 0, "gaps": 0, "new_encoder": 0}
        self._described = json.dumps(
            [name, given.layout, given.module, given.width, given.horizon_ms, given.skip, given.seed]
        )
        self._start: float | None = None  # of the stream on this machine's clock; live mode only
        self._has_warned = False

    def process(self, frame: Frame) -> Frame:
        """Return the frame with this module's output, and the batches that the next module trains on.

        Raises
        ------
        ValueError
            Where the rows' size, the grid or the rate change, or the axes are neither a sequence nor a grid.
        """
        self._notice_lost_frames(frame)
        array = frame.arrays.get(self.input)
        if array is None:
            return frame.extend({}, self.carry)
        rows = np.ascontiguousarray(array.rows(), dtype=np.float32)
        if self.online is None and not (rows.shape[1] and np.isfinite(rows).all(1).any()):
            return frame.extend(self._nothing(array), self.carry, encoder=self._encoder_id())
        online = self._settle(frame, array, rows.shape[1])
        self._notice_encoder(frame)
        state = self._stream(frame, online)
        if self.learn and self.number == 1 and self.scale is not None:
            self.scale.update(rows[np.isfinite(rows).all(1)])
        arrays = self._encode(array, rows, state)
        if self.learn:
            arrays.update(self._train(frame, rows, state))
        if frame.last or frame.end:
            state.encoder.reset()
        if frame.end:
            self.streams.pop(frame.stream)
        return frame.extend(
            arrays,
            self.carry,
            rate=frame.rate / online.module.stride,
            encoder=self._encoder_id(),
            update=online.updates,
        )

    # --- what comes in -------------------------------------------------------------------------------------------

    def _settle(self, frame: Frame, array: Array, channels: int) -> OnlineModule:
        """Build the module for the first rows, and refuse others of another kind."""
        row_axes = array.axes[: array.n_row_axes]
        if row_axes not in (("time",), ("grid_y", "grid_x")):
            raise ValueError(
                f"stage {self.name!r}: {self.input!r} has the row axes {row_axes}; a contrast needs rows in time "
                f"or a grid of patches (windows of form 'grid', pictures in mode 'crops' or 'tiles')"
            )
        geometry = array.data.shape[:2] if len(row_axes) == 2 else ()
        if self.online is None:
            self._build(channels, geometry, frame.rate)
        assert self.online is not None
        here, known = (channels, geometry, frame.rate), (self.online.module.channels, self.geometry, self.rate)
        if here != known:
            raise ValueError(
                f"stage {self.name!r}: {self.input!r} changed from (channels, grid, rate) {known} to {here} at offset "
                f"{frame.offset} of stream {frame.stream!r}; a module keeps its sizes"
            )
        return self.online

    def _nothing(self, array: Array) -> dict[str, Array]:
        """Return no rows: before the first finite one the width of the features may not have settled."""
        axes = (*array.axes[: array.n_row_axes], "component")
        none = Array(np.zeros((0,) * array.n_row_axes + (self.layers[-1].width,), np.float32), axes)
        recurrent = isinstance(self.layers[-1], Recurrent)
        return {self.name: none, **({f"{self.name}.context": none} if recurrent else {})}

    def _build(self, channels: int, geometry: tuple[int, ...], rate: float) -> None:
        from stream_infomax.learning.contrast.online import GridEncoder, OnlineModule

        strides = [layer.stride for layer in self.layers if isinstance(layer, Conv)]
        loss = dict(self.loss)
        if geometry:
            height, columns = geometry
            steps = min(MOST_GRID_STEPS, height - 1 - self.skip)
            if steps < 1:
                raise ValueError(
                    f"stage {self.name!r}: a grid of {height} rows of patches leaves nothing to predict below "
                    f"{self.skip} skipped ones; it needs {self.skip + 2}"
                )
            loss.update(skip=self.skip, columns=columns)
        else:
            steps = steps_ahead(self.horizon, rate / int(np.prod(strides)))
        self.online = OnlineModule(
            channels,
            self.layers,
            steps,
            seed=self.seed,
            index=self.number - 1,
            learning_rate=self.learning_rate,
            device=self.device,
            **loss,
        )
        self.geometry, self.rate = geometry, rate
        self.grid = GridEncoder(self.online, *geometry) if geometry else None
        self.scale = self._new_scale(channels)

    def _new_scale(self, channels: int) -> RunningScale:
        return RunningScale(channels, SCALE_HALF_LIFE * self.rate if self.rate else None)

    def _notice_lost_frames(self, frame: Frame) -> None:
        """Start afresh where frames are missing, as at the border of a segment."""
        if 0 <= self.offset < frame.offset - 1:
            self.counts["gaps"] += 1
            for state in self.streams.values():
                state.encoder.reset()
                self._keep(state.cutter.close())
        self.offset = frame.offset

    def _notice_encoder(self, frame: Frame) -> None:
        """Forget what was learnt from the features of another encoder, except the weights."""
        if self.encoder and frame.encoder != self.encoder and self.online is not None and self.scale is not None:
            self.counts["new_encoder"] += 1
            self.memory.clear()
            self.streams.clear()
            self.scale = self._new_scale(self.online.module.channels)
            self.online.raise_learning_rate()
        self.encoder = frame.encoder

    def _stream(self, frame: Frame, online: OnlineModule) -> StreamState:
        state = self.streams.get(frame.stream)
        if state is None:
            state = self.streams[frame.stream] = self._new_stream(online)
        if state.segment != frame.segment:
            state.encoder.reset()
            self._keep(state.cutter.close())
            state.segment = frame.segment
        return state

    def _new_stream(self, online: OnlineModule) -> StreamState:
        from stream_infomax.learning.contrast.online import RowEncoder, StreamState

        shortest = online.module.stride * 2  # the fewest rows from which one prediction can be made
        return StreamState(RowEncoder(online), Cutter(online.module.channels, max(self.excerpt, shortest), shortest))

    # --- encoding and training -----------------------------------------------------------------------------------

    def _encode(self, array: Array, rows: Rows, state: StreamState) -> dict[str, Array]:
        if self.number == 1 and self.scale is not None:
            rows = self.scale.apply(rows)
        z, c = self.grid.encode(rows) if self.grid is not None else state.encoder.encode(rows)
        axes = (*array.axes[: array.n_row_axes], "component")
        shape = self.geometry or (len(z),)
        arrays = {self.name: Array(z.reshape(*shape, z.shape[-1]), axes)}
        if state.encoder.module.module.recurrent is not None:
            arrays[f"{self.name}.context"] = Array(c.reshape(*shape, c.shape[-1]), axes)
        return arrays

    def _train(self, frame: Frame, rows: Rows, state: StreamState) -> dict[str, Array]:
        assert self.online is not None
        batches = self._draw(frame, rows, state) if self.number == 1 else unpack(frame, self.input)
        passed_on = [learnt for batch in batches if (learnt := self.online.learn(batch)) is not None]
        if self.online.collapsed and not self._has_warned:
            self._has_warned = True
            log.warning("stage %r: the score has long been that of chance; the module predicts nothing", self.name)
        return {} if self.is_last or not passed_on else pack(passed_on, self.name)

    def _draw(self, frame: Frame, rows: Rows, state: StreamState) -> list[Batch]:
        """Put what the frame completes into the memory, and return the batches that this earns."""
        if self.grid is not None:
            excerpts = [self.grid.columns(rows).reshape(len(rows), -1)] if np.isfinite(rows).all() else []
            self.counts["gaps"] += not excerpts
        else:
            short = state.cutter.short
            excerpts = state.cutter.add(rows, frame.last or frame.end)
            self.counts["short"] += state.cutter.short - short
        if self.live and self._is_late(frame):
            self._keep(excerpts)
            self.counts["late"] += len(excerpts)
            return []
        batches = []
        for excerpt in excerpts:
            self._keep([excerpt])
            for _ in range(self.updates if self.memory.count % self.every == 0 else 0):
                batches.append(self._batch())
                self.draws += 1
        return batches

    def _keep(self, excerpts: list[Rows]) -> None:
        if self.number == 1:
            for excerpt in excerpts:
                self.memory.add(excerpt)

    def _batch(self) -> Batch:
        assert self.scale is not None
        chosen = [self.scale.apply(excerpt) for excerpt in self.memory.draw(self.rows, self.draws)]
        if not self.geometry:
            return pad(chosen)
        height, width = self.geometry
        columns = np.stack(chosen).reshape(len(chosen) * width, height, -1)
        return Batch(columns, np.full(len(columns), height, np.int64))

    def _is_late(self, frame: Frame) -> bool:
        now = time.monotonic()
        if self._start is None:
            self._start = now - frame.time
        return now - self._start - frame.time > LATE

    def _encoder_id(self) -> str:
        # The same module on the same features has the same id wherever it runs, so that runs can be compared.
        text = self._described + self.encoder
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return weights, optimiser, memory, the streams' tails and the counters."""
        saved: State = {
            "described": self._described,
            "encoder": self.encoder,
            "offset": self.offset,
            "draws": self.draws,
            "counts": dict(self.counts),
            "memory": self.memory.state(),
            "built": self.online is not None,
        }
        if self.online is not None and self.scale is not None:
            saved |= {
                "channels": self.online.module.channels,
                "geometry": list(self.geometry),
                "rate": self.rate,
                "module": self.online.state(),
                "scale": self.scale.state(),
                "streams": {name: state.state() for name, state in self.streams.items()},
            }
        return saved

    def restore(self, state: State) -> None:
        """Take over what `state()` returned; ValueError where it is of a module of other sizes."""
        if state["described"] != self._described:
            raise ValueError(
                f"stage {self.name!r}: the state is of {state['described']}, this is {self._described} "
                f"(name, layout, module, width, horizon_ms, skip, seed)"
            )
        self.encoder, self.offset = state["encoder"], int(state["offset"])
        self.draws, self.counts = int(state["draws"]), dict(state["counts"])
        self.memory.restore(state["memory"])
        self.online, self.streams = None, {}
        if not state["built"]:
            return
        self._build(int(state["channels"]), tuple(state["geometry"]), float(state["rate"]))
        assert self.online is not None and self.scale is not None
        self.online.restore(state["module"])
        self.scale.restore(state["scale"])
        for name, saved in state["streams"].items():
            self.streams[name] = self._new_stream(self.online)
            self.streams[name].restore(saved)

    def start_encoding(self, untrained: bool = False) -> None:
        """From now on only encode, from another beginning; `untrained` with the weights from before any learning."""
        self.learn, self.offset = False, -1
        self.streams.clear()
        if untrained and self.online is not None:
            scale = self.scale
            self._build(self.online.module.channels, self.geometry, self.rate)
            self.scale = scale

    def metrics(self) -> Metrics:
        """Return updates, score (nats) and accuracy of the contrast, collapse, memory, and what was skipped and why."""
        if self.online is None:
            return {"updates": 0}
        online = self.online
        metrics: dict[str, float] = {
            "updates": online.updates,
            "score": online.score,
            "accuracy": online.accuracy,
            "best_score": online.best_score,
            "collapsed": float(online.collapsed),
        }
        if self.number == 1:
            metrics |= {"excerpts": len(self.memory), "memory_bytes": self.memory.nbytes}
        counts = {**self.counts, **online.skipped, "short": self.counts["short"] + online.skipped["short"]}
        metrics.update({f"skipped.{reason}": count for reason, count in counts.items()})
        return metrics
