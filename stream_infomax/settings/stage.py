"""StageSettings: what a stage's settings say about its place in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings


class StageSettings(Settings, frozen=True, kw_only=True):
    """The record of a stage's settings. A stage that differs from what stands here says so in its own record.

    Attributes
    ----------
    free
        Settings with other values of which a state goes on; all others shape it.
    """

    free: ClassVar[tuple[str, ...]] = ()

    def reads(self, input: str) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the arrays that the stage reads, by the key that names them."""
        return {"input": (input,)}

    def adds(self, name: str) -> tuple[str, ...]:
        """Return the names of the arrays that a stage called `name` publishes."""
        return (name,)

    def kept(self, name: str) -> tuple[str, ...]:
        """Return the names of its arrays that are passed on to the end where features are kept."""
        return self.adds(name)

    def check_place(self, input: str, below: Mapping[str, Settings]) -> None:
        """Check what the stage needs of the stages below it, which are given in the order of the data.

        Raises
        ------
        SettingError
            Where it cannot stand there.
        """

    def settled(self, below: Mapping[str, Settings]) -> StageSettings:
        """Return the settings with what follows from those of the stages below."""
        return self

    def outline(self, incoming: Outline) -> Outline | None:
        """Return what the stage makes of what comes in; None where only the data tell.

        Raises
        ------
        SettingError
            Where it cannot work on that.
        """
        return None
