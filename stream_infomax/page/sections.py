"""The sections of the page, in their order."""

from __future__ import annotations

from stream_infomax.page.components import ComponentsSection
from stream_infomax.page.hearing import HearingSection
from stream_infomax.page.learning import LearningSection
from stream_infomax.page.now import NowSection
from stream_infomax.page.pipeline import PipelineSection
from stream_infomax.page.section import Section
from stream_infomax.page.steering import SteeringSection

SECTIONS: tuple[type[Section], ...] = (
    PipelineSection,
    ComponentsSection,
    HearingSection,
    NowSection,
    LearningSection,
    SteeringSection,
)
