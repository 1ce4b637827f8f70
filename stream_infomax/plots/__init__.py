"""Pictures of what was learnt. Importing this package loads matplotlib; nothing else of the package does.

`components` draws filters and basis in the form that suits the geometry of a row, `learning_curves` the measures over
the run, `recovery` how well known sources were found, `differences` two runs over each other, `hearing` what drives the
units of a module. They return a :class:`matplotlib.figure.Figure`; `save` writes it. `growth` draws a basis at moments
of a run, `save_animation` writes that as GIF or WebP.
"""

from __future__ import annotations

from stream_infomax.settings.extras import optional

with optional():
    from stream_infomax.plots.components import components
    from stream_infomax.plots.differences import differences
    from stream_infomax.plots.growth import growth, save_animation
    from stream_infomax.plots.hearing import hearing
    from stream_infomax.plots.learning_curves import learning_curves
    from stream_infomax.plots.recovery import recovery
    from stream_infomax.plots.style import save

__all__ = ["components", "differences", "growth", "hearing", "learning_curves", "recovery", "save", "save_animation"]
