"""DeviceStream: whatever a device counts, each message is taken once, and what is missing is counted once."""

from hypothesis import given
from hypothesis import strategies as st

from stream_infomax.sources.device_stream import MOST_LOST, MOST_REPEATED_UNNAMED, RENAMED, DeviceStream, numbered


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80))
def test_messages_in_any_order_are_taken_once_and_counted_once(counts):
    stream = DeviceStream("s", "float32", counts[0] + 1)
    taken, missing = [counts[0]], 0
    for count in counts[1:]:
        verdict, n = stream.follow("s", count)
        assert verdict in ("follows", "gap", "repeat")
        missing += n
        if verdict != "repeat":
            taken.append(count)
        assert (verdict == "gap") == (n > 0)
    assert taken == sorted(set(taken))
    assert len(taken) + missing == taken[-1] - taken[0] + 1
    assert stream.expected == taken[-1] + 1


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**62)), min_size=1), st.sampled_from(["", "s"]))
def test_no_counter_leads_to_more_losses_than_can_be(counts, session):
    stream = DeviceStream(session, "float32")
    for count in counts:
        _, missing = stream.follow(session, count)
        assert 0 <= missing <= MOST_LOST
        assert stream.expected is None or 0 <= stream.expected <= 2**62 + 1


def test_a_device_without_a_session_begins_again():
    stream = DeviceStream("", "float32", 5000)
    assert stream.follow("", 4999 - MOST_REPEATED_UNNAMED + 1) == ("repeat", 0)
    assert stream.follow("", 5000 - MOST_REPEATED_UNNAMED - 1) == ("restart", 0)
    assert stream.follow("", 0) == ("restart", 0)
    assert stream.follow("", 0) == ("repeat", 0)


def test_a_counter_of_32_bits_that_wraps_round_is_a_restart():
    stream = DeviceStream("s", "float32", 2**32)
    assert stream.follow("s", 0) == ("restart", 0)


def test_what_is_known_survives_but_for_rows_that_were_not_given():
    stream = DeviceStream("s", "float32", 7, clock=3.5)
    stream.broken = True
    assert stream.enter("a", 1.0) == "a"
    for _ in range(RENAMED + 2):
        stream.broken = True
        stream.enter("a", 2.0)
    again = DeviceStream.of(stream.state())
    assert (again.expected, again.clock, again.segment) == (7, 3.5, f"a #{RENAMED + 3}")
    assert again.name_of("a") == stream.segment
    assert again.name_of("b") == "b"
    assert again.resumed


def test_names_are_numbered():
    assert numbered("a", "a") == "a #2"
    assert numbered("a", "a #2") == "a #3"
    assert numbered("a #x", "a #x") == "a #x #2"
    assert numbered("a", "b #7") == "a #2"
