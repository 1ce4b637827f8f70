"""LearnerStage: online infomax on the rows of a stream, published as features."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.basis import Basis, joined
from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import incoming, is_unsettled
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.infomax.neurons import width
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.printable import printable
from stream_infomax.settings.record import make
from stream_infomax.stages.batches import encoded_batches
from stream_infomax.stages.booking import Booking
from stream_infomax.stages.learner_settings import LearnerSettings
from stream_infomax.stages.observed import Observed, Rows
from stream_infomax.stages.own_learners import DRIFT, EXAMINING, HELD, OwnLearners, Shared
from stream_infomax.stages.rounds import Rounds
from stream_infomax.stages.steering import LEARNERS_ACTIONS, PAUSED, Steering, logged, renamed
from stream_infomax.stages.thinning import Thinning
from stream_infomax.state.kept import counted, text, within

log = logging.getLogger(__name__)


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
        The name of the stage and of the array it adds: shape (row axes of the input, width), float32. Batches that
        come with the input (``<input>.batch``, …) are encoded too, as ``<name>.batch``, …, and never learnt from.
    input
        The array to learn from.
    carry
        Arrays of the incoming frame that are passed on.
    stream
        The one stream that it learns from, where each has a learner of its own.
    shared
        What learners share, where each stream has one.
    """

    actions: ClassVar[frozenset[Action]] = LEARNERS_ACTIONS

    def __new__(
        cls,
        name: str = "",
        input: str = "",
        carry: tuple[str, ...] = (),
        stream: str | None = None,
        shared: Shared | None = None,
        **settings: Any,
    ) -> Any:
        """Return the stage that the settings describe."""
        if settings.get("share") == "stream" and stream is None:
            shared = Shared(Thinning(name, make(LearnerSettings, settings).budget_ms), Steering(name))
            return OwnLearners(name, input, partial(cls, name, input, carry, shared=shared, **settings), shared)
        return object.__new__(cls)

    def __init__(
        self,
        name: str,
        input: str,
        carry: tuple[str, ...] = (),
        stream: str | None = None,
        shared: Shared | None = None,
        **settings: Any,
    ) -> None:
        from stream_infomax.learning.infomax.estimator import OnlineInfomax

        given = make(LearnerSettings, settings)
        self.name, self.input, self.carry = name, input, tuple(carry)
        self.stream = stream or ""
        self.learn = given.learn
        self.learner = OnlineInfomax(random_state=given.seed, **given.parameters).set_output(transform="default")
        self.encoder = given.encoder_id(name, self.stream)
        self.row_axes: tuple[str, ...] = ()
        self.row_shape: tuple[int, ...] = ()
        self.observed = Observed(self.learner, given.seed)
        self._in_quarantine = False
        self._n_encoded = 0  # rows, where it does not learn: spikes are drawn by their number
        self.thinning, self.steering = shared or Shared(Thinning(name, given.budget_ms), Steering(name))
        self.account, self.reads = Account(name, "stage"), (input,)
        self._booking = Booking(self.learner)
        self._n_asked = 0  # events of the learner by commands that no frame has taken along
        self._passed = Counter({"thinned": 0, PAUSED: 0})  # rows that the learner was not given, by reason
        self.rounds: Rounds | None = None

    def begin_rounds(self, name: str, rows: int, learners: int, begins: bool) -> None:
        """Learn in rounds with others, from the first frame on; see `Rounds`.

        Raises
        ------
        ValueError
            Where it only encodes, or follows changes of its own stream.
        """
        for key, value, accepted in (("learn", self.learn, True), ("adapt", self.learner.adapt, "fixed")):
            if value != accepted:
                raise ValueError(f"stage {self.name!r}: {key} = {value!r}; accepted in a fleet is {accepted!r}")
        self.rounds = Rounds(self.learner, name, rows, learners, begins)
        self.rounds.timed = self.thinning.budget > 0

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
        n_events = self.learner.n_events_ - self._n_asked
        rows = array.rows()
        # What float32 cannot hold is centred as float64: float32 has no digits left for small signals on large offsets.
        kind = np.result_type(rows.dtype, np.float32)
        rows = np.ascontiguousarray(rows, dtype=kind)
        learns = self.learn and self.is_warm and not self.steering.paused
        thinned = self.thinning.begin(frame.offset, self.learner.n_rows_seen_) if learns else None
        batches = self._batches(frame)  # encoded as the rows are: before the filters change
        features = self._features(frame, rows)
        self._booking.book(self.account, frame.stream)
        if self.rounds is not None:
            self.rounds.count(len(rows))
        return frame.extend(
            {self.name: array.replace_rows(features), **batches},
            self.carry,
            encoder=self.encoder,
            update=self.learner.n_updates_,
            basis=basis,
            events=(*frame.events, *self._tell(n_events, thinned)),
        )

    def _batches(self, frame: Frame) -> dict[str, Array]:
        """Return the input's batches encoded; none in the warm-up. Their spikes are drawn as those of the rows."""
        if not self.is_warm:
            return encoded_batches(frame, self.input, self.name, None)
        first = self._n_rows if self.learn else self._n_encoded
        return encoded_batches(frame, self.input, self.name, partial(self.learner.transform, first=first))

    def _features(self, frame: Frame, rows: Rows) -> npt.NDArray[np.float32]:
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
        if self.steering.paused:
            return self._paused(frame, rows)
        if not self.is_warm:
            return self._warmed_up(rows)
        features = self.learner.transform(rows, self._n_rows)
        learns = self.thinning.learns(frame.offset)
        if learns:
            self._look(frame, rows)
            self.learner.partial_fit(rows)
        else:
            self._pass_over(frame, "thinned", len(rows))
            self.observed.spectra.interrupt()
        self.thinning.end(learns)
        return features

    def _paused(self, frame: Frame, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows that are not learnt from; before there is a basis they come out as in the warm-up."""
        if self.is_warm:
            self._look(frame, rows)
            features = self.learner.transform(rows, self._n_rows)
        else:
            known = self.learner.n_components if self.learner.overcomplete else None
            features = np.full((len(rows), width(self.learner.output, known or 0)), np.nan, np.float32)
        self._pass_over(frame, PAUSED, len(rows))
        return features

    def _pass_over(self, frame: Frame, reason: str, n: int) -> None:
        """Count rows that the learner is not given."""
        self._passed[reason] += n
        self.account.set_aside(frame.stream, reason, n)

    def in_flight(self) -> Mapping[str, int]:
        """Return the rows of each stream in the block that is not full yet."""
        return self._booking.in_flight()

    def take_up(self, in_flight: Mapping[str, int]) -> None:
        """Learn of which streams the rows in the block are."""
        self._booking.take_up(in_flight)

    def _warmed_up(self, rows: Rows) -> npt.NDArray[np.float32]:
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
        return self.learner.n_rows_seen_ + self.learner.n_set_aside_["not finite"] + self._passed.total()

    def _tell(self, n_before: int, thinned: Event | None) -> tuple[Event, ...]:
        """Return what has happened since the learner had `n_before` events; the log has a line of each."""
        n_new = self.learner.n_events_ - n_before
        new = self._learners_events()[-n_new:] if n_new else []
        n_asked, self._n_asked = self._n_asked, 0
        # What a person undoes is no change of the rows.
        if self.learner.adapt == "follow" and any(event.kind in ("change", "undo") for event in new[n_asked:]):
            self.observed.clear()
        if new:
            self._in_quarantine = self._ends_in_quarantine()
        return logged([*self.steering.tell(), *([thinned] if thinned else []), *new])

    def _ends_in_quarantine(self) -> bool:
        """Return whether the newest rows were bad ones."""
        kinds = [event.kind for event in self.learner.events_ if event.kind in ("quarantine", "release")]
        return kinds[-1:] == ["quarantine"]

    def _look(self, frame: Frame, rows: Rows) -> None:
        """Measure rows that have not been learnt from yet."""
        self.observed.look(frame, rows, self.row_axes, self._in_quarantine)

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

    def command(self, command: Command, basis: Basis | None) -> None:
        """Do what a person wants, before the next frame; see `Steered`."""
        if command.action == "undo" and basis is not None and (basis.stage, basis.stream) != (self.name, self.stream):
            return  # of another learner
        if command.action == "pause":
            self.steering.pause(self.position, self.learn)
        elif command.action == "resume":
            if not self.steering.resume(self.position) + self.end_hold():
                self.steering.refuse("resume", self.position, "it is neither paused nor on hold")
        elif why := self.hold() if command.action == "hold" else self.undo(basis):
            self.steering.refuse(command.action, self.position, why)

    def hold(self) -> str:
        """Have the learner hold; return why it cannot, in words."""
        if why := self._unsteerable():
            return why
        return "" if self._asked(self.learner.hold) else "it is on hold already"

    def end_hold(self) -> bool:
        """End a hold of the learner; return whether there was one."""
        return self._asked(self.learner.resume) > 0

    def undo(self, basis: Basis | None) -> str:
        """Have the learner go back to a basis; return why it cannot, in words."""
        if why := self._unsteerable():
            return why
        if self.rounds is not None:
            return "it learns one basis with others, and would leave them"
        if basis is None:
            return "the basis is not there any more"
        try:
            self._asked(partial(self.learner.undo, basis))
        except ValueError as error:
            return str(error).removeprefix("earlier: ")
        self.observed.spectra.clear()  # of outputs that are not the same ones
        return ""

    def _asked(self, act: Callable[[], Any]) -> int:
        """Have the learner do something, which it may say in an event; return how many."""
        before = self.learner.n_events_
        act()
        self._n_asked += (n := self.learner.n_events_ - before)
        return n

    def _unsteerable(self) -> str:
        """Return why there is nothing to steer, in words; empty where there is."""
        return "the warm-up is not over" if not self.is_warm else "" if self.learn else "it only encodes"

    @property
    def position(self) -> int:
        """Rows that the learner has seen."""
        return self.learner.n_rows_seen_ if hasattr(self.learner, "n_features_in_") else 0

    def state(self) -> State:
        """Return the learner, what is measured of it, the geometry of a row, and what was not learnt from."""
        own = {} if self.stream else {"thinning": self.thinning.state(), "steering": self.steering.state()}
        own |= {"rounds": self.rounds.state()} if self.rounds is not None else {}
        return {
            **own,
            "passed": dict(self._passed),
            "asked": self._n_asked,
            "learner": self.learner.state(),
            "observed": self.observed.state(),
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
        self._booking.begin()
        with within("observed"):
            self.observed.restore(state["observed"])
        self._n_encoded, self._n_asked = int(state["n_encoded"]), int(state["asked"])
        self._passed = Counter(counted(state["passed"], "passed", self._passed))
        for name, shared in () if self.stream else (("thinning", self.thinning), ("steering", self.steering)):
            with within(name):
                shared.restore(state[name])
        if self.rounds is not None:
            with within("rounds"):
                self.rounds.restore(state["rounds"])
        self.encoder = text(state["encoder"], "encoder")
        self.row_axes, self.row_shape = tuple(state["row_axes"]), tuple(state["row_shape"])

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
        position, level = self.position, printable(self.stream, 64)
        values = self.observed.values()
        return [
            Measure(self.name, level, kind, value, position) for kind, value in values.items() if math.isfinite(value)
        ]

    def _learners_events(self) -> list[Event]:
        of = f"stream {self.stream!r}: " if self.stream else ""
        return [renamed(event, self.name, of) for event in self.learner.events_]

    def events(self) -> list[Event]:
        """Return the newest 64 events of each kind of reason, oldest first: of the learner, thinning, commands."""
        own = [] if self.stream else [*self.thinning.events(), *self.steering.events()]
        return sorted([*self._learners_events(), *own], key=lambda event: event.position)

    def counts(self) -> Counts:
        """Return rows, updates, outlying rows, rows set aside by reason, the newest frame's information (bits), drift.

        ``paused``, ``on hold`` and ``examining`` are there where it is so.
        """
        learner = self.learner
        if not hasattr(learner, "n_features_in_"):  # no row has come yet
            return {} if self.stream else self.steering.counts()
        counts: dict[str, float] = {"rows": learner.n_rows_seen_, "updates": learner.n_updates_}
        if not math.isnan(self.observed.frame_information):
            counts["frame information"] = self.observed.frame_information
        counts["shortened"] = learner.n_shortened_
        counts[DRIFT] = learner.drift_
        counts |= self.rounds.counts() if self.rounds is not None else {}
        counts |= {HELD: 1} if learner.held_ else {EXAMINING: 1} if learner.examining_ else {}
        counts |= {} if self.stream else self.steering.counts()
        aside = {**learner.n_set_aside_, **{reason: n for reason, n in self._passed.items() if n}}
        return counts | {f"set aside: {reason}": count for reason, count in aside.items()}
