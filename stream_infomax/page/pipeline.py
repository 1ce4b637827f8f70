"""Pipeline: the section that shows the services as a chain, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from markupsafe import Markup, escape

from stream_infomax.page.figures import Pace
from stream_infomax.page.problems import Problem, problems
from stream_infomax.page.section import Section, clock
from stream_infomax.page.watched import Left, Watched
from stream_infomax.settings.printable import printable
from stream_infomax.watch.service_row import durations, rate_text

# How each state is said, so that colour is not all that tells.
SIGNS = {
    "running": "●",
    "finished": "✓",
    "waiting": "‖",
    "silent": "○",
    "disk full": "■",
    "starting": "…",
    "stopped": "■",
}
# Letters of a name that are shown.
NAME = 60
# What the boxes take of a viewer's line, where nothing but numbers has changed.
BYTES_A_SECOND = 8000.0


class PipelineSection(Section):
    """Sensor, stages and sinks as boxes in a row."""

    name: ClassVar[str] = "pipeline"
    title: ClassVar[str] = "Pipeline"

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._pace = Pace(BYTES_A_SECOND)
        self._states: list[tuple[str, bool]] = []

    def html(self) -> str:
        """Return the places of sentences and boxes."""
        return (
            '<ul id="pipeline-problems" class="problems" aria-label="What is wrong"></ul>'
            '<ol id="pipeline-flow" class="flow"></ol><div id="pipeline-over"></div>'
        )

    def refresh(self) -> dict[str, str]:
        """Return sentences and boxes as they are now."""
        found = problems(self.watched)
        grave = {one.service for one in found if one.grave}
        states = [(self._state(name), name in grave) for name in self.watched.services]
        texts: dict[str, str] = {
            "pipeline-problems": Markup("").join(_sentence(one) for one in found),
            "pipeline-over": _over(self.watched.over),
        }
        now = self.watched.now()
        if states != self._states or self._pace.ready(now):  # numbers of many services come less often
            self._states = states
            boxes = Markup("").join(self._box(name, name in grave) for name in self.watched.services)
            self._pace.sent(len(boxes), now)
            texts["pipeline-flow"] = boxes
        return texts

    def _box(self, name: str, grave: bool) -> Markup:
        state = self._state(name)
        kinds = [
            f"{printable(stage.name, NAME)}: {stage.kind}" if stage.name != name else stage.kind
            for stage in self.watched.stages
            if stage.service == name
        ]
        about = Markup('<p class="stages">{}</p>').format(", ".join(kinds)) if kinds else ""
        sign, mark = SIGNS.get(state, "●"), "bad" if grave else ""
        return Markup('<li class="is-{} {}"><h3>{}</h3>{}<p class="state {}">{} {}</p>{}</li>').format(
            escape(state.replace(" ", "-")),
            Markup("is-bad" if grave else ""),
            printable(name, NAME),
            about,
            mark,
            sign,
            state,
            self._figures(name),
        )

    def _state(self, name: str) -> str:
        if self.watched.over:
            return "finished"
        if name in self.watched.left:
            return self.watched.rows[name].state
        if self.watched.silent(name) and self.watched.rows[name].state != "finished":
            return "silent"
        return self.watched.rows[name].state

    def _figures(self, name: str) -> Markup:
        status = self.watched.statuses.get(name)
        if status is None:
            return _listed(_of_left(self.watched.left[name])) if name in self.watched.left else Markup("")
        frames, rows = self.watched.rows[name].throughput()
        p50, p99 = self.watched.rows[name].total
        lost = sum(status.lost.values())
        pairs: list[tuple[str, str | Markup]] = [
            ("frames", f"{status.newest + 1:,}"),
            ("frames/s", rate_text(frames)),
            ("rows/s", rate_text(rows)),
            ("log full", _fill(status.log_fill)),
            ("latency p50 / p99", durations(p50, p99)),
            ("lost", _lost(lost)),
            ("checkpoint", _checkpoint(status.checkpoint, status.last_checkpoint)),
        ]
        return _listed(pairs)


def _listed(pairs: Sequence[tuple[str, str | Markup]]) -> Markup:
    items = Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(*pair) for pair in pairs)
    return Markup("<dl>{}</dl>").format(items)


def _of_left(left: Left) -> list[tuple[str, str | Markup]]:
    """Return what the newest checkpoint of a service says that does not go on."""
    return [
        ("frames", f"{left.frames:,}"),
        ("lost", _lost(sum(left.lost.values()))),
        ("checkpoint", _checkpoint(left.frames - 1, left.when)),
    ]


def _lost(count: int) -> str | Markup:
    return Markup('<span class="bad">{}</span>').format(f"{count:,}") if count else "0"


def _fill(share: float) -> Markup:
    percent = f"{min(1.0, max(0.0, share)):.0%}"
    return Markup('<span class="fill" aria-hidden="true"><span style="width: {}"></span></span> {}').format(
        percent, percent
    )


def _checkpoint(offset: int, when: float) -> str:
    if offset < 0:
        return "none yet"
    return f"frame {offset + 1:,}" + (f", {clock(when)}" if when else "")


def _sentence(problem: Problem) -> Markup:
    kind = "" if problem.grave else "mild"
    word = "Wrong" if problem.grave else "Note"
    where = f"{printable(problem.service, NAME)}: " if problem.service else ""
    text = f"{where}{printable(problem.text)}"
    return Markup('<li class="{}"><strong>{}</strong> {}</li>').format(kind, word, text)


def _over(lines: list[str]) -> Markup:
    """Return what came of a run that has finished."""
    if not lines:
        return Markup("")
    text = "\n".join(map(printable, lines))
    return Markup('<h3>What came of it</h3><pre class="came">{}</pre>').format(text)
