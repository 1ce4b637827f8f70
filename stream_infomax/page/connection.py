"""Together: what changes in one go goes to a browser as one message."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from bokeh.document.events import DocumentPatchedEvent
from bokeh.server.connection import ServerConnection


class Together(ServerConnection):
    """A connection to a browser.

    Bokeh sends each change as a message of its own, some seventy for a refresh: it hands all of them over here while
    the document is locked, and waits for them behind that. The first to be waited for takes the others along.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._gathered: list[DocumentPatchedEvent] = []

    def send_patch_document(self, event: DocumentPatchedEvent) -> Awaitable[None]:
        """Take in a change; what is returned sends it, where it has not gone with another."""
        self._gathered.append(event)
        return self._send()

    async def _send(self) -> None:
        events, self._gathered = self._gathered, []
        if events:
            await self._socket.send_message(self.protocol.create("PATCH-DOC", events))
