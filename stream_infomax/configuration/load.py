"""Configuration: typed records read from TOML. An unknown key is an error that names its path.

One file describes one pipeline: ``[run]``, ``[source]`` and the ``[[stage]]`` tables in their order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from stream_infomax.configuration.explain import explain
from stream_infomax.configuration.overrides import apply

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


# Who reads the last service's log, where what it publishes is kept.
RECORDER = "recorder"


class ConfigError(ValueError):
    """A configuration that cannot be used: names the key, the value and what would be accepted."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration."""


class Log(Record, frozen=True, kw_only=True):
    """A service's output log: its bounds, and the address where it can be had."""

    frames: Positive = 1024
    megabytes: Annotated[float, msgspec.Meta(gt=0)] = 64.0
    # Empty: a Unix socket in the run folder. The tap stands on the address behind it (see addresses()).
    bind: str = ""
    tap: str = ""

    def __post_init__(self) -> None:
        for key, address in (("bind", self.bind), ("tap", self.tap)):
            port = address.rpartition(":")[2]
            if address.startswith("tcp://") and port != "*" and not (port.isdecimal() and 1 <= int(port) <= 65535):
                raise ValueError(f"{key} = {address!r}: accepted is a port from 1 to 65535, or *")


class Run(Record, frozen=True, kw_only=True):
    """What holds for the whole run."""

    folder: str
    seed: NotNegative = 0
    policy: Literal["wait", "drop-oldest"] = "wait"
    # Frames between checkpoints: a number of frames and not a time, so that a run can be repeated.
    checkpoint_every: Positive = 512
    keep: Positive = 3
    # Whether a collector keeps what the last service publishes.
    record: bool = False


class SourceSettings(Record, frozen=True, kw_only=True, tag_field="kind"):
    """What every source has."""

    name: Name = "source"
    pace: Literal["fast", "live"] = "fast"
    log: Log = Log()


class AudioSettings(SourceSettings, frozen=True, kw_only=True, tag="audio"):
    """A file or folder of recordings."""

    path: str
    # Samples a second after resampling; 0 keeps each file's own, which then must be one for all.
    rate: NotNegative = 0
    channels: Literal["mix", "keep"] = "mix"
    # Samples of one frame; 0 makes it 20 ms.
    frame: NotNegative = 0
    # A regular expression over the file's path below `path`; its named groups become labels.
    labels: str = ""
    # A CSV file whose first column names the file and whose other columns become labels.
    labels_csv: str = ""
    # A regular expression: only recordings in whose path below `path` it is found are used.
    include: str = ""
    order: Literal["sorted", "shuffled"] = "sorted"
    repeat: Positive = 1
    start_time: float = 0.0


class ImageSettings(SourceSettings, frozen=True, kw_only=True, tag="images"):
    """A file, a folder or a bundled set of pictures, cut into crops or tiles."""

    path: str
    # Height and width of what is cut out.
    crop: tuple[Positive, Positive] = (12, 12)
    # Crops of a frame, with `patches`: they come from all pictures. With `crops` and `tiles` a frame is one segment.
    items: Positive = 256
    mode: Literal["patches", "crops", "tiles"] = "patches"
    colour: bool = False
    # Frames in all; 0 (tiles only): each tile once.
    frames: NotNegative = 0
    labels: str = ""
    # A regular expression: only pictures in whose path it is found are used; those of a stack are file.npz#00042.
    include: str = ""
    order: Literal["sorted", "shuffled"] = "sorted"


class SyntheticSettings(SourceSettings, frozen=True, kw_only=True, tag="synthetic"):
    """Known independent sources, mixed."""

    n_sources: Positive = 16
    density: Literal["laplace", "uniform", "logistic", "mixed"] = "laplace"
    rows: Positive = 256
    frames: Positive = 400
    rate: Annotated[float, msgspec.Meta(ge=0)] = 1000.0
    # Radians that the mixing turns in a second.
    drift: float = 0.0


class StageSettings(Record, frozen=True, kw_only=True, tag_field="kind"):
    """What every stage has."""

    name: Name
    # Stages with the same service share a process; empty: one of its own, called like the stage.
    service: str = ""
    # The array it reads; empty: that of the stage before it.
    input: str = ""
    # Arrays of the incoming frame that are passed on.
    carry: tuple[str, ...] = ()
    log: Log = Log()
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    learn: bool = True
    # A checkpoint whose state of this stage is taken over at a fresh start.
    start: str = ""

    @property
    def service_name(self) -> str:
        """The process that this stage runs in."""
        return self.service or self.name


