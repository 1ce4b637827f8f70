"""EncoderStage: rows encoded with a basis that was learnt elsewhere. It needs NumPy, and nothing of what learns."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec.structs import replace

from stream_infomax.frames.basis import Basis, joined
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.frames.gaps import incoming, is_unsettled
from stream_infomax.frames.ledger import NO_WIDTH, NOT_FINITE, Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc
from stream_infomax.stages.batches import encoded_batches
from stream_infomax.state.file import StateFileError
from stream_infomax.state.kept import counted


class EncoderSettings(StageSettings, frozen=True, kw_only=True):
    """Encodes with a basis that was learnt elsewhere, without numba: for small boxes."""

    free: ClassVar = ()

    basis: Annotated[
        str,
        Doc("What was learnt: a saved learner or encoder, a checkpoint, the folder of a service or that of a run."),
    ]
    learner: Annotated[str, Doc("The learner's stage there; empty: there is only one.")] = ""

    def load(self) -> Encoder:
        """Return the encoder. Raises SettingError where there is none."""
        try:
            return Encoder.load(self.basis, self.learner or None)
        except (StateFileError, OSError) as error:
            accepted = "a file or folder with a basis that was learnt"
            raise SettingError("basis", self.basis, accepted, str(error)) from error

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the features."""
        encoder = self.load()
        if incoming.width is not None and incoming.width != encoder.n_features and not incoming.at_most:
            raise SettingError(
                "basis", self.basis, f"a basis for rows of {incoming.width} numbers", f"takes {encoder.n_features}"
            )
        about = f"basis {encoder.version}, {encoder.n_components} components"
        return replace(incoming, row=(encoder.width,), at_most=False, about=about, warning="")


@configured_by(EncoderSettings)
class EncoderStage(Accounting):
    """Publish each frame's rows encoded with a basis that never changes: the bits of the learner that published it.

    Rows that are not finite come out as NaN. A checkpoint holds the basis: after a restart it is the same one,
    whatever has become of the file.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds: shape (row axes of the input, width), float32.
    input
        The array to encode.
    carry
        Arrays of the incoming frame that are passed on.

    Raises
    ------
    SettingError
        Where no basis is found.
    """

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        given = make(EncoderSettings, settings)
        self.name, self.input, self.carry = name, input, tuple(carry)
        self._take(given.load())
        self._counts = {"rows": 0, "set aside: not finite": 0}
        self.account, self.reads = Account(name, "stage"), (input,)

    def _take(self, encoder: Encoder) -> None:
        """Encode with this encoder from now on."""
        self.encoder = encoder
        self._basis = Basis(
            stage=self.name,
            encoder=f"{self.name}-{encoder.version}",
            version=encoder.version,
            output=encoder.output,
            amplitude=encoder.amplitude,
            mean=encoder.mean,
            components=encoder.components,
            mixing=encoder.mixing,
            beta=encoder.beta,
            bias=encoder.bias,
            seed=encoder.seed,
        )

    def process(self, frame: Frame) -> Frame:
        """Return the frame with the features of its rows. Raises ValueError where the rows have another size."""
        array = incoming(frame, self.input, self.name)
        if array is None:
            return frame
        version = "" if is_unsettled(array) else self._basis.version
        about = {"encoder": self._basis.encoder, "update": 0, "basis": joined(frame.basis, version)}
        if is_unsettled(array):
            self.account.set_aside(frame.stream, NO_WIDTH, array.n_rows)
            return frame.extend({self.name: array}, self.carry, **about)
        rows = array.rows()
        if rows.shape[1] != self.encoder.n_features:
            raise ValueError(
                f"stage {self.name!r}: rows of {self.input!r} have {rows.shape[1]} numbers at offset {frame.offset} of "
                f"stream {frame.stream!r}; its basis takes {self.encoder.n_features}"
            )
        first = self._counts["rows"]
        batches = encoded_batches(frame, self.input, self.name, lambda rows: self.encoder.transform(rows, first))
        features = self.encoder.transform(rows, first)
        self._counts["rows"] += len(features)
        finite = features[:, 0] == features[:, 0]
        self._counts["set aside: not finite"] += (bad := int((~finite).sum()))
        self.account.set_aside(frame.stream, NOT_FINITE, bad)
        self.account.process(frame.stream, int(finite.sum()))
        return frame.extend({self.name: array.replace_rows(features), **batches}, self.carry, **about)

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """It does nothing else."""
        self.carry = carry

    def state(self) -> State:
        """Return the basis and the counts."""
        return {"encoder": self.encoder.tree(), "counts": dict(self._counts)}

    def restore(self, state: State) -> None:
        """Take over what `state()` returned."""
        self._take(Encoder.from_tree(state["encoder"]))
        self._counts = counted(state["counts"], known=self._counts)

    def bases(self) -> list[Basis]:
        """Return the basis, which never changes."""
        return [self._basis]

    def measures(self) -> list[Measure]:
        """Nothing is learnt here."""
        return []

    def counts(self) -> Counts:
        """Return the rows, and those that were set aside."""
        return self._counts
