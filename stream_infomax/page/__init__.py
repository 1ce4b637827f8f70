"""A run in the browser."""

from stream_infomax.settings.extras import require

require("bokeh")
