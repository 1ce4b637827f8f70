"""Heard: what the modules of a run have heard recently, from the frames of the source and of the modules' services."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.layouts import layout
from stream_infomax.watch.hearing import MOST, SECONDS, Hearing, added

if TYPE_CHECKING:
    from stream_infomax.page.watched import Stage

# Frames of the source that wait for what the modules make of them, and their bytes.
MOST_FRAMES, MOST_WAITING = 512, 16 << 20
# What the excerpts of all units of a module may take; modules, and the fastest signal, that are listened to.
MOST_BYTES, MOST_MODULES, FASTEST = 128 << 20, 16, 192_000.0
# Seconds after which older excerpts are no news: the module has learnt.
EVERY = 60.0


class Heard:
    """Pairs frames of the source with what the modules made of them; holds the excerpts of the last minute or two.

    Parameters
    ----------
    now
        A clock (s).
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._source: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self._bytes = 0
        # By module: what is shown, and what takes its place when it has heard for a while.
        self._modules: dict[str, tuple[Hearing, Hearing, float]] = {}

    def of_source(self, frame: Frame) -> None:
        """Take in a frame of the source."""
        before = self._source.pop((frame.stream, frame.offset), None)
        self._source[frame.stream, frame.offset] = frame
        self._bytes += _size(frame) - (_size(before) if before else 0)
        while len(self._source) > MOST_FRAMES or self._bytes > MOST_WAITING:
            _, oldest = self._source.popitem(last=False)
            self._bytes -= _size(oldest)

    def of_modules(self, frame: Frame, service: str, stages: Sequence[Stage]) -> None:
        """Take in a frame of a service that modules run in."""
        source = self._source.get((frame.stream, frame.offset))
        if source is None or not stages:
            return
        own = [stage for stage in stages if stage.service == service]
        for stage in own:
            name, n_added = _added(stage)
            if stage.kind == "contrast" and name in frame.arrays:
                rate = frame.rate if stage is own[-1] else stage.rate
                array = frame.arrays[name]
                if _is_bounded(source, stages[0].name, array):
                    for hearing in self._listeners(stage.name, stages, n_added):
                        hearing.listen(source, stages[0].name, array, rate)

    def modules(self) -> list[str]:
        """Return the modules of which something was heard."""
        return [name for name, (shown, _, _) in self._modules.items() if shown.n_units]

    def of(self, module: str) -> Hearing | None:
        """Return what a module has heard recently."""
        found = self._modules.get(module)
        return found[0] if found else None

    def _listeners(self, name: str, stages: Sequence[Stage], n_added: int | None) -> tuple[Hearing, ...]:
        if name not in self._modules and len(self._modules) >= MOST_MODULES:
            return ()
        now, grid = self._now(), _grid(stages)
        shown, next_one, since = self._modules.get(name) or (Hearing(grid, n_added), Hearing(grid, n_added), now)
        if now - since >= EVERY:
            shown, next_one, since = next_one, Hearing(grid, n_added), now
        self._modules[name] = shown, next_one, since
        return shown, next_one


def _size(frame: Frame) -> int:
    return sum(array.data.nbytes for array in frame.arrays.values())


def _is_bounded(source: Frame, name: str, array: Array) -> bool:
    """Return whether there is room for the excerpts of a module: anybody can publish at an address."""
    if name not in source.arrays or not 0 <= source.rate <= FASTEST:
        return False
    units, given = array.rows().shape[1], source.arrays[name]
    excerpt = SECONDS * source.rate * given.rows().shape[1] if array.n_row_axes == 1 else given.data.size
    return bool(units > 0 and 4 * units * MOST * excerpt <= MOST_BYTES)


def _added(stage: Stage) -> tuple[str, int | None]:
    """Return the array that ends with what a module adds, and how many channels that is; None: all."""
    given = stage.settings
    if not {"layout", "module", "width"} <= given.keys():
        return stage.name, None
    return added(stage.name, layout(given["layout"], given["width"])[given["module"] - 1])


def _grid(stages: Sequence[Stage]) -> tuple[int, int] | None:
    """Return side and stride of the patches of a grid, as the configuration says."""
    grids = [stage.settings for stage in stages if stage.kind == "windows" and stage.settings.get("form") == "grid"]
    return (int(grids[-1]["patch"]), int(grids[-1]["stride"])) if grids else None
