"""An example of every kind of stage, and what it is fed with. A stage of a new kind needs an entry in EXAMPLES."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from contracts import streams
from contracts.kinds import STAGES as KINDS
from helpers.extras import extra
from msgspec.structs import replace

from stream_infomax.frames.frame import Frame
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.settings.record import make


@dataclass(frozen=True)
class Example:
    """A stage of a kind, and what it is fed with.

    Attributes
    ----------
    frames
        Returns its input: a hard stream, in which nothing is lost.
    input
        The array that it reads.
    remembers
        Rows of a segment change what comes out for later rows of it.
    any_cut
        What stays the same however the rows of a segment are cut into frames: the ``bits`` of what comes out, the
        basis that is learnt (what comes out depends on how much was learnt when its frame came), or, where a sum is
        made in pieces, what comes out where nothing is learnt, but for ``rounding``.
    """

    kind: str
    settings: dict[str, Any]
    frames: Callable[[], list[Frame]]
    input: str = "source"
    remembers: bool = False
    any_cut: str = "bits"
    form: str = field(default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.form}".strip()


def saved_encoder():
    """Return the path of an encoder of five numbers into seven."""
    rng = np.random.default_rng(4)
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    encoder = Encoder(**{**arrays, "mean": rng.standard_normal(5)}, amplitude=(7 / 5) ** 0.5, output="halves")
    encoder.save(folder / "encoder.safetensors")
    return str(folder / "encoder.safetensors")


SHAPES = {"components": (7, 5), "mixing": (5, 7), "beta": (7,), "bias": (7,)}
SMALL = {"width": 8, "rows": 200, "excerpt": 60, "anchors": 32, "negatives": 16, "every": 3}
MEL = {"form": "log-mel", "n_mels": 5, "length": 4, "hop": 3}


def below(*modules, rows=streams.features, **settings):
    """Return what contrastive modules make of features: the input of the next module."""

    def frames():
        made = streams.stream(rows, 48, name="m0", rate=200.0)
        for number in modules:
            stage = KINDS["contrast"](f"m{number}", f"m{number - 1}", module=number, **SMALL, **settings)
            made = [stage.process(frame) for frame in made]
        return [streams.locked(frame) for frame in made]

    return frames


EXAMPLES = [
    Example(
        "windows",
        {"form": "waveform", "length": 30, "hop": 7, "center": True},
        lambda: streams.stream(streams.signal),
        remembers=True,
        form="waveform",
    ),
    Example(
        "windows",
        {"form": "waveform", "length": 3, "hop": 1},
        lambda: streams.stream(streams.features),
        remembers=True,
        form="context",
    ),
    Example("windows", MEL, lambda: streams.stream(streams.signal), remembers=True, form="log-mel"),
    Example(
        "windows", {**MEL, "replay": 20_000}, lambda: streams.stream(streams.signal), remembers=True, form="replay"
    ),
    Example("windows", {"form": "patches", "center": True}, lambda: streams.stream(streams.patches), form="patches"),
    Example("windows", {"form": "grid", "patch": 4, "stride": 3}, lambda: streams.stream(streams.picture), form="grid"),
    Example(
        "learner",
        {"n_components": 5, "block": 16},
        lambda: streams.stream(streams.features),
        any_cut="basis",
        form="complete",
    ),
    Example(
        "learner",
        {"energy": 0.9, "block": 16, "output": "log"},
        lambda: streams.stream(streams.features),
        any_cut="basis",
        form="open width",
    ),
    Example(
        "learner",
        {"n_rank": 4, "n_components": 9, "overcomplete": True, "block": 16, "memory": "100 kB"},
        lambda: streams.stream(streams.features),
        any_cut="basis",
        form="overcomplete",
    ),
    Example("encoder", {"basis": saved_encoder()}, lambda: streams.stream(streams.features)),
    Example("contrast", SMALL, below(), input="m0", remembers=True, any_cut="rounding", form="first"),
    Example(
        "contrast", {**SMALL, "module": 2}, below(1), input="m1", remembers=True, any_cut="rounding", form="second"
    ),
    Example(
        "contrast",
        {**SMALL, "module": 4},
        below(1, 2, 3),
        input="m3",
        remembers=True,
        any_cut="rounding",
        form="recurrent",
    ),
    Example(
        "contrast",
        {**SMALL, "layout": "patches"},
        below(rows=streams.grid),
        input="m0",
        form="grid",
    ),
    Example(
        "classifier",
        {"target": "word", "learning_rate": 1e-2},
        lambda: streams.stream(streams.features),
        remembers=True,
        any_cut="rounding",
        form="linear",
    ),
]


class Subject:
    """A stage of an example, and its input."""

    def __init__(self, example):
        self.example = example
        self.kind = KINDS[example.kind]
        for package in make(self.kind.Settings, example.settings).needs():
            extra(package)
        self.frames = example.frames()
        self.can_freeze = "learn" in self.kind.Settings.__struct_fields__

    def make(self, carry=(), **changes):
        """Return a new stage."""
        return self.kind("stage", self.example.input, carry, **{**self.example.settings, **changes})

    @cached_property
    def _learnt(self):
        taught = self.make()
        run(taught, self.frames)
        return taught.state()

    def frozen(self):
        """Return a stage that has seen all frames and learns no more."""
        stage = self.make(learn=False) if self.can_freeze else self.make()
        stage.restore(self._learnt)
        return stage

    def piece(self, n, mirrored=False, **changes):
        """Return n frames that follow those it has seen: one segment of a new stream that does not end.

        Where they are `mirrored`, they are others of the same shapes.
        """
        chosen = [frame for frame in self.frames if frame.arrays and frame.arrays[self.example.input].data.size]
        if mirrored:
            chosen = [streams.with_rows(frame, lambda rows: 0.5 - rows[::-1]) for frame in chosen]
        changes = {"stream": "new", "segment": "piece", "last": False, "end": False, "labels": {}, **changes}
        return streams.numbered([replace(frame, **changes) for frame in chosen[-n:]], len(self.frames))


def run(stage, frames):
    """Return what a stage makes of frames."""
    return [stage.process(frame) for frame in frames]
