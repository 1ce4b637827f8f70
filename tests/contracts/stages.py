"""What every stage promises: small checks, each for any stage of the examples."""

import math
import pickle
from copy import deepcopy
from typing import get_args

import numpy as np
import pytest
from contracts import streams
from contracts.examples import run
from contracts.settings import described
from msgspec.structs import replace

from stream_infomax.frames.contracts import Encoder
from stream_infomax.frames.frame import Frame
from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.state import file as state_file

# --- a frame in, a frame out -----------------------------------------------------------------------------------------


def a_frame_in_is_a_frame_out(subject):
    for frame, out in zip(subject.frames, run(subject.make(), subject.frames), strict=True):
        given, gone = ((each.stream, each.offset, each.segment, each.last, each.end) for each in (frame, out))
        assert given == gone
        assert not frame.arrays or "stage" in out.arrays
        assert frame.labels.items() <= out.labels.items()
        assert streams.wire.decode(streams.wire.encode(out)).arrays.keys() == out.arrays.keys()


def its_input_stays_as_it_is(subject):
    before = streams.as_bytes(subject.frames)  # and its arrays cannot be written to
    run(subject.make(), subject.frames)
    assert streams.as_bytes(subject.frames) == before


def only_what_is_carried_travels_on(subject):
    own = {name for frame in run(subject.make(), subject.frames) for name in frame.arrays}
    assert all(name == "stage" or name.startswith("stage.") for name in own)
    name = subject.example.input
    for frame, out in zip(subject.frames, run(subject.make((name,)), subject.frames), strict=True):
        assert out.arrays.keys() - own == frame.arrays.keys() & {name}
        assert not frame.arrays or out.arrays[name] is frame.arrays[name]


def a_late_label_passes_and_changes_no_row(subject):
    frames = [frame for frame in subject.frames if frame.arrays]
    without = run(subject.make(), streams.numbered(frames))
    note = Frame("a", -1, frames[0].segment, labels={"note": "late"})
    mixed = streams.numbered([each for frame in frames for each in (note, frame)])
    outputs = run(subject.make(), mixed)
    assert outputs[::2] == mixed[::2]
    assert streams.bits(outputs[1::2]) == streams.bits(without)


def an_array_that_is_missing_is_named(subject):
    frame = next(frame for frame in subject.frames if frame.arrays)
    other = replace(frame, arrays={"other": frame.arrays[subject.example.input]})
    with pytest.raises(ValueError, match=f"'stage' reads '{subject.example.input}'.*'other'"):
        subject.make().process(other)


# --- the same bits ---------------------------------------------------------------------------------------------------


def the_same_frames_give_the_same_bits(subject):
    assert streams.as_bytes(run(subject.make(), subject.frames)) == streams.as_bytes(
        run(subject.make(), subject.frames)
    )


def any_cut_gives_the_same(subject):
    whole = [frame for frame in subject.frames if frame.arrays]
    parts = [part for frame in whole for part in streams.halves(frame, subject.example.input)]
    one, other = (subject.frozen() if subject.example.any_cut == "rounding" else subject.make() for _ in range(2))
    expected = run(one, streams.numbered(whole, len(subject.frames)))
    outputs = run(other, streams.numbered(parts, len(subject.frames)))
    if subject.example.any_cut == "basis":
        assert expected[-1].update > 3
        assert streams.same_tree(one.state()["learner"], other.state()["learner"])
        return
    left, right = (streams.rows_of_segments(frames, "stage") for frames in (expected, outputs))
    assert left.keys() == right.keys()
    for segment, rows in left.items():
        if subject.example.any_cut == "bits":
            assert rows.tobytes() == right[segment].tobytes(), segment
        else:
            np.testing.assert_allclose(rows, right[segment], rtol=1e-4, atol=1e-6, err_msg=str(segment))


def it_goes_on_from_its_state(subject, tmp_path):
    def restored(stage):
        state_file.save(tmp_path / "state", stage.state())
        again = subject.make()
        again.restore(state_file.load(tmp_path / "state"))
        return again

    goes_on_alike(subject, restored)


def a_state_is_no_part_of_the_stages_that_gave_and_took_it(subject):
    def restored(stage):
        state = stage.state()
        first, second = subject.make(), subject.make()
        first.restore(state)
        for other in (stage, first):
            run(other, subject.frames)
        second.restore(state)
        return second

    goes_on_alike(subject, restored)


def it_goes_on_from_a_pickle(subject):
    goes_on_alike(subject, lambda stage: pickle.loads(pickle.dumps(stage)))  # noqa: S301


def a_copy_goes_on_whatever_the_original_does(subject):
    def copied(stage):
        copy = deepcopy(stage)
        run(stage, subject.frames)
        return copy

    goes_on_alike(subject, copied)


