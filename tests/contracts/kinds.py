"""Every kind of source, stage and sink that stream_infomax has itself."""

from stream_infomax.configuration.kinds import SINKS, SOURCES, STAGES

SOURCES, STAGES, SINKS = ({kind: kinds.load(kind) for kind in kinds.own} for kinds in (SOURCES, STAGES, SINKS))
