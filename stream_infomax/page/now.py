"""Now: the input as it comes, the features as a rolling heat map, what the classifier says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from markupsafe import escape

from stream_infomax.page import answers
from stream_infomax.page.flowing import LONGEST_NAME, RowsFigure, ScoresFigure
from stream_infomax.page.section import Section, nothing_yet
from stream_infomax.page.watched import Stage, Watched
from stream_infomax.settings.printable import printable
from stream_infomax.watch.kinds import KINDS

# Bytes a second, on average, of input, features and scores.
INPUT_PACE, FEATURES_PACE, SCORES_PACE = 5000.0, 3500.0, 1000.0
# Answers that are listed, and seconds between two tables of what was taken for what.
LISTED, CONFUSION_EVERY = 6, 5.0


class NowSection(Section):
    """What goes through the pipeline now."""

    name: ClassVar[str] = "now"
    title: ClassVar[str] = "Now"

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._input, self._features = RowsFigure(INPUT_PACE), RowsFigure(FEATURES_PACE)
        self._level = ""
        self.roots = {"now-input": self._input.figure, "now-features": self._features.figure}
        self._classifier = next((stage for stage in reversed(watched.stages) if stage.kind == "classifier"), None)
        self._confusion, self._confused_at = "", -math.inf
        if self._classifier is not None:
            self._scores = ScoresFigure(SCORES_PACE)
            self.roots["now-scores"] = self._scores.figure

    def html(self) -> str:
        """Return the places of the figures and of the words."""
        classifier = """
<article>
  <h3>Classifier</h3>
  <p id="now-accuracy" class="number">It has not said anything yet.</p>
  <div id="now-scores-root" data-root="now-scores" hidden></div>
  <p id="now-scores-about" class="quiet"></p>
  <div id="now-answers" class="scroll" tabindex="0"></div>
</article>
<article>
  <h3>What it took for what</h3>
  <div id="now-confusion" class="scroll" tabindex="0"></div>
</article>"""
        return f"""
<div class="curves">
<article>
  <h3>Input</h3>
  <p id="now-input-about" class="quiet number"></p>
  <div id="now-input-root" data-root="now-input" hidden></div>
  <p id="now-input-words" class="quiet number"></p>
</article>
<article>
  <h3>Features</h3>
  <p id="now-features-about" class="quiet number"></p>
  <div id="now-levels"></div>
  <div id="now-features-root" data-root="now-features" hidden></div>
  <p id="now-features-words" class="quiet number"></p>