def goes_on_alike(subject, exchange):
    """Check that a stage that is exchanged on the way gives the same frames, measures and counts as one that is not."""
    whole = subject.make()
    expected = run(whole, subject.frames)
    for cut in (1, len(subject.frames) // 2):
        first = subject.make()
        run(first, subject.frames[:cut])
        second = exchange(first)
        outputs = run(second, subject.frames[cut:])
        assert streams.as_bytes(outputs) == streams.as_bytes(expected[cut:]), f"exchanged before frame {cut}"
        assert (second.measures(), second.counts()) == (whole.measures(), whole.counts())


def a_state_of_another_kind_is_refused(subject):
    for state in ({}, {"weights": np.zeros(3)}):
        with pytest.raises((KeyError, ValueError)):
            subject.make().restore(state)


# --- nothing pairs across what is lost -------------------------------------------------------------------------------


def rows_that_follow_depend_on_those_before_where_it_remembers(subject):
    same = following(subject, lambda piece: piece) == following(subject, lambda piece: piece, mirrored=True)
    assert same != subject.example.remembers


def nothing_pairs_across_a_lost_frame(subject):
    def lost(piece):
        return [piece[0], piece[1], *[replace(frame, offset=frame.offset + 1) for frame in piece[2:]]]

    assert following(subject, lost) == following(subject, lost, mirrored=True)


def nothing_pairs_across_a_lost_frame_of_another_stream(subject):
    def lost(piece):
        other = replace(piece[0], stream="other", segment="other", offset=piece[2].offset + 1)
        return [piece[0], piece[1], other, *[replace(frame, offset=frame.offset + 2) for frame in piece[2:]]]

    assert following(subject, lost) == following(subject, lost, mirrored=True)


def nothing_pairs_across_a_new_segment(subject):
    def cut_off(piece):
        return [piece[0], piece[1], *[replace(frame, segment="next") for frame in piece[2:]]]

    def ended(piece):
        return [piece[0], replace(piece[1], last=True), *[replace(frame, segment="next") for frame in piece[2:]]]

    for change in (cut_off, ended):
        assert following(subject, change) == following(subject, change, mirrored=True)


def nothing_pairs_across_the_end_of_a_stream(subject):
    def ended(piece):
        return [piece[0], replace(piece[1], last=True, end=True), *piece[2:]]

    assert following(subject, ended) == following(subject, ended, mirrored=True)


def nothing_pairs_across_a_change_of_the_encoder(subject):
    def changed(piece):
        return [*piece[:2], *[replace(frame, encoder="another") for frame in piece[2:]]]

    assert following(subject, changed) == following(subject, changed, mirrored=True)


def nothing_pairs_across_streams(subject):
    def mixed(piece):
        other = [replace(frame, stream="other") for frame in piece[:2]]
        return streams.numbered([*other, *piece[2:]], piece[0].offset)

    assert following(subject, mixed) == following(subject, mixed, mirrored=True)


def following(subject, change, mirrored=False):
    """Return the rows of the last frames of a piece, given the first two, or two others in their place."""
    piece = subject.piece(6, labels={"word": "one"})
    piece[5] = replace(piece[5], last=True)
    if mirrored:
        piece[:2] = subject.piece(6, mirrored=True, labels={"word": "one"})[:2]
    return streams.bits(run(subject.frozen(), change(piece))[-4:])


def an_encoder_starts_again_and_learns_no_more(subject):
    stage = subject.make()
    run(stage, subject.frames)
    if not isinstance(stage, Encoder):
        return
    stage.start_encoding((subject.example.input,))
    frames = streams.numbered([frame for frame in subject.frames if frame.arrays])
    first = run(stage, frames)
    assert all(subject.example.input in frame.arrays for frame in first)
    stage.start_encoding()
    again = run(stage, frames)
    assert [frame.arrays["stage"].data.tobytes() for frame in again] == [
        frame.arrays["stage"].data.tobytes() for frame in first
    ]
    assert len({frame.update for frame in first}) == 1


# --- what it says of itself ------------------------------------------------------------------------------------------


def its_settings_are_documented(subject):
    described(subject.kind, subject.example.settings)


def it_measures_and_counts_in_the_types_declared(subject):
    stage = subject.make()
    assert list(stage.measures()) == []
    stage.counts()
    run(stage, subject.frames)
    measures = stage.measures()
    assert len({measure.curve for measure in measures}) == len(measures)
    for measure in measures:
        assert type(measure) is Measure
        assert measure.stage == "stage"
        assert measure.kind in get_args(Kind)
        assert math.isfinite(measure.value)
        assert measure.position > 0
    counted(stage.counts())


def counted(counts):
    """Check that counts have names and are finite numbers."""
    for name, count in counts.items():
        assert type(name) is str
        assert isinstance(count, int | float)
        assert math.isfinite(count)


CHECKS = [
    a_frame_in_is_a_frame_out,
    its_input_stays_as_it_is,
    only_what_is_carried_travels_on,
    a_late_label_passes_and_changes_no_row,
    an_array_that_is_missing_is_named,
    the_same_frames_give_the_same_bits,
    any_cut_gives_the_same,
    it_goes_on_from_its_state,
    a_state_is_no_part_of_the_stages_that_gave_and_took_it,
    it_goes_on_from_a_pickle,
    a_copy_goes_on_whatever_the_original_does,
    a_state_of_another_kind_is_refused,
    rows_that_follow_depend_on_those_before_where_it_remembers,
    nothing_pairs_across_a_lost_frame,
    nothing_pairs_across_a_lost_frame_of_another_stream,
    nothing_pairs_across_a_new_segment,
    nothing_pairs_across_the_end_of_a_stream,
    nothing_pairs_across_a_change_of_the_encoder,
    nothing_pairs_across_streams,
    an_encoder_starts_again_and_learns_no_more,
    its_settings_are_documented,
    it_measures_and_counts_in_the_types_declared,
]
