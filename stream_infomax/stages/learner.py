"""LearnerStage: online infomax on the rows of a stream, published as features."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict, replace

from stream_infomax.frames.basis import Basis, joined
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import GRAVE, Event, event_line
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import incoming, is_unsettled
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting
from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.learning.infomax.neurons import width
from stream_infomax.learning.infomax.settings import InfomaxSettings
from stream_infomax.learning.measures.panel import Panel
from stream_infomax.learning.threads import one_thread
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.printable import printable
from stream_infomax.settings.record import make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, NotNegativeFloat, Seed
from stream_infomax.stages.own_learners import OwnLearners
from stream_infomax.stages.thinning import Thinning
from stream_infomax.state.kept import text, within

# Rows of a frame, spread over it, that the running measures look at: enough for a curve, and hardly a cost.
WATCHED = 32

log = logging.getLogger(__name__)

_Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class LearnerSettings(InfomaxSettings, StageSettings, frozen=True, kw_only=True):
    """Online infomax."""

    free: ClassVar = ("half_life", "adapt", "false_alarm_rows", "budget_ms", "learn")

    learn: Annotated[bool, Doc("False: only encode.")] = True
    share: Annotated[
        Literal["all", "stream"],
        Doc(
            "`all`: one basis serves all streams. `stream`: each stream has a learner of its own, with a memory of its "
            "own; 16 of those that have ended are kept."
        ),
    ] = "all"
    budget_ms: Annotated[
        NotNegativeFloat,
        Doc(
            "Milliseconds of a frame, in the mean, while others wait; 0: as many as it takes. Where encoding and "
            "learning take more, only 1 of 2, 4 … 64 frames is learnt from; all are encoded."
        ),
    ] = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_rank is not None and self.n_components is not None and self.n_rank > self.n_components:
            raise SettingError("n_rank", self.n_rank, f"n_rank <= n_components = {self.n_components}")

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the features, and whether the warm-up ends within the data."""
        if incoming.width is None:
            return None
        if not incoming.at_most:
            self.check_memory(incoming.width)
        n_components = self.n_components or self.n_rank or incoming.width
        warmup = self.rows_of_warmup(incoming.width)
        seconds = f", {warmup / incoming.rate:,.1f} s" if incoming.rate else ""
        of = "" if incoming.live else f" of {incoming.rows:,}"
        about = f"warm-up {'at most ' if incoming.at_most else ''}{warmup:,}{of} rows{seconds}"
        is_short = self.learn and self.rows_until_basis(incoming.width) > incoming.rows
        is_short = is_short and not (incoming.at_most or incoming.live)
        return replace(
            incoming,
            row=(width(self.output, n_components),),
            channels=(),
            units=(),
            at_most=incoming.at_most or not self.overcomplete,
            about=about if self.learn else "",
            warning=f"the data end before the warm-up: {about}" if is_short else "",
        )


