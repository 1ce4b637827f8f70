"""Subjects with windows before the learner, and what the stages of a run make of a stream."""

import numpy as np
from helpers.bases import basis

from stream_infomax.export.subject import Front, Subject
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.windows import WindowsSettings, WindowsStage

RATE = 8000.0
AXES = {"grid": ("item", "y", "x", "colour"), "patches": ("item", "y", "x", "colour")}


def subject(form, channels=1, rank=None, components=None, *, output="potential", mean=0.0, **settings):
    """Return a basis behind windows of a form."""
    given = WindowsSettings(form=form, **settings)
    width = {
        "waveform": given.length * channels,
        "log-mel": given.length * given.n_mels,
        "grid": given.patch**2 * channels,
        "patches": given.patch**2 * channels,
    }[form]
    encoder = basis(width, rank or width, components, output=output, mean=mean)
    return Subject(encoder, "learner", Front(given, channels, RATE if form == "log-mel" else 0.0))


def encoded(one, values, cut=700):
    """Return the features (n, width) that the stage and the encoder give for samples or pictures."""
    stage = WindowsStage("windows", "source", **{k: getattr(one.front.windows, k) for k in settings_of(one)})
    form, out = one.front.form, []
    size = 1 if form in AXES else cut
    for offset, start in enumerate(range(0, len(values), size)):
        piece = values[start : start + size]
        axes = AXES.get(form, ("time", "channel"))[: piece.ndim]
        frame = Frame("s", offset, "one", {"source": Array(piece, axes)}, rate=RATE, time=start / RATE)
        array = stage.process(frame).arrays["windows"]
        out.append(one.encoder.transform(array.rows()))
    return np.concatenate(out)


def settings_of(one):
    """Return the names of the settings that are those of a form."""
    return [name for name in one.front.windows.__struct_fields__ if name in WindowsSettings.__struct_fields__]


def sound(n=6000, channels=1, seed=0, mean=0.0):
    """Return samples (n, channels), float32: noise with a spectrum."""
    rng = np.random.default_rng(seed)
    noise = [np.convolve(rng.laplace(size=n), [1, 0.9, 0.5, -0.3, 0.2], "same") for _ in range(channels)]
    return (0.1 * np.stack(noise, axis=1) + mean).astype(np.float32)
