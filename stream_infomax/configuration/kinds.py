"""Kinds of sources, stages and sinks: where the class of each is, loaded when a configuration asks for it.

Another package adds kinds by entry points, for example in its pyproject.toml::

    [project.entry-points."stream_infomax.sources"]
    radio = "radio_package:RadioSource"

The class has its settings record under ``Settings`` (see ``settings.configured``).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import Settings
from stream_infomax.settings.words import one_of


class Kinds:
    """Classes by the name of their kind.

    Parameters
    ----------
    group
        The entry points under which other packages add kinds.
    own
        ``module:class`` of the kinds that stream_infomax has itself.
    """

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self.group = group
        self.own = own

    def names(self) -> list[str]:
        """Return the kinds that there are."""
        from importlib.metadata import entry_points

        return [*self.own, *sorted(entry_points(group=self.group).names - self.own.keys())]

    def load(self, kind: object) -> Any:
        """Return the class of a kind; SettingError where there is none of that name, or it cannot be loaded."""
        if not isinstance(kind, str):
            raise SettingError("kind", kind, one_of(self.names()))
        if kind in self.own:
            module, _, name = self.own[kind].partition(":")
            return getattr(import_module(module), name)
        from importlib.metadata import entry_points  # slow, and needed for others' kinds only

        for point in entry_points(group=self.group, name=kind):
            try:
                return point.load()
            except (ImportError, AttributeError) as error:
                raise SettingError("kind", kind, "a kind that can be loaded", f"{point.value}: {error}") from error
        raise SettingError("kind", kind, one_of(self.names()))

    def settings_of(self, kind: object) -> type[Settings]:
        """Return the record of the settings of a kind."""
        loaded = self.load(kind)
        record = getattr(loaded, "Settings", None)
        if not (isinstance(record, type) and issubclass(record, Settings)):
            raise SettingError("kind", kind, "a class with a record of settings", f"{loaded} has no Settings")
        return record


SOURCES = Kinds(
    "stream_infomax.sources",
    {
        "audio": "stream_infomax.sources.audio:AudioSource",
        "camera": "stream_infomax.sources.camera:CameraSource",
        "devices": "stream_infomax.sources.devices:DevicesSource",
        "images": "stream_infomax.sources.images:ImageSource",
        "journal": "stream_infomax.sources.journal:JournalSource",
        "lsl": "stream_infomax.sources.lsl:LslSource",
        "microphone": "stream_infomax.sources.microphone:MicrophoneSource",
        "mqtt": "stream_infomax.sources.mqtt:MqttSource",
        "several": "stream_infomax.sources.several:SeveralSource",
        "synthetic": "stream_infomax.sources.synthetic:SyntheticSource",
        "table": "stream_infomax.sources.table:TableSource",
        "video": "stream_infomax.sources.video:VideoSource",
        "xdf": "stream_infomax.sources.xdf:XdfSource",
    },
)
STAGES = Kinds(
    "stream_infomax.stages",
    {
        "windows": "stream_infomax.stages.windows:WindowsStage",
        "learner": "stream_infomax.stages.learner:LearnerStage",
        "encoder": "stream_infomax.stages.encoder:EncoderStage",
        "contrast": "stream_infomax.stages.contrast:ContrastStage",
        "classifier": "stream_infomax.stages.classifier:ClassifierStage",
    },
)
SINKS = Kinds(
    "stream_infomax.sinks",
    {
        "lsl": "stream_infomax.sinks.lsl:LslSink",
        "mqtt": "stream_infomax.sinks.mqtt:MqttSink",
        "npz": "stream_infomax.sinks.npz:NpzSink",
        "parquet": "stream_infomax.sinks.parquet:ParquetSink",
        "nothing": "stream_infomax.sinks.nothing:NothingSink",
    },
)


def is_live(kind: str, settings: Settings) -> bool:
    """Return whether a source of a kind gives each frame once; settings that can say it themselves do."""
    of_kind = hasattr(SOURCES.load(kind), "receive")
    return bool(getattr(settings, "is_live", of_kind))


# The script under services/ that runs a service, by the kind of its last stage; that of other packages' kinds.
SCRIPTS = {"windows": "learner", "learner": "learner", "contrast": "contrast", "classifier": "classifier"}
OTHER_SCRIPT = "learner"
