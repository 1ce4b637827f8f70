"""One component in numbers: what it looks like, its spectrum, what it did in the last seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing import channels, scaling
from stream_infomax.frames.basis import Basis
from stream_infomax.page.origin import Origin
from stream_infomax.page.ring import Recent
from stream_infomax.page.tiles import Look, Pixels, shades

Floats = npt.NDArray[np.float64]

# Decibels from the top of a spectrum to its bottom; what is fainter stands at the bottom.
DECIBELS = 50.0
# Channels with the largest weights that are named.
MOST_NAMED = 6
# Seconds of a stretch whose spectrum is taken, and the fewest rows of it.
STRETCH, FEWEST = 1.0, 32
# What the rows are that a learner publishes.
OUTPUTS = {
    "potential": "potential",
    "halves": "potential, of its two halves",
    "log": "logarithm of the potential's size",
    "rate": "firing rate",
    "poisson": "spikes",
}


class Spectrum(NamedTuple):
    """The spectrum of a component, as lines or as a picture.

    Attributes
    ----------
    x
        Where the lines' points are, as `x_label` says.
    filters, basis
        The lines; `filters` is empty where there is one only, both where it is a picture.
    x_label, y_label
        Of the axes.
    pixels
        Of a patch: its amplitudes, from -0.5 to 0.5 cycles a pixel to the right and upwards.
    words
        What it says, in words.
    """

    x: Floats
    filters: Floats
    basis: Floats
    x_label: str
    y_label: str
    pixels: Pixels | None
    words: str


NONE = np.zeros(0)


def spectrum(look: Look, component: int, recent: Floats, rate: float) -> Spectrum:
    """Return the spectrum of a component; of channels that of what it did last, at so many rows a second."""
    match look.kind:
        case "picture" | "colour":
            return _of_patch(look, component)
        case "wave":
            return _of_window(look, component)
        case "plane":
            return _of_plane(look, component)
        case _:
            return _of_activity(recent, rate, look.kind == "head")


def _of_patch(look: Look, component: int) -> Spectrum:
    patch = _grey(look, component)
    size = 32
    amplitudes = np.fft.fftshift(np.abs(np.fft.fft2(patch - patch.mean(), s=(size, size))))
    amplitudes /= amplitudes.max() or 1.0
    pixels = shades(2 * amplitudes[::-1] - 1)  # from dark for nothing to light
    return Spectrum(NONE, NONE, NONE, "cycles a pixel", "cycles a pixel", pixels, _grating(amplitudes))


def _grating(amplitudes: Floats) -> str:
    """Return the grating that is strongest in a spectrum with the mean in its middle."""
    if not amplitudes.any():
        return "nothing"
    size = len(amplitudes)
    v, u = (int(place) - size // 2 for place in np.unravel_index(amplitudes.argmax(), amplitudes.shape))
    frequency = math.hypot(u, v) / size
    angle = math.degrees(math.atan2(u, v)) % 180  # of the stripes, which stand across the wave
    return f"strongest at {frequency:.2f} cycles a pixel, stripes at {angle:.0f}°"


def _of_window(look: Look, component: int) -> Spectrum:
    both = [scaling.amplitudes(rows[component : component + 1])[0] for rows in (look.filters, look.basis)]
    x = np.linspace(0, look.rate / 2 if look.rate else 0.5, len(both[0]))
    strongest = x[both[1].argmax()]
    unit = "Hz" if look.rate else "cycles a sample"
    words = f"strongest at {strongest:,.0f} Hz" if look.rate else f"strongest at {strongest:.3f} {unit}"
    lines = [_decibels(one**2) for one in both]
    return Spectrum(x, lines[0], lines[1], unit, "dB below its top", None, words)


def _of_plane(look: Look, component: int) -> Spectrum:
    both = [(rows[component].reshape(look.shape) ** 2).sum(0) for rows in (look.filters, look.basis)]
    shares = [one / (one.sum() or 1.0) for one in both]
    words = f"strongest in {look.upwards} {shares[1].argmax() + 1} of {len(shares[1])}"
    x = np.arange(1.0, len(shares[0]) + 1)
    return Spectrum(x, 100 * shares[0], 100 * shares[1], look.upwards, "% of its energy", None, words)


def _of_activity(recent: Floats, rate: float, is_head: bool) -> Spectrum:
    found = power(recent, rate)
    if found is None:
        words = "no spectrum: nothing of its activity is known" if rate else "no spectrum: its rows have no rate"
        return Spectrum(NONE, NONE, NONE, "Hz", "dB below its top", None, words)
    hertz, powers = found
    shown = (hertz > 0) & (hertz <= channels.top_of(rate, is_head))
    if not powers[shown].any():
        return Spectrum(NONE, NONE, NONE, "Hz", "dB below its top", None, "silent")
    words = f"strongest at {hertz[shown][powers[shown].argmax()]:.1f} Hz"
    if is_head:
        alpha = powers[(hertz >= channels.ALPHA[0]) & (hertz <= channels.ALPHA[1])].sum() / powers[shown].sum()
        words += f", {100 * alpha:.0f} % of it in the alpha band (8 to 13 Hz)"
    return Spectrum(hertz[shown], NONE, _decibels(powers[shown]), "Hz", "dB below its top", None, words)


def power(values: Floats, rate: float) -> tuple[Floats, Floats] | None:
    """Return frequencies (Hz) and the mean power of stretches of a second; None where there is no whole stretch."""
    length = 2 ** round(math.log2(max(rate * STRETCH, FEWEST))) if rate > 0 else 0
    starts = range(0, len(values) - length + 1, max(1, length // 2)) if length else ()
    stretches = [values[i : i + length] for i in starts]
    whole = np.array([one - one.mean() for one in stretches if np.isfinite(one).all()])
    if not len(whole):
        return None
    spectra: Floats = np.abs(np.fft.rfft(whole * np.hanning(length), axis=1)) ** 2
    return np.linspace(0, rate / 2, length // 2 + 1), spectra.mean(0)


def _decibels(powers: Floats) -> Floats:
    top = powers.max()
    if not top:
        return np.full(len(powers), -DECIBELS)
    result: Floats = np.maximum(10 * np.log10(np.maximum(powers / top, 1e-30)), -DECIBELS)
    return result


def _grey(look: Look, component: int) -> Floats:
    patch: Floats = look.basis[component].reshape(look.shape)
    return np.asarray(patch.mean(-1)) if patch.ndim == 3 else patch


def words_of(look: Look, component: int, found: Origin) -> str:
    """Return what a component is of, in words and numbers."""
    basis = look.basis[component]
    match look.kind:
        case "wave":
            n = len(basis)
            return f"{n} samples" + (f", {1000 * n / look.rate:.3g} ms" if look.rate else "")
        case "plane":
            steps, bands = look.shape
            seconds = steps * (found.step or (1 / look.rate if look.rate else 0.0))
            time = f", {1000 * seconds:.3g} ms" if seconds else ""
            top = f" up to {look.rate / 2:,.0f} Hz" if found.step else ""
            step, band = np.unravel_index(np.abs(basis).argmax(), look.shape)
            where = f"largest at step {step + 1}, {look.upwards} {band + 1}"
            return f"{steps} steps{time} of {bands} {look.upwards}s{top}, {where}"
        case "head" | "bars":
            most = np.argsort(-np.abs(basis))[:MOST_NAMED]
            largest = np.abs(basis).max() or 1.0
            named = look.names if len(look.names) == len(basis) else [f"{i + 1}" for i in range(len(basis))]
            return ", ".join(f"{named[i]} {basis[i] / largest:+.2f}" for i in most)
        case _:
            return " × ".join(map(str, look.shape[:2])) + " pixels" + (" in colour" if look.kind == "colour" else "")


def activity(recent: Recent, basis: Basis, component: int, sign: float) -> Floats:
    """Return what a component did: its values in the last rows, with `sign` where they have one."""
    n = len(basis.components)
    if recent.rows.shape[1] not in (n, 2 * n):
        return NONE
    values = recent.rows[:, component].astype(np.float64)
    if basis.output == "halves":
        values = values - recent.rows[:, n + component]
    return sign * values if basis.output in ("potential", "halves") else values


def statistics(values: npt.NDArray[np.floating[Any]], text: Callable[[float], str] = "{:.3g}".format) -> str:
    """Return mean, deviation, range and newest of what is finite, in words."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "no values"
    return (
        f"newest {text(finite[-1])}, mean {text(finite.mean(dtype=float))}, deviation {text(finite.std(dtype=float))}, "
        f"from {text(finite.min())} to {text(finite.max())}"
    )
