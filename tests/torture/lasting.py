"""What lasts: a learner over 10^8 rows, and devices that give more than it takes."""

from torture.frame import Trial, torture


@torture(minutes=40, short=None)
def a_learner_of_many_rows(trial: Trial) -> str:
    """Drift, changes, silence, saturation, NaN and jumps of clock and offsets over 10^8 rows: nothing creeps."""
    from long_run import check, go

    watcher = go(trial.folder, trial.times(100_000_000, 1_000_000), told=trial.progress)
    check(watcher)
    first, last = watcher.found[len(watcher.found) // 10], watcher.found[-1]
    return (
        f"{last['rows']:,.0f} rows, {watcher.stage.learner.n_events_} events; resident {first['memory']:.0f} MiB at "
        f"first, {last['memory']:.0f} at last"
    )


@torture(minutes=20, short=None)
def more_than_a_learner_takes(trial: Trial) -> str:
    """At 1 to 20 times the load a learner takes: memory and age bounded, each loss counted, encoding never left out."""
    from overload import TIMES, Case, capacity, measure

    cost, encoding = capacity()
    rate = measure(Case("wait", 5), 1000 / cost, 0.0, 15, 1).taken
    cases = [Case(policy, times, budget) for policy, budget in POLICIES for times in TIMES]
    lost = 0
    for done, case in enumerate(cases):
        found = measure(case, rate, 1.5 * encoding, max(15.0, 60 * trial.share), 10)
        assert found.unexplained == 0, f"{case}: {found.row}"
        assert case.policy != "wait" or not found.lost, f"{case}: {found.row}"
        assert case.policy == "wait" or found.oldest <= found.bound, f"{case}: {found.row}"
        assert max(found.memory.values()) < MOST_MIB, f"{case}: {found.row}"
        lost += found.lost
        trial.progress(done + 1, len(cases))
    return f"{len(cases)} loads of {rate:,.0f} to {rate * max(TIMES):,.0f} frames a second, {lost:,} lost, all counted"


POLICIES = (("wait", False), ("drop-oldest", False), ("drop-oldest", True))
# Of a source and of a learner; a learner without a load has 250, of which numba is 100.
MOST_MIB = 500
