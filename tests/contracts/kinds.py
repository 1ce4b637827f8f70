"""Every kind of source, stage and sink that there is."""

from stream_infomax.sources.audio import AudioSource
from stream_infomax.sources.images import ImageSource
from stream_infomax.sources.synthetic import SyntheticSource
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.stages.contrast import ContrastStage
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.windows import WindowsStage

SOURCES = {"audio": AudioSource, "images": ImageSource, "synthetic": SyntheticSource}
STAGES = {
    "windows": WindowsStage,
    "learner": LearnerStage,
    "contrast": ContrastStage,
    "classifier": ClassifierStage,
}
