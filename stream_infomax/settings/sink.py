"""SinkSettings: what a sink's settings say about its place in a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from stream_infomax.settings.record import Settings


class SinkSettings(Settings, frozen=True, kw_only=True):
    """The record of a sink's settings. A sink that differs from what stands here says so in its own record."""

    def wants(self, kept: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the arrays that the stages pass on for it.

        Without a word of it, a sink has the array of the last stage and what the stages carry.

        Parameters
        ----------
        kept
            The arrays of all stages but windows.
        """
        return ()
