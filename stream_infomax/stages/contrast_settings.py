"""ContrastSettings: the settings of a contrastive module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from msgspec.structs import replace

from stream_infomax.learning.contrast.layouts import Conv, Layer, Recurrent, layout, least_skip, output_width
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, NotNegative, NotNegativeFloat, Positive, PositiveFloat, Seed, Share
from stream_infomax.stages.learner_settings import LearnerSettings
from stream_infomax.stages.windows import WindowsSettings

WholeShare = Annotated[float, Meta(ge=0, le=1)]


class ContrastSettings(StageSettings, frozen=True, kw_only=True):
    """One gradient-isolated contrastive module: number `module` of the stack that `layout` names."""

    free: ClassVar = (
        *("negatives", "anchors", "own", "stream", "temperature", "learning_rate", "warmup_rows", "decay_rows"),
        *("updates", "every", "rows", "live", "learn", "device"),
    )

    layout: Annotated[
        Literal["fine", "mel", "paired", "paper", "patches"],
        Doc(
            "The stack. `fine`: a layer a module, for features at 100 to 200 rows a second. `mel`: the same with "
            "one stride less, for 100 rows a second. `paired`: the layers of `fine` in two modules. `paper`: six "
            "modules for raw audio at 16 kHz. `patches`: two modules for grids of patches."
        ),
    ] = "fine"
    module: Annotated[Positive, Doc("Which module of the stack this is.")] = 1
    width: Annotated[Positive, Doc("Channels of every layer; `paper` has its own.")] = 128
    horizon_ms: Annotated[
        PositiveFloat, Doc("How far ahead it predicts, at most 12 of its rows; on grids up to 5 rows of patches.")
    ] = 120.0
    skip: Annotated[
        NotNegative | Literal["auto"],
        Doc(
            "Rows of its output (grids: rows of patches) between context and target that are left out because they "
            "share samples (pixels) with both. `auto`: the fewest that leave nothing shared, by the windows stage and "
            "the modules below."
        ),
    ] = 0
    residual: Annotated[
        bool,
        Doc("Pass on what came in (its mean over the stride) beside what the module adds, which alone is contrasted."),
    ] = False
    normalise: Annotated[
        bool, Doc("Standardise what the module adds before it is passed on, by slow running moments of each channel.")
    ] = False
    reach: Annotated[int, Meta(ge=1, le=64), Doc("Predict from the contexts of so many last rows.")] = 1
    negatives: Annotated[int, Meta(ge=2), Doc("Wrong rows among which the right one is to be found.")] = 64
    own: Annotated[WholeShare, Doc("Share of the negatives that is of the same excerpt or image.")] = 0.25
    stream: Annotated[
        WholeShare,
        Doc("Share of the negatives that is of other excerpts of the same stream; all others are of the whole batch."),
    ] = 0.0
    temperature: Annotated[
        NotNegativeFloat, Doc("Scores are cosines divided by this, which bounds them; 0: products without a bound.")
    ] = 0.0
    anchors: Annotated[Positive, Doc("Rows of a batch from which is predicted.")] = 256
    learning_rate: Annotated[PositiveFloat, Doc("Of Adam.")] = 1e-3
    warmup_rows: Annotated[
        NotNegative, Doc("The learning rate rises from nothing while so many rows are learnt from; 0: it does not.")
    ] = 0
    decay_rows: Annotated[
        NotNegative, Doc("After so many rows the learning rate is half, after twice as many a third; 0: it stays.")
    ] = 0
    updates: Annotated[
        Positive,
        Doc("Batches after every `every` excerpts. First module only and without a replay, as are the next five."),
    ] = 1
    every: Annotated[Positive, Doc("New excerpts after which the module learns.")] = 1
    rows: Annotated[Positive, Doc("Rows of a batch, about.")] = 2048
    excerpt: Annotated[Positive, Doc("Rows of an excerpt at most.")] = 256
    memory: Annotated[Memory, Doc("Excerpts that are kept.")] = Memory("16 MB")
    reservoir: Annotated[Share, Doc("Share of the memory that holds a uniform sample of older excerpts.")] = 0.5
    live: Annotated[
        bool, Doc("Stop training while more than a second behind the stream; counted as `late`. Encoding goes on.")
    ] = False
    learn: Annotated[bool, Doc("False: only encode.")] = True
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Doc("Where the module trains; `auto` is a GPU if there is one. On a GPU results agree to rounding only."),
    ] = "cpu"
    seed: Seed = 0

    def __post_init__(self) -> None:
        n_modules = len(layout(self.layout))
        if self.module > n_modules:
            raise SettingError("module", self.module, f"1 to {n_modules}, the modules of layout {self.layout!r}")
        if self.own + self.stream > 1:
            raise SettingError("stream", self.stream, f"at most 1 - own = {1 - self.own:g}")

    def described(self, name: str) -> dict[str, str | int | float]:
        """Return what shapes the state of the module that is called `name`."""
        shaping = ("layout", "module", "width", "horizon_ms", "skip", "residual", "normalise", "reach", "seed")
        return {"name": name, **{key: getattr(self, key) for key in shaping}}

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the rows of the module's output."""
        layers = layout(self.layout, self.width)[self.module - 1]
        stride = _stride(layers)
        segments = Counter[int]()
        for rows, count in incoming.segments.items():
            segments[rows // stride] += count
        is_known = output_width(0, layers, self.residual) == output_width(1, layers, self.residual)
        channels = 0 if is_known else incoming.width
        row = None if channels is None else (output_width(channels, layers, self.residual),)
        if incoming.grid:
            self._check_rows(incoming.grid[0], f"a picture has {incoming.grid[0]} rows of patches")
        warning = self._too_short(max(segments, default=0)) if incoming.rows and self.learn else ""
        incoming = replace(incoming, channels=(), units=(), about="", warning=warning)
        at_most = incoming.at_most and not is_known
        return replace(incoming, segments=segments, row=row, at_most=at_most, rate=incoming.rate / stride)

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the stage needs."""
        return ("torch",)

    def adds(self, name: str) -> tuple[str, ...]:
        """Return the module's output and, of one with a GRU, its context."""
        is_recurrent = isinstance(layout(self.layout, self.width)[self.module - 1][-1], Recurrent)
        return (name, f"{name}.context") if is_recurrent else (name,)

    def check_place(self, input: str, below: Mapping[str, Settings]) -> None:
        """Check layout and input, that no predicted patches share pixels, and that excerpts are long enough."""
        windows = self._windows(below)
        if self.layout == "patches" and windows and windows.form in ("waveform", "log-mel"):
            others = '"fine", "mel", "paired", "paper"'
            raise SettingError("layout", "patches", others, f"rows of form {windows.form!r} follow one another in time")
        shared_rows = self._shared(below) if self.layout == "patches" else 0
        if self.skip != "auto" and self.skip < shared_rows:
            raise SettingError(
                "skip",
                self.skip,
                f"skip >= {shared_rows}",
                f"{shared_rows} rows of patches share pixels with the one above",
            )
        named = below.get(input)
        expected = (self.layout, self.module - 1)
        is_next = isinstance(named, ContrastSettings) and (named.layout, named.module) == expected
        if self.module > 1 and not is_next:
            raise SettingError(
                "input",
                input,
                f"module {self.module - 1} of layout {self.layout!r}, on whose batches module {self.module} trains",
            )

        learners = [one for one in below.values() if isinstance(one, LearnerSettings)]
        if any(one.share == "stream" and not one.overcomplete for one in learners):
            problem = "each stream has a learner with as many outputs as its own rows have ranks"
            raise SettingError("input", input, "features of one learner, or of `overcomplete` ones", problem)
        if self.layout != "patches":
            self.settled(below)._check_excerpts(below)

    def settled(self, below: Mapping[str, Settings]) -> ContrastSettings:
        """Return the settings with `skip` as a number, by the stages below."""
        return replace(self, skip=self._shared(below)) if self.skip == "auto" else self

    def _shared(self, below: Mapping[str, Settings]) -> int:
        """Return the rows that share samples or pixels with the context."""
        windows = self._windows(below)
        return least_skip(self._layers_to_here(), *(windows.extent() if windows else (1.0, 1.0)))

    def _windows(self, below: Mapping[str, Settings]) -> WindowsSettings | None:
        """Return the settings of the nearest windows stage."""
        return next((one for one in reversed([*below.values()]) if isinstance(one, WindowsSettings)), None)

    def _layers_to_here(self) -> tuple[Layer, ...]:
        """Return the layers of the stack up to this module's last."""
        return tuple(layer for module in layout(self.layout)[: self.module] for layer in module)

    def _check_excerpts(self, below: Mapping[str, Settings]) -> None:
        """Raise SettingError where excerpts, which a windows stage or the first module cuts, allow no prediction."""
        windows = self._windows(below)
        modules = [one for one in below.values() if isinstance(one, ContrastSettings) and one.layout == self.layout]
        longest = max(one.excerpt for one in (*modules, self) if one.module == 1)
        longest = windows.excerpt if windows and windows.replay else longest
        rows = longest // _stride(self._layers_to_here())
        self._check_rows(rows, f"excerpts of {longest} rows are {rows} rows of its output")

    def _check_rows(self, rows: int, problem: str) -> None:
        """Raise SettingError where so many output rows, all that there are at once, allow no prediction."""
        skip = 0 if self.skip == "auto" else self.skip
        if skip > rows - 2:
            accepted = f"0 to {rows - 2}" if rows >= 2 else "a longer `excerpt`"
            raise SettingError("skip", skip, accepted, problem)
        if self.reach > rows - 1 - skip:
            raise SettingError("reach", self.reach, f"1 to {rows - 1 - skip}", f"{problem}, {skip} are skipped")

    def _too_short(self, rows: int) -> str:
        """Return what to warn of where the longest segment has so many output rows."""
        needed = 2 + (0 if self.skip == "auto" else self.skip)
        if rows >= needed:
            return ""
        return f"no segment is long enough to learn from: the longest has {rows} of its rows, {needed} are needed"


def _stride(layers: Iterable[Layer]) -> int:
    """Return the rows below one row of the last of these layers."""
    return prod(layer.stride for layer in layers if isinstance(layer, Conv))
