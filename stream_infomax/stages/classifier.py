"""ClassifierStage: names segments while the stream runs, and is scored before it learns from a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec.structs import replace

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams, incoming
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting, rows_read
from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.learning.classifier.blend import Blend
from stream_infomax.learning.classifier.examiner import Examiner
from stream_infomax.learning.classifier.pooling import POOLINGS, Pooling
from stream_infomax.learning.classifier.scores import Score
from stream_infomax.learning.classifier.settings import SoftmaxSettings
from stream_infomax.learning.classifier.softmax import SoftmaxRegression
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, Positive
from stream_infomax.stages.steering import ACTIONS, PAUSED, Steering, logged
from stream_infomax.state.kept import counted, within


class ClassifierSettings(SoftmaxSettings, StageSettings, frozen=True, kw_only=True):
    """Linear classifiers on pooled segments, scored before they learn."""

    free: ClassVar = ("learning_rate", "penalty", "half_life", "waiting", "learn")

    target: Annotated[str, Doc("The label to predict.")]
    levels: Annotated[
        tuple[str, ...],
        Doc(
            "What they read: arrays, several joined by `+`; one classifier each, and the last one's output is "
            "published. Arrays that are joined have learnt weights. Where none is listed, the input."
        ),
    ] = ()
    pooling: Annotated[
        Literal["moments", "thirds"],
        Doc(
            "What is read of a segment's rows: their mean and deviation; `thirds`: their deviation and the means of "
            "beginning, middle and end, where what a segment is called depends on the order in it."
        ),
    ] = "moments"
    waiting: Annotated[Positive, Doc("Segments without a label that are kept for labels that come late.")] = 1000
    learn: Annotated[bool, Doc("False: predict only; no label is used.")] = True

    def outline(self, incoming: Outline) -> Outline | None:
        """Return one row a segment; the data tell how many classes there are."""
        n_segments = sum(incoming.segments.values())
        lacking = f"no label {self.target!r} in the source; there are {', '.join(incoming.labels) or 'none'}"
        return replace(
            incoming,
            segments={1: n_segments},
            row=(incoming.labels[self.target],) if self.target in incoming.labels else None,
            at_most=True,
            grid=None,
            channels=(),
            units=(),
            rate=0.0,
            about="",
            # Labels of live streams come from outside, while they run.
            warning="" if self.target in incoming.labels or not self.learn or incoming.live else lacking,
        )

    def reads(self, input: str) -> Mapping[str, tuple[str, ...]]:
        """Return the arrays of all levels."""
        return {"levels": tuple("+".join(self.levels).split("+"))} if self.levels else {"input": (input,)}


@configured_by(ClassifierSettings)
class ClassifierStage(Accounting):
    """One linear classifier a level, on what is pooled of each segment's rows; a `Blend` where arrays are joined.

    When a segment ends, every level predicts it; the label, in the segment's last frame or in a later frame without
    arrays, scores the prediction and is learnt from. The frame that ends a segment carries one row: the
    probabilities of the last level's classes, in the order in which their labels came; the frame's label
    ``<name>`` is the likeliest class. All other frames have no row.

    Paused, it predicts. A segment of which a frame came in a pause is not learnt from, nor is a label that comes then.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds: ("item", "component"), (rows, classes).
    input
        The array to read where no level is listed.
    carry
        Arrays of the incoming frame that are passed on.
    """

    actions: ClassVar[frozenset[Action]] = ACTIONS

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        given = make(ClassifierSettings, settings)
        self.name, self.input, self.carry, self.target = name, input, tuple(carry), given.target
        self.levels = {level: tuple(level.split("+")) for level in given.levels or (input,)}
        self.learning_rate, self.penalty, self.half_life = given.learning_rate, given.penalty, given.half_life
        self.pooling = given.pooling
        self.waiting, self.learn = given.waiting, given.learn
        self.examiners: dict[str, Examiner] = {}
        self.streams: Streams[_Segment] = Streams()
        self.steering = Steering(name)
        self.skipped = Counter(broken=0, empty=0, paused=0)
        self.account = Account(name, "stage")
        self.reads = tuple(dict.fromkeys(name for names in self.levels.values() for name in names))

    def process(self, frame: Frame) -> Frame:
        """Return the frame with a row of probabilities where it ends a segment.

        Raises
        ------
        ValueError
            Where a level's array is missing, or changes its width.
        """
        self.streams.follow(frame)
        if not frame.arrays:
            self._label_late(frame)
            return frame
        segment = self.streams.enter(frame, self._new_segment)
        n_rows = rows_read(frame, self.reads)
        self.steering.rows += n_rows
        segment.paused |= self.steering.paused
        if segment.is_whole:
            self._pool(frame, segment.pools)
        else:
            self.account.set_aside(frame.stream, "of a segment with gaps", n_rows)
        row = np.zeros((0, len(self.classes)), np.float32)
        labels = frame.labels
        if segment.is_whole and (frame.last or frame.end):
            probabilities = self._examine(frame, segment)
            if probabilities is not None and len(probabilities):
                row = probabilities[None].astype(np.float32)
                labels = {**labels, self.name: self.examiners[self._published].classifier.classes[int(row.argmax())]}
        self.streams.leave(frame)
        events = (*frame.events, *logged(self.steering.tell()))
        return frame.extend({self.name: Array(row, ("item", "component"))}, self.carry, labels=labels, events=events)

    def command(self, command: Command, basis: Basis | None) -> None:
        """Pause or resume before the next frame; see `Steered`."""
        self.steering.command(command, self.learn)

    @property
    def _published(self) -> str:
        return list(self.levels)[-1]

    @property
    def classes(self) -> list[str]:
        """What the columns of the published scores stand for."""
        examiner = self.examiners.get(self._published)
        return list(examiner.classifier.classes) if examiner else []

    @property
    def lacks_labels(self) -> bool:
        """Whether it has predicted segments and got no label for any of them."""
        examiners = self.examiners.values()
        labelled = any(examiner.score.labels or examiner.counts["unknown"] for examiner in examiners)
        return self.learn and bool(examiners) and not labelled

    def _new_segment(self) -> _Segment:
        return _Segment(self.skipped, POOLINGS[self.pooling])

    def _pool(self, frame: Frame, pools: dict[str, Pooling]) -> None:
        """Add the frame's rows to what is pooled of its segment."""
        for name in self.reads:
            array = incoming(frame, name, self.name)
            assert array is not None
            rows = array.rows()
            finite = np.isfinite(rows).all(1)
            if rows.size == 0:
                self.account.set_aside(frame.stream, NO_WIDTH, len(rows))
            elif self.steering.paused:
                self.account.set_aside(frame.stream, PAUSED, len(rows))
            else:
                self.account.process(frame.stream, int(np.count_nonzero(finite)))
                self.account.set_aside(frame.stream, NOT_FINITE, int(np.count_nonzero(~finite)))
            rows = rows[finite]
            if rows.size == 0:  # before a learner's first row its width may not have settled either
                continue
            pool = pools.setdefault(name, POOLINGS[self.pooling](rows.shape[1]))
            if len(pool.mean) != rows.shape[1]:
                raise ValueError(
                    f"stage {self.name!r}: {name!r} changed its width from {len(pool.mean)} to {rows.shape[1]} "
                    f"at offset {frame.offset}; a classifier keeps its width"
                )
            pool.add(rows)

    def _examine(self, frame: Frame, segment: _Segment) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
        """Let every level predict the segment, and learn if its label is there and no part of it came in a pause."""
        probabilities, pools = None, segment.pools
        self.skipped["paused"] += segment.paused
        label = frame.labels.get(self.target)
        self.skipped["empty"] += any(array not in pools for arrays in self.levels.values() for array in arrays)
        for level, arrays in self.levels.items():
            if any(array not in pools for array in arrays):
                continue
            parts = [pools[array].result() for array in arrays]
            features, widths = np.concatenate(parts), [len(part) for part in parts]
            examiner = self.examiners.get(level)
            if examiner is None:
                examiner = self.examiners[level] = self._new_examiner(widths)
            if examiner.classifier.widths != widths:
                known, now = ("+".join(map(str, numbers)) for numbers in (examiner.classifier.widths, widths))
                raise ValueError(
                    f"stage {self.name!r}: level {level!r} changed from {known} to {now} "
                    f"features at offset {frame.offset}; a classifier keeps its width"
                )
            if segment.paused:
                found = examiner.predict(features)
                answer = None if found is None else found[0]
            else:
                answer = examiner.segment(_key(frame), features, label if self.learn else None)
            if level == self._published:
                probabilities = answer
        return probabilities

    def _new_examiner(self, widths: list[int]) -> Examiner:
        rate, penalty, half_life = self.learning_rate, self.penalty, self.half_life
        classifier = (
            Blend(widths, learning_rate=rate, penalty=penalty, half_life=half_life)
            if len(widths) > 1
            else SoftmaxRegression(widths[0], learning_rate=rate, penalty=penalty, half_life=half_life)
        )
        return Examiner(classifier, self.waiting)

    def _label_late(self, frame: Frame) -> None:
        label = frame.labels.get(self.target)
        if label is not None and self.learn and self.steering.paused:
            self.skipped["paused"] += 1
        elif label is not None and self.learn:
            for examiner in self.examiners.values():
                examiner.label(_key(frame), label)

    def state(self) -> State:
        """Return the classifiers, their scores, what waits for labels, what is pooled, and whether it is paused."""
        return {
            "levels": list(self.levels),
            "target": self.target,
            "pooling": self.pooling,
            "skipped": dict(self.skipped),
            "widths": {level: examiner.classifier.widths for level, examiner in self.examiners.items()},
            "examiners": {level: examiner.state() for level, examiner in self.examiners.items()},
            "steering": self.steering.state(),
            **self.streams.state(),
        }

    def restore(self, state: State) -> None:
        """Take over what `state()` returned; ValueError where it is of other levels, target or pooling."""
        here = (list(self.levels), self.target, self.pooling)
        saved = (state["levels"], state["target"], state["pooling"])
        if here != saved:
            text = f"the state is of (levels, target, pooling) {saved}, this stage has {here}"
            raise ValueError(f"stage {self.name!r}: {text}")
        skipped = counted(state["skipped"], "skipped")
        self.skipped.clear()  # and stays the object in which the segments count
        self.skipped.update(skipped)
        self.examiners = {}
        for level, saved_examiner in state["examiners"].items():
            self.examiners[level] = self._new_examiner([int(width) for width in state["widths"][level]])
            self.examiners[level].restore(saved_examiner)
        with within("steering"):
            self.steering.restore(state["steering"])
        self.streams.restore(state, self._new_segment)

    def scores(self) -> dict[str, Score]:
        """Return the score of each level that has been scored by now."""
        return {level: examiner.score for level, examiner in self.examiners.items() if examiner.score.n}

    def measures(self) -> list[Measure]:
        """Return the recent accuracy of each level, and that of baselines which do not look at the data."""
        found: list[tuple[str, Kind, float]] = []
        scores = self.scores()
        found += [(level, "accuracy", score.recent.accuracy) for level, score in scores.items()]
        if self._published in scores:
            score = scores[self._published]
            found.append(("chance", "baseline", score.chance))
            found.append(("majority class", "baseline", score.recent.majority))
            found.append(("no change", "baseline", score.recent.no_change))
        return [Measure(self.name, level, kind, value, self.streams.offset + 1) for level, kind, value in found]

    def events(self) -> list[Event]:
        """Return the newest 64 events: what it was told."""
        return self.steering.events()

    def counts(self) -> Counts:
        """Return what each level has scored and the weights of what it joins; what was skipped, by reason."""
        counts: dict[str, float] = {f"skipped: {reason}": count for reason, count in self.skipped.items()}
        for level, examiner in self.examiners.items():
            own: dict[str, float] = {"scored": examiner.score.n, "waiting": len(examiner.waiting), **examiner.counts}
            if isinstance(examiner.classifier, Blend):
                weights = zip(self.levels[level], examiner.classifier.weights, strict=True)
                own |= {f"weight of {array}": float(weight) for array, weight in weights}
            counts |= {f"{level}: {name}": count for name, count in own.items()}
        return counts | self.steering.counts()


class _Segment:
    """What is pooled of the open segment of one stream, as long as none of its frames is lost."""

    def __init__(self, skipped: Counter[str], pooling: type[Pooling]) -> None:
        self.skipped, self.pooling = skipped, pooling
        self.pools: dict[str, Pooling] = {}
        self.is_whole = True
        self.paused = False  # whether a part of it came in a pause

    def interrupt(self) -> None:
        """The segment is not whole, and not judged by its rest either."""
        self.skipped["broken"] += self.is_whole
        self.pools, self.is_whole = {}, False

    def reset(self) -> None:
        self.pools, self.is_whole, self.paused = {}, True, False

    def state(self) -> dict[str, Any]:
        pools = {name: pool.state() for name, pool in self.pools.items()}
        return {"is_whole": self.is_whole, "paused": self.paused, "pools": pools}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.is_whole, self.paused = bool(state["is_whole"]), bool(state["paused"])
        self.pools = {name: self.pooling(len(saved["mean"])) for name, saved in state["pools"].items()}
        for name, pool in self.pools.items():
            pool.restore(state["pools"][name])


def _key(frame: Frame) -> str:
    return f"{frame.stream}\n{frame.segment}"