</article>{classifier if self._classifier is not None else ""}
</div>
"""

    def refresh(self) -> dict[str, str]:
        """Draw what has come, and say it in words."""
        texts: dict[str, str] = {}
        now = self.watched.now()
        source = self._source()
        texts["now-input-root@hidden"] = "" if source else "hidden"
        if source:
            self._input.refresh(self.watched, source, now)
            texts |= self._input.words("now-input")
        else:
            texts["now-input-about"] = str(escape(nothing_yet(self.watched, *self._names_of_source())))
        levels = self._levels(source)
        texts["now-features-root@hidden"] = "" if levels else "hidden"
        if levels:
            if self._level not in levels:
                kinds = {stage.name: stage.kind for stage in self.watched.stages}
                self._level = next((name for name in levels if kinds.get(name) == "learner"), next(iter(levels)))
            self._features.refresh(self.watched, levels[self._level], now)
            texts |= self._features.words("now-features")
            texts["now-levels"] = self._choice(list(levels))
        elif any(name != source for name in self.watched.newest):
            texts["now-features-about"] = "Not known here: only what the classifier says is published."
        else:
            services = [stage.service for stage in self.watched.stages[1:]]
            texts["now-features-about"] = str(escape(nothing_yet(self.watched, *services)))
        if self._classifier is not None:
            texts |= self._answers(self._classifier, now)
        return texts

    def told(self, what: str, value: str) -> dict[str, str]:
        """Show the features of another stage."""
        if what == "level" and value in self._levels(self._source()):
            self._level = value
        return self.refresh()

    def _source(self) -> str:
        """Return under which name the source's frames came; empty where none has come."""
        return next((name for name in self._names_of_source() if name in self.watched.newest), "")

    def _names_of_source(self) -> list[str]:
        return [name for stage in self.watched.stages[:1] for name in (stage.name, stage.service)]

    def _levels(self, source: str) -> dict[str, str]:
        """Return the services that publish features, by the newest array of each."""
        named = {stage.name for stage in self.watched.stages if stage.kind == "classifier"}
        arrays = {list(frame.arrays)[-1]: name for name, frame in self.watched.newest.items() if name != source}
        return {array: name for array, name in arrays.items() if array not in named}

    def _choice(self, levels: Sequence[str]) -> str:
        """Return a choice of the stages whose features can be shown, where there are several."""
        if len(levels) < 2:
            return ""
        options = "".join(
            f'<option value="{escape(name)}"{" selected" * (name == self._level)}>{escape(printable(name))}</option>'
            for name in levels
        )
        return f'<label>of the stage <select data-tell="level">{options}</select></label>'

    def _answers(self, stage: Stage, now: float) -> dict[str, str]:
        named = next(
            (self.watched.named[name] for name in (stage.service, "in-process") if name in self.watched.named), ()
        )
        given = answers.answers(list(named), stage.name, str(stage.settings.get("target", "")))
        texts = {"now-accuracy": self._accuracy(stage.name)} if self._accuracy(stage.name) else {}
        texts["now-scores-root@hidden"] = "" if given else "hidden"
        if given:
            self._scores.show(given, now)
            texts["now-scores-about"] = (
                "Probability of each class for the last segments, from left to right: dark 0, light 1. "
                "A circle is what the segment was, as far as that is known."
            )
            texts["now-answers"] = _list(given)
            if now - self._confused_at >= CONFUSION_EVERY:
                self._confusion, self._confused_at = _confusion(given), now
            texts["now-confusion"] = self._confusion
        return texts

    def _accuracy(self, stage: str) -> str:
        """Return how many were right recently, beside what is right without looking at the data."""
        curves = [(name, curve) for name, curve in self.watched.curves.items() if name[0] == stage]
        lines = []
        for kind, title in (
            ("accuracy", "Right of the last 200 segments"),
            ("baseline", "Without looking at the data"),
        ):
            shares = [f"{printable(name[1])} {KINDS[name[2]].text(c.last)}" for name, c in curves if name[2] == kind]
            if shares:
                lines.append(f"{title}: {', '.join(shares)}.")
        return " ".join(str(escape(line)) for line in lines)


def _list(given: Sequence[answers.Answer]) -> str:
    """Return the newest answers as a table, the newest first."""
    rows = []
    for one in reversed(given[-LISTED:]):
        right = {True: "right", False: "wrong", None: ""}[one.is_right]
        share = f"{100 * max(one.scores):.0f} %" if one.scores else "–"
        said = f"{printable(one.said, 24)}, {share}"
        cells = (right, said, printable(one.label, 24) or "not known", printable(one.segment, 40))
        *first, segment = (str(escape(cell)) for cell in cells)
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in first)}<td class='long'>{segment}</td></tr>")
    head = "".join(f"<th>{title}</th>" for title in ("", "taken for", "label", "segment"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _confusion(given: Sequence[answers.Answer]) -> str:
    """Return what was taken for what: a table of all pairs, or of many classes the most frequent mistakes."""
    names, table = answers.confusion(given)
    n, right = int(table.sum()), int(np.trace(table))
    if not n:
        return "<p>No label is known of what it has named.</p>"
    said = f"<p>Of the last {n} segments with a label, {right} were right ({100 * right / n:.0f} %).</p>"
    if len(names) > answers.MOST_CLASSES:
        pairs = answers.mistakes(names, table)
        items = "".join(
            f"<li>{escape(printable(a, 30))} for {escape(printable(b, 30))}: {count}</li>" for a, b, count in pairs
        )
        return f"{said}<p>{len(names)} classes; taken most often:</p><ul>{items}</ul>"
    turned = " turned" if max(map(len, names)) > 4 else ""
    heads = "".join(f'<th class="right{turned}">{escape(printable(name, LONGEST_NAME))}</th>' for name in names)
    lines = []
    for i, name in enumerate(names):
        cells = "".join(
            f'<td class="right">{f"<strong>{count}</strong>" if i == j else count or "·"}</td>'
            for j, count in enumerate(table[i])
        )
        lines.append(f"<tr><th>{escape(printable(name, LONGEST_NAME))}</th>{cells}</tr>")
    said += '<p class="quiet">A line is what segments were, a column what they were taken for.</p>'
    body = f"<tbody>{''.join(lines)}</tbody>"
    return f"{said}<table><thead><tr><th></th>{heads}</tr></thead>{body}</table>"
