"""Pupil: a contrastive module once the shape of its rows is known, and what it remembers of its streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Frame
from stream_infomax.learning.contrast.encoders import GridEncoder, RowEncoder
from stream_infomax.learning.contrast.excerpts import Batch, Cutter, GridCutter
from stream_infomax.learning.contrast.shapes import Shape
from stream_infomax.stages.teachers import Teacher
from stream_infomax.state.kept import text

if TYPE_CHECKING:
    from stream_infomax.learning.contrast.online import OnlineModule

Rows = npt.NDArray[np.float32]


class StreamMemory:
    """What a module remembers of one stream: its encoder's tails, and rows that are no excerpt yet.

    Parameters
    ----------
    encoder
        Encodes the stream.
    cutter
        Cuts it into excerpts; only `OwnExcerpts` feeds it.
    teacher
        Keeps the excerpt that an interruption leaves.
    """

    def __init__(self, encoder: RowEncoder | GridEncoder, cutter: Cutter | GridCutter, teacher: Teacher) -> None:
        self.encoder, self.cutter, self.teacher = encoder, cutter, teacher
        self.stream = ""  # its name, known with the first frame

    def interrupt(self) -> None:
        """What comes next does not continue what came before."""
        self.encoder.reset()
        self.close()

    def close(self) -> None:
        """What is learnt from next does not continue what was; the encoder goes on."""
        self.teacher.keep(self.cutter.close(), self.stream)

    def reset(self) -> None:
        """The segment is over."""
        self.interrupt()

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        return {"stream": self.stream, "encoder": self.encoder.state(), "cutter": self.cutter.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.stream = text(state["stream"], "stream")
        self.encoder.restore(state["encoder"])
        self.cutter.restore(state["cutter"])


class Pupil:
    """Encodes rows of one shape, and learns from the batches of its teacher.

    Parameters
    ----------
    online
        The module.
    shape
        Of the rows that come in.
    teacher
        Gives batches; it is told the shape.
    longest
        Rows of an excerpt at most.
    """

    def __init__(self, online: OnlineModule, shape: Shape, teacher: Teacher, longest: int) -> None:
        self.online, self.shape, self.teacher, self.longest = online, shape, teacher, longest
        self.stride = online.module.stride
        teacher.start(shape)

    def new_stream(self) -> StreamMemory:
        """Return the memory of a stream that has no past."""
        cutter = self.shape.cutter(self.stride, self.longest, self.teacher.counts)
        return StreamMemory(self.shape.encoder(self.online), cutter, self.teacher)

    def encode(self, rows: Rows, stream: StreamMemory) -> tuple[Rows, Rows]:
        """Return outputs and contexts for the next rows (n, channels), in the order of the input's row axes."""
        z, c = stream.encoder.encode(self.teacher.standardised(rows))
        return self.shape.arranged(z), self.shape.arranged(c)

    def learn(self, frame: Frame, rows: Rows, stream: StreamMemory) -> list[Batch]:
        """Learn from the batches that come with a frame, and return them as the next module is to learn from them."""
        stream.stream = frame.stream
        batches = self.teacher.batches(frame, rows, stream.cutter)
        return [learnt for batch in batches if (learnt := self.online.learn(batch)) is not None]

    def forget_rows(self) -> None:
        """Forget rows of another encoder, and learn faster for a while; the weights stay."""
        self.teacher.start(self.shape)
        self.online.raise_learning_rate()

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs, and the shape, with which a pupil is made."""
        return {
            "shape": self.shape.state(),
            "module": self.online.state(),
            "teacher": self.teacher.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError where the module has other sizes."""
        self.online.restore(state["module"])
        self.teacher.restore(state["teacher"])
