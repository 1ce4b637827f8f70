"""What modules hear: of a unit the recent excerpts that drive it most, as pictures, and to be listened to."""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from markupsafe import escape

from stream_infomax.page.figures import GREYS, Pace, Picture, guides, plain, ranges
from stream_infomax.page.section import Section, nothing_yet
from stream_infomax.page.tiles import NOTHING, Pixels, shades
from stream_infomax.page.watched import Watched
from stream_infomax.settings.printable import printable
from stream_infomax.watch.hearing import MOST, RANGE, SECONDS, SOUND, Excerpt, Hearing, contrasts, spectrogram, wav

Floats = npt.NDArray[np.float64]

# Bytes a second that go to a viewer for this section; units among which one is chosen.
BYTES_A_SECOND, UNITS = 64_000, 32
# Steps of a spectrogram and lines of a waveform that are drawn.
STEPS, LINES = 100, 64


class HearingSection(Section):
    """What the modules of a run hear."""

    name, title = "hearing", "What modules hear"

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._module, self._unit = "", -1
        self._pace, self._drawn = Pace(BYTES_A_SECOND), (-1, "", -1)
        self._figure = plain(150, axes=False)
        self._picture = Picture(self._figure, GREYS)
        self.roots = {"hearing-excerpts": self._figure}

    def html(self) -> str:
        """Return the controls, and the places of the picture and of the words."""
        return """
<p id="hearing-about" class="quiet"></p>
<div class="controls">
  <span id="hearing-module"></span>
  <button type="button" data-tell="step" data-value="-1">Previous unit</button>
  <button type="button" data-tell="step" data-value="1">Next unit</button>
  <span id="hearing-play"></span>
</div>
<h3 id="hearing-title" aria-live="polite"></h3>
<div id="hearing-excerpts-root" data-root="hearing-excerpts" role="img" aria-label="The excerpts"></div>
<p id="hearing-where" class="quiet number"></p>
"""

    def refresh(self) -> dict[str, str]:
        """Draw what has changed, and say it in words."""
        services = sorted({stage.service for stage in self.watched.stages if stage.kind == "contrast"})
        if not services:
            return {"hearing-about": "The run has no contrastive module."}
        modules = self.watched.heard.modules()
        if self._module not in modules:
            self._module, self._unit = modules[-1] if modules else "", -1
        hearing = self.watched.heard.of(self._module)
        units = hearing.strongest(UNITS) if hearing else []
        if hearing is None or not units:
            return {"hearing-about": str(escape(nothing_yet(self.watched, *services)))}
        if not hearing.excerpts(self._unit):
            self._unit = units[0]
        excerpts = hearing.excerpts(self._unit)
        state = (hearing.version, self._module, self._unit)
        now = self.watched.now()
        if state != self._drawn and (state[1:] != self._drawn[1:] or self._pace.ready(now)):
            self._pace.sent(self._draw(excerpts, hearing), now)
            self._drawn = state
        return self._words(modules, units, excerpts, hearing)

    def told(self, what: str, value: str) -> dict[str, str]:
        """Turn to another module or unit."""
        hearing = self.watched.heard.of(self._module)
        if what == "module" and value in self.watched.heard.modules():
            self._module, self._unit = value, -1
        elif what == "step" and value in ("-1", "1") and hearing is not None and (units := hearing.strongest(UNITS)):
            at = units.index(self._unit) if self._unit in units else -1
            self._unit = units[(at + int(value)) % len(units)]
        return self.refresh()

    def _draw(self, excerpts: list[Excerpt], hearing: Hearing) -> int:
        tiles = _tiles(excerpts, hearing.rate)
        height = max(len(tile) for tile in tiles)
        width = max(tile.shape[1] for tile in tiles)
        strip = np.full((height, MOST * (width + 2)), NOTHING, np.uint8)
        for i, tile in enumerate(tiles):
            left = i * (width + 2) + width - tile.shape[1]  # they end at the same place
            strip[: len(tile), left : left + tile.shape[1]] = tile
        ranges(self._figure, (0, MOST), (0, 1))
        guides(self._figure, visible=False)
        return self._picture.show(strip, (0, MOST), (0, 1))

    def _words(self, modules: list[str], units: list[int], excerpts: list[Excerpt], hearing: Hearing) -> dict[str, str]:
        options = "".join(
            f'<option value="{escape(name)}"{" selected" * (name == self._module)}>{escape(printable(name))}</option>'
            for name in modules
        )
        at = f", {units.index(self._unit) + 1} of {len(units)} by the deviation of its output"
        where = f"sound/heard/{quote(self._module, safe='')}/{self._unit + 1}.wav"
        play = f'<button type="button" data-play="{where}">Play unit {self._unit + 1}</button>'
        places = "; ".join(printable(one.segment or f"{one.time:.1f} s", 60) for one in excerpts)
        what = f"stretches of {SECONDS:g} s that end" if hearing.rate else "patches of pictures"
        return {
            "hearing-about": f"The {what} where the output of a unit was largest recently, the strongest first.",
            "hearing-module": f'<label>Module <select data-tell="module">{options}</select></label>',
            "hearing-title": f"Unit {self._unit + 1}{at if self._unit in units else ''}",
            "hearing-play": play if hearing.rate >= SOUND else "",
            "hearing-where": str(escape(places)),
        }


def sound_of(watched: Watched, module: str, unit: int) -> bytes | None:
    """Return the excerpts of a unit as a WAV file; None where there are none, or they are not of sound."""
    hearing = watched.heard.of(module)
    excerpts = hearing.excerpts(unit) if hearing is not None else []
    return wav(excerpts, hearing.rate) if hearing is not None and excerpts and hearing.rate >= SOUND else None


def _tiles(excerpts: list[Excerpt], rate: float) -> list[Pixels]:
    """Return excerpts as bytes, the first line at the bottom: spectrograms, waveforms or patches."""
    if not rate:
        patches = contrasts([excerpt.data for excerpt in excerpts])
        return [shades((one.mean(axis=2) if one.ndim == 3 else one)[::-1]) for one in patches]
    if rate < SOUND:
        return [shades(_curve(excerpt)) for excerpt in excerpts]
    decibels = [spectrogram(excerpt.data, round(SECONDS * rate), rate)[-STEPS:] for excerpt in excerpts]
    return [shades(2 * _fewer(one.T, LINES) / RANGE + 1) for one in decibels]


def _fewer(values: Floats, lines: int) -> Floats:
    """Return the largest of neighbouring lines, at most so many."""
    step = -(-len(values) // lines)
    return np.maximum.reduceat(values, np.arange(0, len(values), step), axis=0)


def _curve(excerpt: Excerpt) -> Floats:
    """Return the first channel of a slow signal as a line of dots."""
    line = np.nan_to_num(excerpt.data[:, 0].astype(np.float64))
    low, high = line.min(), line.max()
    canvas = np.full((LINES, len(line)), -1.0)
    canvas[np.rint((LINES - 1) * (line - low) / max(high - low, 1e-12)).astype(int), np.arange(len(line))] = 1.0
    return canvas
