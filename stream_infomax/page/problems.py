"""Problems: what is wrong with a run, in sentences that say what it is and what to do."""

from __future__ import annotations

import math
from typing import NamedTuple

from stream_infomax.frames.ledger import NO_WIDTH, Balance
from stream_infomax.page.lately import Lately
from stream_infomax.page.watched import Watched
from stream_infomax.watch.service_row import by_reason

# Seconds that a run has to say something after the page began to listen.
GRACE = 10.0
# Of the rows that a place had, the share that is set aside from which a person should know; but for what somebody has
# asked for, and for what came before a learner had a basis.
MUCH_ASIDE = 0.01
EXPECTED = ("paused", "held", "thinned", NO_WIDTH)
BEGIN_AGAIN = "start it again with the command that it was begun with; this page goes on by itself."
# What suspends learning.
HOLDS = ("hold", "quarantine")


class Problem(NamedTuple):
    """Something that is not as it should be.

    Attributes
    ----------
    service
        Where.
    grave
        Whether something is lost or does not go on; what is not grave a person may want to know.
    text
        What, and what to do.
    """

    service: str
    grave: bool
    text: str


def problems(watched: Watched) -> list[Problem]:
    """Return what is wrong, in the order of the data; text from outside is as it came."""
    if watched.over:
        return []
    if watched.stopped:
        return [Problem("", False, "The run was stopped. To go on with it, " + BEGIN_AGAIN)]
    if not watched.statuses and not watched.unreachable:
        return _unheard(watched)
    return [one for name in watched.services for one in _of_service(watched, name)]


def _unheard(watched: Watched) -> list[Problem]:
    if watched.now() - watched.began < GRACE:
        return []
    return [Problem("", False, f"Nothing is heard of this run. If it is stopped, {BEGIN_AGAIN}")]


def _of_service(watched: Watched, name: str) -> list[Problem]:
    if name in watched.unreachable:
        text = f"The service {watched.unreachable[name]}. Give the page a key that is allowed (docs: Keys)."
        return [Problem(name, True, text)]
    if name in watched.left:  # it starts again
        return []
    status, row, silence = watched.statuses.get(name), watched.rows[name], watched.silent(name)
    found = []
    if status is None:
        if watched.now() - watched.began > GRACE:
            found.append(Problem(name, True, "It has said nothing yet. Its log in the run folder says why."))
        return found
    if silence and not status.finished:
        words = "one frame takes it that long, it hangs, or it has died; its log in the run folder may say more."
        ago = "for a while" if math.isinf(silence) else f"for {silence:,.0f} s"
        found.append(Problem(name, True, f"It has said nothing {ago}: {words} A run starts what dies again."))
    if any(counts.get("journal full") for counts in status.counts.values()):
        found.append(Problem(name, True, "Its disk is full. Make room; it goes on by itself, and nothing is lost yet."))
    if lost := by_reason(status.lost):
        text = f"Frames lost: {lost}. They do not come back; Operations in the documentation lists each reason."
        found.append(Problem(name, True, text))
    if status.dropped:
        text = f"{status.dropped:,} frames were pushed out of its full log: what reads it is too slow."
        found.append(Problem(name, False, text))
    for balance in status.ledger:
        found += _of_ledger(name, balance, watched.recent[name])
    if refused := by_reason(watched.recent[name].of("refused")):
        text = f"Requests refused in the last minute: {refused}. Somebody asks for what is not granted."
        found.append(Problem(name, False, text))
    if row.restarts:
        text = f"It was started again {row.restarts:,}×, and went on from its checkpoint. Its log says why."
        found.append(Problem(name, False, text))
    return found + _of_learning(watched, name)


def _of_ledger(name: str, balance: Balance, recent: Lately) -> list[Problem]:
    if balance.off:
        off = sum(balance.off.values())
        return [Problem(name, True, f"{balance.name} is off by {off:+,} {balance.unit}: please report this fault.")]
    accepted = sum(recent.of("accepted", balance.place).values())
    risen = recent.of("aside", balance.place)
    reasons = {reason: n for reason, n in risen.items() if reason not in EXPECTED}
    aside = sum(reasons.values())
    if accepted and aside > MUCH_ASIDE * accepted and balance.part == "stage":
        share = f"{min(1.0, aside / accepted):.1%} of the {balance.unit} of {balance.place!r}"
        text = f"In the last minute {share} were set aside: {by_reason(reasons)}."
        return [Problem(name, False, text)]
    return []


def _of_learning(watched: Watched, name: str) -> list[Problem]:
    """Return which stages of a service do not learn, and why as far as their events say so."""
    found = []
    for stage, counts in watched.statuses[name].counts.items():
        if counts.get("paused"):
            text = f"{stage} is paused: what comes is encoded, and nothing is learnt until it is resumed."
            found.append(Problem(name, False, text))
        if counts.get("on hold"):
            own = [event for event in watched.events if event.stage == stage and event.kind in HOLDS]
            why = f" Since row {own[-1].position:,}: {own[-1].text}." if own else ""
            text = f"{stage} holds: what comes is encoded, and nothing is learnt.{why}"
            found.append(Problem(name, False, text))
        if counts.get("examining"):
            text = f"{stage} looks at rows to find out what has changed: it learns on when it has enough of them."
            found.append(Problem(name, False, text))
    return found