class WindowsSettings(StageSettings, frozen=True, kw_only=True, tag="windows"):
    """Signals to windows and log-mel patches, pictures to patches."""

    form: Literal["waveform", "log-mel", "patches", "grid"] = "waveform"
    # waveform: samples; log-mel: mel frames.
    length: Positive = 64
    hop: Positive = 32
    n_mels: Positive = 40
    # log-mel: the analysis window and its step.
    window_ms: Seconds = 25.0
    shift_ms: Seconds = 10.0
    # grid: side of a patch and the step between patches.
    patch: Positive = 12
    stride: Positive = 12
    # Take each row's own mean away.
    center: bool = False

    def __post_init__(self) -> None:
        if self.form in ("waveform", "log-mel") and self.hop > self.length:
            raise ValueError(
                f"hop = {self.hop} is longer than length = {self.length}: samples between windows would be lost; "
                f"accepted is hop <= length"
            )
        if self.form == "grid" and self.stride > self.patch:
            raise ValueError(
                f"stride = {self.stride} is longer than patch = {self.patch}: pixels between patches would be "
                f"lost; accepted is stride <= patch"
            )


class LearnerSettings(StageSettings, frozen=True, kw_only=True, tag="learner"):
    """Online infomax."""

    n_components: Positive | None = None
    n_rank: Positive | None = None
    energy: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    block: Positive = 64
    # Bytes of past rows to learn from again; 0 for none.
    memory: NotNegative = 24 << 20
    half_life: Annotated[float, msgspec.Meta(gt=0)] | None = None
    warmup: Positive | None = None
    output: Literal["potential", "rate", "poisson", "halves", "log"] = "potential"

    def __post_init__(self) -> None:
        if self.n_rank is not None and self.n_components is not None and self.n_rank > self.n_components:
            raise ValueError(
                f"n_rank = {self.n_rank} exceeds n_components = {self.n_components}; accepted is n_rank <= n_components"
            )


class ContrastSettings(StageSettings, frozen=True, kw_only=True, tag="contrast"):
    """One gradient-isolated contrastive module: number `module` of the stack that `layout` names."""

    layout: Literal["fine", "paired", "paper", "patches"] = "fine"
    module: Positive = 1
    width: Positive = 128
    # How far ahead it predicts in time; on grids, rows of patches that share pixels with the context are skipped.
    horizon_ms: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    skip: NotNegative = 0
    negatives: Annotated[int, msgspec.Meta(ge=2)] = 64
    anchors: Positive = 256
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    # The first module draws the batches: so many after every so many new excerpts, of so many rows; the others follow.
    updates: Positive = 1
    every: Positive = 1
    rows: Positive = 2048
    excerpt: Positive = 256
    # Megabytes of excerpts, and the share of them that holds a uniform sample of older ones.
    memory: Annotated[float, msgspec.Meta(gt=0)] = 16.0
    reservoir: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5
    # Stop training, never publishing, while more than a second behind the stream.
    live: bool = False


class ClassifierSettings(StageSettings, frozen=True, kw_only=True, tag="classifier"):
    """Linear classifiers on pooled segments, scored before they learn."""

    # The label to predict.
    target: str
    # What they read: arrays, joined by "+"; one classifier each, the last one's output is published.
    levels: tuple[str, ...] = ()
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 2e-3
    penalty: Annotated[float, msgspec.Meta(ge=0)] = 1e-4
    # Labelled segments after which what was learnt counts half; without it nothing is forgotten.
    half_life: Annotated[float, msgspec.Meta(gt=0)] | None = None
    # Segments without a label that wait for one.
    waiting: Positive = 1000


AnySource = AudioSettings | ImageSettings | SyntheticSettings
AnyStage = WindowsSettings | LearnerSettings | ContrastSettings | ClassifierSettings


