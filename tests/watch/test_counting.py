"""Counts over the lives of processes: they never go down, and nothing counts twice."""

from stream_infomax.watch.counting import Few, Lives, Passing, Rising


class TestLives:
    def test_each_life_counts_from_nothing(self) -> None:
        lives = Lives()
        for life, frames in ((1, 3), (1, 5), (2, 0), (2, 4), (3, 1)):
            lives.add(life, {("frames",): frames})
        assert lives.totals == {("frames",): 10}

    def test_what_goes_down_within_a_life_does_not_pull_the_total_down(self) -> None:
        lives = Lives()
        for frames in (5, 2, 6):
            lives.add(1, {("frames",): frames})
            assert lives.totals["frames",] >= 5
        assert lives.totals == {("frames",): 6}


class TestRising:
    def test_what_is_counted_again_after_a_death_counts_once(self) -> None:
        rising = Rising()
        totals = []
        for rows in (100, 200, 150, 190, 210):
            rising.add({("rows",): rows})
            totals.append(rising.totals["rows",])
        assert totals == [100, 200, 200, 200, 210]

    def test_only_what_comes_on_top_of_the_start_counts(self) -> None:
        rising = Rising()
        rising.begin({("lost", "gone"): 7})
        assert rising.totals == {("lost", "gone"): 0}
        rising.add({("lost", "gone"): 6})  # of an older checkpoint
        rising.add({("lost", "gone"): 9, ("lost", "queue"): 1})
        assert rising.totals == {("lost", "gone"): 2, ("lost", "queue"): 1}


def test_of_many_values_the_first_have_names() -> None:
    few = Few(2)
    assert [few.value(("lost",), value) for value in "abcab"] == ["a", "b", "other", "a", "b"]
    assert few.value(("refused",), "c") == "c"


class TestPassing:
    def test_how_long_ago_an_offset_was_passed(self) -> None:
        passing = Passing()
        for now, newest in ((10.0, 5), (11.0, 9), (12.0, 9), (13.0, 20)):
            passing.add(now, newest)
        assert [passing.seconds_behind(15.0, offset) for offset in (3, 5, 9, 20)] == [5.0, 4.0, 2.0, 0.0]

    def test_beyond_what_it_remembers_it_says_at_least_how_long(self) -> None:
        passing = Passing()
        for quarter in range(40_000):
            passing.add(quarter / 4, quarter)
        assert passing.seconds_behind(10_000.0, 39_992) == 1.0
        assert 1000 < passing.seconds_behind(10_000.0, 0) < 1100

    def test_a_log_that_is_set_back_begins_again(self) -> None:
        passing = Passing()
        for now, newest in ((1.0, 50), (2.0, 10), (3.0, 12)):
            passing.add(now, newest)
        assert passing.seconds_behind(5.0, 11) == 2.0
