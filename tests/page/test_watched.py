"""Watched: what is known of a run stays bounded, and says what is missing."""

import msgspec
import numpy as np
import pytest
from helpers.wire import basis, status

from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.measure import Measure
from stream_infomax.page import growth, ring
from stream_infomax.page import watched as watching
from stream_infomax.page.told import Told
from stream_infomax.page.watched import Left
from stream_infomax.watch.service_row import SILENT_AFTER


def frame(offset, rows=4, *, stream="a", rate=8.0, time=None, end=False, name="source", columns=2, labels=None):
    data = np.full((rows, columns), offset, np.float32)
    return Frame(
        stream=stream,
        offset=offset,
        arrays={name: Array(data, ("time", "channel"))},
        rate=rate,
        time=offset * rows / rate if time is None and rate else time or 0.0,
        end=end,
        last=end or bool(labels),
        labels=labels or {},
    )


def test_a_service_is_silent_until_it_says_something_and_when_it_stops_to(watched, clock):
    assert watched.silent("learner") > SILENT_AFTER
    watched.status("learner", status(0))
    assert watched.silent("learner") == 0
    clock.time += SILENT_AFTER - 0.1
    assert watched.silent("learner") == 0
    clock.time += 0.2
    assert watched.silent("learner") == pytest.approx(SILENT_AFTER + 0.1)


def test_a_curve_goes_on_where_the_history_ends(watched):
    columns = {"seconds": [1.0, 2.0], "position": [10.0, 20.0], "value": [3.0, 2.0]}
    watched.history({("learner", "", "objective"): columns})
    known, new = Measure("learner", "", "objective", 2.0, 20), Measure("learner", "", "objective", 1.0, 30)
    for measure in (known, new):
        watched.status("learner", status(0, measures=[measure]))
    curve = watched.curves["learner", "", "objective"]
    assert (curve.positions, curve.values) == ([10, 20, 30], [3, 2, 1])


def test_a_process_that_counts_from_the_start_again_was_restarted(watched):
    watched.status("learner", status(49, started=1.0))
    watched.status("learner", status(40, started=2.0))
    assert watched.rows["learner"].restarts == 1
    (told,) = watched.events
    assert (told.service, told.kind) == ("learner", "restart")
    assert "frame 41" in told.text


def test_an_event_that_comes_again_is_told_once(watched):
    event = Event(stage="learner", position=7, kind="hold", text="held")
    for _ in range(3):
        watched.status("learner", status(0, events=[event]))
    assert [(one.stage, one.position, one.kind) for one in watched.events] == [("learner", 7, "hold")]


def test_what_happened_before_the_page_has_the_time_of_its_command_or_none(watched):
    told = [("hold", "a person asked"), ("change", "other"), ("resume", "learning goes on with"), ("hold", "by itself")]
    events = [Event(stage="learner", position=n, kind=kind, text=text) for n, (kind, text) in enumerate(told)]
    watched.commands = {"learner": [Told("hold", "", 3, 11.0), Told("hold", "", 5, 22.0), Told("resume", "", 7, 33.0)]}
    watched.status("learner", status(9, events=events))
    assert [one.when for one in watched.events] == [22.0, 0.0, 33.0, 0.0]
    later = Event(stage="learner", position=9, kind="pause", text="")
    watched.status("learner", status(9, events=[*events, later]))
    assert watched.events[-1].when > 1e9


def test_the_clock_of_a_run_that_stands_still_stands_still(watched, clock):
    watched.basis(basis("one", [[1, 0]]), ago=600)
    watched.rest({"learner": Left(9, 0.0, True, {})})
    clock.time += 9000
    assert watched.moved("learner").seconds == 600


def test_a_ring_holds_five_seconds_and_marks_what_is_missing(watched):
    for offset in (*range(20), 22, 23):  # half a second each
        watched.frame("source", frame(offset))
    held = watched.ring("source")
    assert held.rows.shape[1] == 2
    assert len(held.rows) == len(held.offsets) == len(held.seconds)
    assert np.isfinite(held.rows[:, 0]).sum() == pytest.approx(ring.SECONDS * held.rate, abs=4)
    (gap,) = np.flatnonzero(np.isnan(held.rows[:, 0]))
    assert list(held.offsets[gap - 1 : gap + 2]) == [19, 20, 22]
    assert held.seconds[-1] == pytest.approx(24 * 0.5 - 1 / held.rate)
    assert (np.diff(held.seconds) > 0).all()


def test_a_ring_is_bounded_in_bytes_however_large_a_frame_is():
    held = ring.Ring(most_bytes=1000)
    for offset in range(5):
        held.add(frame(offset, rows=500, columns=3, rate=1.0), now=0.0)
    assert 0 < held.recent().rows.nbytes <= 2000


def test_a_ring_keeps_to_one_stream_until_that_ends(watched):
    for offset in range(6):
        watched.frame("source", frame(offset, stream="ab"[offset % 2], end=offset >= 4))
    assert watched.ring("source").stream == "b"
    watched.frame("source", frame(6, stream="c"))
    assert watched.ring("source").stream == "c"


