"""Learn from sensor streams while they run: online infomax, Greedy InfoMax and a linear classifier.

The names below are loaded when they are first touched, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_infomax.configuration.load import load as load_config
    from stream_infomax.frames.contracts import Pipeline
    from stream_infomax.frames.frame import Array, Frame
    from stream_infomax.learning.classifier.classifier import OnlineClassifier
    from stream_infomax.learning.contrast.infonce import InfoNCE
    from stream_infomax.learning.contrast.modules import GreedyInfoMax
    from stream_infomax.learning.infomax.encoder import Encoder
    from stream_infomax.learning.infomax.estimator import OnlineInfomax
    from stream_infomax.learning.infomax.translate import translate
    from stream_infomax.sources.audio import AudioSource
    from stream_infomax.sources.images import ImageSource
    from stream_infomax.sources.journal import JournalSource
    from stream_infomax.sources.several import SeveralSource
    from stream_infomax.sources.synthetic import SyntheticSource
    from stream_infomax.sources.table import TableSource
    from stream_infomax.sources.video import VideoSource
    from stream_infomax.sources.xdf import XdfSource
    from stream_infomax.stages.classifier import ClassifierStage
    from stream_infomax.stages.contrast import ContrastStage
    from stream_infomax.stages.learner import LearnerStage
    from stream_infomax.stages.windows import WindowsStage
    from stream_infomax.transport.push import Push
    from stream_infomax.transport.tap import TapReader

__version__ = "0.1.0"

# name -> where it lives
_HOMES = {
    "Array": "frames.frame",
    "AudioSource": "sources.audio",
    "ClassifierStage": "stages.classifier",
    "ContrastStage": "stages.contrast",
    "Encoder": "learning.infomax.encoder",
    "Frame": "frames.frame",
    "GreedyInfoMax": "learning.contrast.modules",
    "ImageSource": "sources.images",
    "InfoNCE": "learning.contrast.infonce",
    "JournalSource": "sources.journal",
    "LearnerStage": "stages.learner",
    "OnlineClassifier": "learning.classifier.classifier",
    "OnlineInfomax": "learning.infomax.estimator",
    "Pipeline": "frames.contracts",
    "Push": "transport.push",
    "SeveralSource": "sources.several",
    "SyntheticSource": "sources.synthetic",
    "TableSource": "sources.table",
    "TapReader": "transport.tap",
    "VideoSource": "sources.video",
    "WindowsStage": "stages.windows",
    "XdfSource": "sources.xdf",
    "load_config": "configuration.load",
    "translate": "learning.infomax.translate",
}
__all__ = [  # noqa: RUF022  (in the order of a pipeline)
    "load_config",
    "Array",
    "Frame",
    "Pipeline",
    "Push",
    "TapReader",
    "AudioSource",
    "ImageSource",
    "VideoSource",
    "XdfSource",
    "JournalSource",
    "SyntheticSource",
    "SeveralSource",
    "TableSource",
    "WindowsStage",
    "LearnerStage",
    "ContrastStage",
    "ClassifierStage",
    "OnlineInfomax",
    "Encoder",
    "translate",
    "GreedyInfoMax",
    "InfoNCE",
    "OnlineClassifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    attribute = "load" if name == "load_config" else name
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
