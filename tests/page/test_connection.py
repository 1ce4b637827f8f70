"""What changes in one go is one message."""

import asyncio

from bokeh.document import Document
from bokeh.models import Range1d
from bokeh.protocol import Protocol

from stream_infomax.page.connection import Together


class Socket:
    """Takes what is sent."""

    def __init__(self):
        self.sent = []

    async def send_message(self, message):
        self.sent.append([event["attr"] for event in message.content["events"]])


class Session:
    """Nobody asks for it here."""

    def subscribe(self, connection):
        """Nothing comes of its own."""


def test_changes_of_one_go_are_one_message_in_their_order():
    socket, document, waiting = Socket(), Document(), []
    axis = Range1d(start=0, end=1)
    document.add_root(axis)
    connection = Together(Protocol(), socket, None, Session())
    document.on_change(lambda event: waiting.append(connection.send_patch_document(event)))

    async def refresh(**changes):
        axis.update(**changes)
        for one in waiting:
            await one
        waiting.clear()

    asyncio.run(refresh(start=2, end=3, bounds=None, reset_start=4))
    asyncio.run(refresh())
    asyncio.run(refresh(end=5))
    assert socket.sent == [["start", "end", "reset_start"], ["end"]]