def test_frames_without_a_rate_are_held_for_a_while(watched, clock):
    for offset in range(9):
        watched.frame("source", frame(offset, rows=1, rate=0.0, time=0.0))
        clock.time += 1
    assert 4 <= np.isfinite(watched.ring("source").rows[:, 0]).sum() <= 6


def test_frames_that_come_again_after_a_restart_are_held_once(watched):
    for offset in (0, 1, 2, 1, 2, 3):
        watched.frame("source", frame(offset))
    assert list(watched.ring("source").offsets[::4]) == [0, 1, 2, 3]


def test_ends_of_segments_with_labels_are_kept_newest_last(watched):
    for offset in range(300):
        watched.frame("classifier", frame(offset, labels={"word": f"<{offset}>"}))
    named = watched.named["classifier"]
    assert len(named) == 200
    assert named[-1].labels == {"word": "<299>"}
    assert named[-1].scores == (299.0, 299.0)


def test_components_that_turn_are_the_same_and_those_that_jump_are_born(watched, clock):
    watched.basis(basis("one", [[1, 0], [0, 1]]))
    clock.time += 60
    watched.basis(basis("two", [[1, 1], [0, 1]], offset=5, previous="one"))
    moved = watched.moved("learner")
    assert moved.born_version == ["one", "one"]
    np.testing.assert_allclose(moved.from_first, [np.sqrt(0.5), 1])
    watched.basis(basis("three", [[1, 1], [5, 0]], offset=9, previous="two"))
    moved = watched.moved("learner")
    assert moved.born_version == ["one", "three"]
    assert list(moved.born_offset) == [0, 9]
    np.testing.assert_allclose(moved.from_first, [np.sqrt(0.5), 1])


def test_a_component_that_was_not_watched_all_the_time_is_the_same(watched):
    watched.basis(basis("one", [[1, 0], [0, 1]]))
    watched.basis(basis("nine", [[0, 1], [1, 0]], offset=900, previous="eight"))
    moved = watched.moved("learner")
    assert moved.born_version == ["one", "one"]
    np.testing.assert_allclose(moved.from_first, [0, 0], atol=1e-12)


def test_an_hour_ago_is_an_hour_ago(watched, clock):
    for minute in range(0, 130, 5):
        angle = np.radians(minute)  # a degree a minute
        watched.basis(basis(str(minute), [[np.cos(angle), np.sin(angle)]]))
        clock.time += 300
    moved = watched.moved("learner")
    assert growth.HOUR <= moved.seconds <= growth.HOUR + growth.EVERY
    assert moved.from_hour[0] == pytest.approx(np.cos(np.radians(60 - 5)), abs=0.05)


def test_another_encoder_begins_again(watched):
    watched.basis(basis("one", [[1, 0]]))
    watched.basis(basis("two", [[1, 1]], offset=3, encoder="f"))
    assert watched.moved("learner").born_version == ["two"]
    assert watched.moved("nobody") is None


def test_learners_of_many_streams_stay_bounded(watched):
    for number in range(100):
        one = msgspec.structs.replace(basis("v", [[1.0, number]]), stream=f"s{number}")
        watched.basis(one)
    assert len(watched.bases) == 64
    assert "learner/s99" in watched.bases
    assert watched.moved("learner/s0") is None


def test_large_bases_are_bounded_in_bytes(watched, monkeypatch):
    monkeypatch.setattr(watching, "MOST_BASIS_BYTES", 10_000)
    for number in range(8):
        watched.basis(msgspec.structs.replace(basis("v", np.eye(20)), stream=f"s{number}"))
    assert list(watched.bases) == ["learner/s7"]
    assert watched.moved("learner/s6") is None


def test_rows_without_values_and_rows_of_any_rate_take_no_room(watched):
    watched.frame("source", frame(0, rows=1 << 40, columns=0, rate=1e300))
    assert watched.ring("source") is None
    held = ring.Ring(most_bytes=100_000)
    for offset in range(2000):
        held.add(frame(offset, rows=1, columns=1, rate=1e300), now=0.0)
    recent = held.recent()
    assert recent.rows.nbytes + recent.offsets.nbytes + recent.seconds.nbytes < 100_000
    assert len(held._blocks) < 500


def test_curves_labels_and_texts_are_bounded(watched, monkeypatch):
    monkeypatch.setattr(watching, "MOST_CURVES", 3)
    names = [("learner", str(number)) for number in range(5)] + [("nobody", "0"), ("learner", "x" * 9999)]
    measures = [Measure(stage, level, "objective", 1.0, 1) for stage, level in names]
    watched.status("learner", status(0, measures=measures))
    assert [name[:2] for name in watched.curves] == names[:3]
    watched.frame("learner", frame(0, end=True, labels={"word": "a"}))
    for number in range(200):
        late = msgspec.structs.replace(frame(0, labels={f"l{number}": "b"}), arrays={})
        watched.frame("learner", late)
    (named,) = watched.named["learner"]
    assert len(named.labels) == watching.MOST_LABELS
    watched.tell("learner", [Event(stage="learner", position=7, kind="hold", text="x" * 9999)], is_old=True)
    assert len(watched.events[-1].text) == watching.LONGEST