@configured_by(LearnerSettings)
class LearnerStage(Accounting):
    """Learn from each frame's rows and publish them encoded with the basis as it stood before.

    One basis serves all streams, or each has its own (`share`): then this makes an `OwnLearners`. Rows that are set
    aside (not finite, warm-up) come out as NaN. The warm-up decides how many outputs there are: its rows have no
    columns, unless `overcomplete` says that there are `n_components` whatever the rank. Once rows have columns, their
    number stays.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds: shape (row axes of the input, width), float32.
    input
        The array to learn from.
    carry
        Arrays of the incoming frame that are passed on.
    stream
        The one stream that it learns from, where each has a learner of its own.
    thinning
        Says which frames are learnt from, where learners share that.
    """

    def __new__(
        cls,
        name: str = "",
        input: str = "",
        carry: tuple[str, ...] = (),
        stream: str | None = None,
        thinning: Thinning | None = None,
        **settings: Any,
    ) -> Any:
        """Return the stage that the settings describe."""
        if settings.get("share") == "stream" and stream is None:
            thinning = Thinning(name, make(LearnerSettings, settings).budget_ms)
            return OwnLearners(name, input, partial(cls, name, input, carry, thinning=thinning, **settings), thinning)
        return object.__new__(cls)

    def __init__(
        self,
        name: str,
        input: str,
        carry: tuple[str, ...] = (),
        stream: str | None = None,
        thinning: Thinning | None = None,
        **settings: Any,
    ) -> None:
        from stream_infomax.learning.infomax.estimator import OnlineInfomax
        from stream_infomax.learning.measures.information import RunningInformation
        from stream_infomax.learning.measures.spectra import RunningSpectra

        given = make(LearnerSettings, settings)
        self.name = name
        self.input = input
        self.carry = tuple(carry)
        self.stream = stream or ""
        self.learn = given.learn
        parameters = {key: getattr(given, key) for key in InfomaxSettings.__struct_fields__}
        self.learner = OnlineInfomax(random_state=given.seed, **parameters).set_output(transform="default")
        self.encoder = _encoder_id(name, given.seed, parameters, self.stream)
        self.row_axes: tuple[str, ...] = ()
        self.row_shape: tuple[int, ...] = ()
        self._panel = Panel(seed=given.seed)
        self._information = RunningInformation()
        self.spectra = RunningSpectra()
        self._frame_information = math.nan
        self._in_quarantine = False
        self._n_encoded = 0  # rows, where it does not learn: spikes are drawn by their number
        self.thinning = Thinning(name, given.budget_ms) if thinning is None else thinning
        self.account, self.reads = Account(name, "stage"), (input,)
        self._booked: Counter[str] = Counter()  # of what the learner counts, what the account has
        self._pending: deque[tuple[str, int]] = deque()  # rows that the learner has, by stream, oldest first
        self._n_thinned = 0  # rows of frames that were not learnt from, to save time

    def process(self, frame: Frame) -> Frame:
        """Return the frame with the features of its rows; raises ValueError where the rows change their size."""
        array = incoming(frame, self.input, self.name)
        if array is None:
            return frame
        if is_unsettled(array):
            self.account.set_aside(frame.stream, NO_WIDTH, array.n_rows)
            basis = joined(frame.basis, "")
            return frame.extend({self.name: array}, self.carry, encoder=self.encoder, update=0, basis=basis)
        self._settle_geometry(frame, array)
        basis = joined(frame.basis, self.learner.version_ if self.is_warm else "")
        n_events = self.learner.n_events_
        rows = array.rows()
        # What float32 cannot hold is centred as float64: float32 has no digits left for small signals on large offsets.
        kind = np.result_type(rows.dtype, np.float32)
        rows = np.ascontiguousarray(rows, dtype=kind)
        event = self.thinning.begin(frame.offset, self.learner.n_rows_seen_) if self.learn and self.is_warm else None
        features = self._features(frame, rows)
        self._book(frame.stream)
        return frame.extend(
            {self.name: array.replace_rows(features)},
            self.carry,
            encoder=self.encoder,
            update=self.learner.n_updates_,
            basis=basis,
            events=(*frame.events, *self._tell(n_events, event)),
        )

    def _features(self, frame: Frame, rows: _Rows) -> npt.NDArray[np.float32]:
        if not self.learn:
            if not self.is_warm:
                raise ValueError(
                    f"stage {self.name!r} has learn = false but no basis; name one with start = CHECKPOINT, "
                    "of a learner whose warm-up was over"
                )
            self._look(frame, rows)
            self._n_encoded += len(rows)
            features = self.learner.transform(rows, self._n_encoded - len(rows))
            finite = features[:, 0] == features[:, 0]
            self.account.set_aside(frame.stream, NOT_FINITE, int((~finite).sum()))
            self.account.process(frame.stream, int(finite.sum()))
            return features
        if not self.is_warm:
            return self._warmed_up(rows)
        features = self.learner.transform(rows, self._n_rows)
        learns = self.thinning.learns(frame.offset)
        if learns:
            self._look(frame, rows)
            self.learner.partial_fit(rows)
        else:
            self._n_thinned += len(rows)
            self.account.set_aside(frame.stream, "thinned", len(rows))
            self.spectra.interrupt()
        self.thinning.end(learns)
        return features

    def _book(self, stream: str) -> None:
        """Take into the account what the learner has counted: it sets aside and learns from blocks, of all streams."""
        counted, booked = self._counted(), self._booked
        new = {what: n - booked[what] for what, n in counted.items() if n != booked[what]}
        booked.update(new)
        self.account.set_aside(stream, NOT_FINITE, new.pop(NOT_FINITE, 0))
        if taken := new.pop("taken", 0):
            self._pending.append((stream, taken))
        for what, n in new.items():
            for of, rows in self._take_pending(n):
                if what == "learnt":
                    self.account.process(of, rows)
                else:
                    self.account.set_aside(of, what, rows)

    def _take_pending(self, n: int) -> Iterator[tuple[str, int]]:
        """Yield the oldest `n` rows that the learner has, by stream; fewer where the first are of another run."""
        while n and self._pending:
            stream, rows = self._pending.popleft()
            if rows > n:
                self._pending.appendleft((stream, rows - n))
            yield stream, min(rows, n)
            n -= min(rows, n)

    def in_flight(self) -> Mapping[str, int]:
        """Return the rows of each stream in the block that is not full yet."""
        held: Counter[str] = Counter()
        for stream, rows in self._pending:
            held[stream] += rows
        return held

    def take_up(self, in_flight: Mapping[str, int]) -> None:
        """Learn of which streams the rows in the block are."""
        self._pending = deque(in_flight.items())

    def _counted(self) -> Counter[str]:
        """Return what the learner has counted of the rows that it took."""
        learner = self.learner
        if not hasattr(learner, "n_features_in_"):
            return Counter()
        return Counter({"taken": learner.n_rows_seen_, **learner.n_set_aside_, **learner.became()})

    def _warmed_up(self, rows: _Rows) -> npt.NDArray[np.float32]:
        """Learn from rows of the warm-up, and return them as not encoded."""
        # What is to be said of its end belongs into the log of a run.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            features = self.learner.partial_fit_transform(rows)
        for warning in said:
            log.warning("stage %s: %s", self.key, warning.message)
        return features if self.learner.overcomplete else features[:, :0]

    @property
    def _n_rows(self) -> int:
        """Rows so far, by which spikes are drawn."""
        return self.learner.n_rows_seen_ + self.learner.n_set_aside_["not finite"] + self._n_thinned

    def _tell(self, n_before: int, thinned: Event | None) -> tuple[Event, ...]:
        """Return what has happened since the learner had `n_before` events; the log has a line of each."""
        n_new = self.learner.n_events_ - n_before
        new = self._learners_events()[-n_new:] if n_new else []
        told = [thinned, *new] if thinned else new
        for event in told:
            log.log(logging.WARNING if event.kind in GRAVE else logging.INFO, event_line(event))
        if self.learner.adapt == "follow" and any(event.kind in ("change", "undo") for event in new):
            self.spectra.clear()
            self._panel.clear()  # what was before is not what is learnt from now on
        if new:
            self._in_quarantine = self._ends_in_quarantine()
        return tuple(told)

    def _ends_in_quarantine(self) -> bool:
        """Return whether the newest rows were bad ones."""
        kinds = [event.kind for event in self.learner.events_ if event.kind in ("quarantine", "release")]
        return kinds[-1:] == ["quarantine"]

    def _look(self, frame: Frame, rows: _Rows) -> None:
        """Measure rows that have not been learnt from yet, and let them into the panel."""
        if self._in_quarantine:  # rows that teach nothing judge nothing either
            self.spectra.interrupt()
            return
        # Channels that are measured at a rate have a spectrum; windows show theirs themselves.
        if self.row_axes == ("channel",) and self.spectra.wants(len(rows), frame.rate, frame.stream, frame.segment):
            with one_thread(), np.errstate(invalid="ignore", over="ignore"):  # of sums of large powers
                self.spectra.add(self._potentials(rows))
        rows = rows[:: -(-len(rows) // WATCHED) or 1]
        with one_thread():
            self._frame_information = self._information.partial_fit(self._potentials(rows), self.learner.rotation_)
        self._panel.add(rows)

    def _potentials(self, rows: _Rows) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not measured
            centred = (rows - self.learner.mean_).astype(np.float32)
            return np.asarray(centred @ self.learner.components_.T)

    def _settle_geometry(self, frame: Frame, array: Array) -> None:
        axes = array.axes[array.n_row_axes :]
        if not self.row_axes:
            self.row_axes, self.row_shape = axes, array.row_shape
        if array.row_shape != self.row_shape:
            raise ValueError(
                f"stage {self.name!r}: rows of {self.input!r} changed their shape from {self.row_shape} to "
                f"{array.row_shape} at offset {frame.offset} of stream {frame.stream!r}; a learner keeps one shape"
            )

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """From now on only encode, with the basis that there is."""
        self.learn, self.carry = False, carry

    def state(self) -> State:
        """Return the learner, the panel, the running measures, the geometry of a row and what was thinned."""
        own = {} if self.stream else {"thinning": self.thinning.state()}
        return {
            **own,
            "n_thinned": self._n_thinned,
            "learner": self.learner.state(),
            "panel": self._panel.state(),
            "information": self._information.state(),
            "spectra": self.spectra.state(),
            "frame_information": None if math.isnan(self._frame_information) else self._frame_information,
            "n_encoded": self._n_encoded,
            "encoder": self.encoder,
            "row_axes": list(self.row_axes),
            "row_shape": list(self.row_shape),
        }

    def restore(self, state: State) -> None:
        """Take over what `state()` returned."""
        if "learner" not in state:
            raise ValueError("share: the state is of a learner for each stream; here one serves all")
        self.learner.restore(state["learner"])
        self._in_quarantine = self._ends_in_quarantine()
        self._booked, self._pending = self._counted(), deque()
        self._panel.restore(state["panel"])
        self._information.restore(state["information"])
        self.spectra.restore(state["spectra"])
        bits = state["frame_information"]
        self._frame_information = math.nan if bits is None else float(bits)
        self._n_encoded, self._n_thinned = int(state["n_encoded"]), int(state["n_thinned"])
        if not self.stream:
            with within("thinning"):
                self.thinning.restore(state["thinning"])
        self.encoder = text(state["encoder"], "encoder")
        self.row_axes = tuple(state["row_axes"])
        self.row_shape = tuple(state["row_shape"])

    def rest(self, seconds: float) -> None:
        """Take note that for so long no frame was waiting: there is time to learn."""
        self.thinning.rest(seconds)

    def retrace(self, state: State) -> None:
        """From now on learn from the frames that were learnt from on the way to a state. Raises as `Thinning`."""
        with within("thinning"):
            self.thinning.retrace(state["thinning"])

    @property
    def is_warm(self) -> bool:
        """Whether the warm-up is over: there is a basis."""
        return hasattr(self.learner, "components_")

    @property
    def key(self) -> str:
        """What tells it from others: its name and, where it has one, its stream."""
        return f"{self.name}/{self.stream}" if self.stream else self.name

    def bases(self) -> list[Basis]:
        """Return the basis that the next frame is encoded with; none while the warm-up lasts."""
        return [basis] if (basis := self.basis()) is not None else []

    def basis(self) -> Basis | None:
        """Return the basis that the next frame is encoded with; None while the warm-up lasts."""
        if not self.is_warm:
            return None
        learner = self.learner
        return Basis(
            stage=self.name,
            encoder=self.encoder,
            version=learner.version_,
            output=learner.output,
            amplitude=math.sqrt(learner.n_components_ / learner.n_rank_),
            mean=learner.mean_,
            components=learner.components_,
            mixing=learner.mixing_,
            beta=learner.beta_,
            bias=learner.bias_,
            seed=learner.seed_,
            stream=self.stream,
            axes=self.row_axes,
            shape=self.row_shape,
        )

    def measures(self) -> list[Measure]:
        """Return objective (nats) and coefficient entropy (bits) on the panel, and the information of recent rows."""
        from stream_infomax.learning.measures.information import RunningEntropy, RunningInformation

        if not self._panel.seen:
            return []
        learner = self.learner
        objective = learner.objective_
        with one_thread():
            potentials = self._potentials(self._panel.rows)
            if learner.n_components_ == learner.n_rank_:
                judged = RunningInformation()
                judged.partial_fit(potentials, learner.rotation_)
                objective = judged.objective
        values: dict[Kind, float] = {
            "objective": objective,
            "entropy": RunningEntropy().partial_fit(potentials).value,
            "information": self._information.information,
        }
        position, level = learner.n_rows_seen_, printable(self.stream, 64)
        return [
            Measure(self.name, level, kind, value, position) for kind, value in values.items() if math.isfinite(value)
        ]

    def _learners_events(self) -> list[Event]:
        of = f"stream {self.stream!r}: " if self.stream else ""
        return [Event(stage=self.name, **{**asdict(event), "text": of + event.text}) for event in self.learner.events_]

    def events(self) -> list[Event]:
        """Return the newest 64 events of the learner and the newest 64 changes of what is learnt from, oldest first."""
        own = [] if self.stream else self.thinning.events()
        return sorted([*self._learners_events(), *own], key=lambda event: event.position)

    def counts(self) -> Counts:
        """Return rows, updates, outlying rows, rows set aside by reason, and the newest frame's information (bits)."""
        learner = self.learner
        if not hasattr(learner, "n_features_in_"):  # no row has come yet
            return {}
        counts: dict[str, float] = {"rows": learner.n_rows_seen_, "updates": learner.n_updates_}
        if not math.isnan(self._frame_information):
            counts["frame information"] = self._frame_information
        counts["shortened"] = learner.n_shortened_
        aside = {**learner.n_set_aside_, **({"thinned": self._n_thinned} if self._n_thinned else {})}
        return counts | {f"set aside: {reason}": count for reason, count in aside.items()}


def _encoder_id(name: str, seed: int, parameters: dict[str, Any], stream: str) -> str:
    # It depends on settings only: runs can be compared.
    text = json.dumps([name, seed, parameters, *([stream] if stream else [])], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
