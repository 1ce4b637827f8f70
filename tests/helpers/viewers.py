"""What a section sends to a browser, counted as bytes on the wire."""

from bokeh.document import Document
from bokeh.protocol import Protocol


class Wire:
    """Holds the figures of a section in a document, as the page does, and counts what their updates take."""

    def __init__(self, section):
        self.section, self.document = section, Document()
        for root in section.roots.values():
            self.document.add_root(root)
        self._events = []
        self.document.on_change(self._events.append)
        self.texts = {}

    def refresh(self):
        """Refresh the section; return how many bytes went, and take its texts over."""
        self._events.clear()
        texts = self.section.refresh()
        new = {name: html for name, html in texts.items() if self.texts.get(name) != html}
        self.texts |= new
        return self._bytes() + sum(len(html.encode()) for html in new.values())

    def tell(self, what, value):
        """Tell the section something, as a button does; return how many bytes went, and take its texts over."""
        self._events.clear()
        self.texts |= self.section.told(what, value)
        return self._bytes()

    def _bytes(self):
        if not self._events:
            return 0
        message = Protocol().create("PATCH-DOC", list(self._events))
        return sum(len(part) for part in (message.header_json, message.content_json)) + sum(
            len(buffer.to_bytes()) for buffer in message.buffers
        )

    @property
    def models(self):
        """How many models the document has."""
        return len(self.document.models)