class Config(Record, frozen=True, kw_only=True):
    """One pipeline."""

    run: Run
    source: AnySource
    stage: tuple[AnyStage, ...] = ()

    def __post_init__(self) -> None:
        names = [self.source.name, *(stage.name for stage in self.stage)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is used twice; source and stages need different names")
        services = [stage.service_name for stage in self.stage]
        for i, name in enumerate(services):
            if i and name != services[i - 1] and name in services[:i]:
                raise ValueError(f"the stages of service {name!r} must follow one another, got the order {services}")
            if name == self.source.name:
                raise ValueError(f"service {name!r} is the source's; stages need a service of another name")
        _check_modules(self.stage)
        _check_arrays(self.source.name, self.stage)

    def services(self) -> list[str]:
        """Return the names of the processes in the order of the data, the source's first."""
        return list(dict.fromkeys([self.source.name, *(stage.service_name for stage in self.stage)]))

    def stages_of(self, service: str) -> tuple[AnyStage, ...]:
        """Return the stages that run in `service`. Raises ConfigError where there is no such service."""
        stages = tuple(stage for stage in self.stage if stage.service_name == service)
        if not stages:
            raise ConfigError(f"no service {service!r}; there are {self.services()[1:]}")
        return stages

    def log_of(self, service: str) -> Log:
        """Return the log of `service`: that of its last stage."""
        return self.source.log if service == self.source.name else self.stages_of(service)[-1].log

    def addresses(self, service: str) -> tuple[str, str]:
        """Return the addresses of the outlet and of the tap of `service`."""
        log = self.log_of(service)
        folder = Path(self.run.folder).resolve()
        return (
            log.bind or f"ipc://{folder}/{service}.outlet",
            log.tap or f"ipc://{folder}/{service}.tap",
        )

    def readers_of(self, service: str) -> tuple[str, ...]:
        """Return the names under which the log of `service` is read: the next service, or the recorder."""
        services = self.services()
        following = services[services.index(service) + 1 :]
        return tuple(following[:1]) or ((RECORDER,) if self.run.record else ())

    def upstream_of(self, service: str) -> str:
        """Return the service that `service` reads from."""
        services = self.services()
        return services[services.index(service) - 1]


def _check_arrays(source: str, stages: Sequence[AnyStage]) -> None:
    """Check that every array that a stage reads or passes on is in its incoming frame."""
    arrays, before = {source}, source
    for stage in stages:
        read = {"input": (stage.input or before,), "carry": stage.carry}
        if isinstance(stage, ClassifierSettings) and stage.levels:
            read = {"levels": tuple("+".join(stage.levels).split("+")), "carry": stage.carry}
        for key, names in read.items():
            for name in names:
                if name not in arrays:
                    raise ValueError(
                        f"stage.{stage.name}.{key} = {name!r}: no such array reaches it; accepted are "
                        f"{', '.join(sorted(arrays))}. What stands further up must be carried by every stage between"
                    )
        arrays = {stage.name, *stage.carry}
        if isinstance(stage, ContrastSettings):
            arrays.add(f"{stage.name}.context")
        before = stage.name


def _check_modules(stages: Sequence[AnyStage]) -> None:
    """Check what a contrastive module cannot know by itself: what stands below it."""
    shared_rows = 0  # rows of patches that share pixels with the one above them
    for below, stage in zip((None, *stages), stages, strict=False):
        if isinstance(stage, WindowsSettings) and stage.form == "grid":
            shared_rows = -(-stage.patch // stage.stride) - 1
        if not isinstance(stage, ContrastSettings):
            continue
        if stage.layout == "patches" and stage.skip < shared_rows:
            raise ValueError(
                f"stage {stage.name!r}: skip = {stage.skip}, but {shared_rows} rows of patches share pixels with the "
                f"one above; accepted is skip >= {shared_rows}"
            )
        if stage.module == 1:
            continue
        named = next((other for other in stages if other.name == stage.input), below)
        if not isinstance(named, ContrastSettings) or (named.layout, named.module) != (stage.layout, stage.module - 1):
            raise ValueError(
                f"stage {stage.name!r} is module {stage.module} of layout {stage.layout!r} and trains on the batches "
                f"of module {stage.module - 1}, which must be its input"
            )


def load(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Parameters
    ----------
    path
        The TOML file.
    changes
        ``key.path=value`` each, applied before the check; stages are named by their name
        (``stage.learner.n_components=64``). A value is TOML, or a bare text.

    Raises
    ------
    ConfigError
        With the file, the key path, the value and what is accepted.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from error
    for change in changes:
        try:
            apply(raw, change)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {error}") from error
    return convert(raw, str(path))


def convert(raw: dict[str, Any], origin: str = "configuration") -> Config:
    """Check a tree of plain values and return the configuration. Raises ConfigError."""
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {explain(str(error), raw, Config)}") from error


def to_builtins(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, as checkpoints keep it."""
    builtins: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))  # lists, no tuples
    return builtins
