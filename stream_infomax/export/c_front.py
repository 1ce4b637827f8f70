"""What stands before `encode` in C: windows of a signal, sample by sample; log-mel; patches of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_infomax.export.c_text import number, table
from stream_infomax.export.mel import FLOOR, PREEMPHASIS, Mel
from stream_infomax.export.subject import Front, Subject
from stream_infomax.stages.logmel import LARGEST_SAMPLE

MORE = "#define NAME_MORE 2       /* the window is not complete yet: y is as it was */\n"
STREAM = """\
/* One signal. Call NAME_reset before its first sample, after a gap, and where a recording begins. */
typedef struct {
FIELDS} NAME_stream;

static inline void NAME_reset(NAME_stream *stream)
{
RESET}
"""
PUSH_WAVEFORM = """\
/* Take a sample of NAME_CHANNELS numbers. Every NAME_HOP samples y holds a row. */
static inline int NAME_push(NAME_stream *stream, const float *sample, float *y)
{
    memcpy(stream->window + stream->filled * NAME_CHANNELS, sample, NAME_CHANNELS * sizeof *sample);
    if (++stream->filled < NAME_LENGTH) {
        return NAME_MORE;
    }
    const int end = NAME_encode(stream->window, y);
    stream->filled = NAME_LENGTH - NAME_HOP;
    memmove(stream->window, stream->window + NAME_HOP * NAME_CHANNELS,
            stream->filled * NAME_CHANNELS * sizeof *sample);
    return end;
}
"""
FOURIER = """\
/* Fourier transform of NAME_FFT real numbers, in place, as one of half as many complex ones. */
static inline void NAME_fourier(float *z)
{
    const size_t n = NAME_FFT / 2;
    for (size_t i = 1, j = 0; i < n; i++) {
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        for (size_t part = 0; i < j && part < 2; part++) {
            const float kept = z[2 * i + part];
            z[2 * i + part] = z[2 * j + part];
            z[2 * j + part] = kept;
        }
    }
    for (size_t half = 1; half < n; half *= 2) {
        for (size_t k = 0; k < half; k++) {
            const float *turn = NAME_turns + 2 * k * (n / half);
            const float c = NAME_READ(turn), s = NAME_READ(turn + 1);
            for (size_t i = k; i < n; i += 2 * half) {
                float *a = z + 2 * i, *b = a + 2 * half;
                const float re = b[0] * c - b[1] * s, im = b[0] * s + b[1] * c;
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

/* z[2 k] becomes the squared magnitude at frequency k of NAME_FFT / 2. */
static inline void NAME_squares(float *z)
{
    const size_t n = NAME_FFT / 2;
    for (size_t k = 0; k <= n / 2; k++) {
        const float *turn = NAME_turns + 2 * k;
        const float c = NAME_READ(turn), s = NAME_READ(turn + 1);
        float *a = z + 2 * k, *b = z + 2 * ((n - k) % n);
        const float even_re = 0.5f * (a[0] + b[0]), even_im = 0.5f * (a[1] - b[1]);
        const float odd_re = 0.5f * (a[1] + b[1]), odd_im = 0.5f * (b[0] - a[0]);
        const float re = odd_re * c - odd_im * s, im = odd_re * s + odd_im * c;
        b[0] = (even_re - re) * (even_re - re) + (even_im - im) * (even_im - im);
        a[0] = (even_re + re) * (even_re + re) + (even_im + im) * (even_im + im);
    }
}
"""
PUSH_MEL = """\
/* Log energies of NAME_MELS bands of the NAME_WINDOW samples that are held. */
static inline void NAME_bands(NAME_stream *stream, float *bands)
{
    float *z = stream->work, mean = 0.0f;
    for (size_t i = 0; i < NAME_WINDOW; i++) {
        mean += stream->samples[i];
    }
    mean /= (float)NAME_WINDOW;
    for (size_t i = NAME_WINDOW; i-- > 0;) {
        const float before = stream->samples[i > 0 ? i - 1 : 0] - mean;
        z[i] = (stream->samples[i] - mean - PREEMPHASIS * before) * NAME_READ(NAME_taper + i);
    }
    for (size_t i = NAME_WINDOW; i < NAME_FFT; i++) {
        z[i] = 0.0f;
    }
    NAME_fourier(z);
    NAME_squares(z);
    for (size_t m = 0; m < NAME_MELS; m++) {
        bands[m] = 0.0f;
    }
    for (size_t k = 0; k < NAME_FFT / 2; k++) {
        /* Between the centres of two bands what one loses the other one gains. */
        const float place = NAME_READ(NAME_places + k);
        const size_t m = (size_t)place;
        const float share = place - (float)m;
        if (m >= 1 && m <= NAME_MELS) {
            bands[m - 1] += (1.0f - share) * z[2 * k];
        }
        if (m < NAME_MELS) {
            bands[m] += share * z[2 * k];
        }
    }
    for (size_t m = 0; m < NAME_MELS; m++) {
        bands[m] = logf(bands[m] > FLOOR ? bands[m] : FLOOR);
    }
}

static inline int NAME_usable(const float *samples)
{
    for (size_t i = 0; i < NAME_WINDOW; i++) {
        if (!(samples[i] < LARGEST && samples[i] > -LARGEST)) {
            return 0;
        }
    }
    return NAME_finite(samples, NAME_WINDOW);
}

/* Take a sample. Every NAME_HOP * NAME_SHIFT samples y holds a row. */
static inline int NAME_push(NAME_stream *stream, float sample, float *y)
{
    stream->samples[stream->filled] = sample;
    if (++stream->filled < NAME_WINDOW) {
        return NAME_MORE;
    }
    float *bands = stream->patch + stream->frames * NAME_MELS;
    if (NAME_usable(stream->samples)) {
        NAME_bands(stream, bands);
    } else {
        const uint32_t bits = 0x7fc00000u;
        for (size_t m = 0; m < NAME_MELS; m++) {
            memcpy(bands + m, &bits, sizeof bits);
        }
    }
    stream->filled = NAME_WINDOW - NAME_SHIFT;
    memmove(stream->samples, stream->samples + NAME_SHIFT, stream->filled * sizeof sample);
    if (++stream->frames < NAME_LENGTH) {
        return NAME_MORE;
    }
    const int end = NAME_encode(stream->patch, y);
    stream->frames = NAME_LENGTH - NAME_HOP;
    memmove(stream->patch, stream->patch + NAME_HOP * NAME_MELS, stream->frames * NAME_MELS * sizeof sample);
    return end;
}
"""
PATCH = """\
/* Encode the patch of a picture whose upper left pixel is in the row `top` and the column `left`. The picture has rows
 * of `width` pixels of NAME_COLOURS numbers. The learner's patches lie every NAME_STRIDE pixels. */
static inline int NAME_encode_at(const float *picture, size_t width, size_t top, size_t left, float *y)
{
    const size_t across = NAME_PATCH * NAME_COLOURS;
    float patch[NAME_INPUTS];
    for (size_t row = 0; row < NAME_PATCH; row++) {
        memcpy(patch + row * across, picture + ((top + row) * width + left) * NAME_COLOURS, across * sizeof *patch);
    }
    return NAME_encode(patch, y);
}
"""


@dataclass(frozen=True)
class FrontCode:
    """What a header has of a front.

    Attributes
    ----------
    macros
        Sizes.
    pieces
        Tables and functions behind `encode`.
    flash, memory
        Bytes of constants, and of the caller's struct.
    usage
        Lines for the head: what a program calls.
    libm
        Whether it needs the mathematics library.
    """

    macros: str = ""
    pieces: tuple[str, ...] = ()
    flash: int = 0
    memory: int = 0
    usage: tuple[str, ...] = ()
    libm: bool = False


def front_code(one: Subject, name: str) -> FrontCode:
    """Return what the header of this name has of the front."""
    front = one.front
    if front is None or front.form == "patches":
        return FrontCode()
    if front.form == "grid":
        given = front.windows
        return FrontCode(
            macros=f"#define NAME_PATCH {given.patch}\n#define NAME_STRIDE {given.stride}\n"
            f"#define NAME_COLOURS {front.channels}\n",
            pieces=(PATCH,),
            usage=(f"    {name}_encode_at(picture, width, top, left, y);",),
        )
    macros = f"#define NAME_LENGTH {front.windows.length}\n#define NAME_HOP {front.windows.hop}\n"
    if front.form == "waveform":
        fields = (("size_t", "filled", ""), ("float", "window", "[NAME_INPUTS]"))
        return FrontCode(
            macros=f"{macros}#define NAME_CHANNELS {front.channels}\n",
            pieces=(MORE, _stream(fields), PUSH_WAVEFORM),
            memory=4 * (one.encoder.n_features + 1),
            usage=_usage(name, "sample"),
        )
    return _log_mel(front, one, name, macros)


def _log_mel(front: Front, one: Subject, name: str, macros: str) -> FrontCode:
    mel = Mel.of(front)
    angles = 2 * np.pi * np.arange(mel.n_fft // 2) / mel.n_fft
    turns = np.stack([np.cos(angles), -np.sin(angles)], axis=1)
    fields = (
        *(("size_t", "filled", ""), ("size_t", "frames", ""), ("float", "samples", "[NAME_WINDOW]")),
        *(("float", "patch", "[NAME_INPUTS]"), ("float", "work", "[NAME_FFT]")),
    )
    push = PUSH_MEL.replace("PREEMPHASIS", number(PREEMPHASIS)).replace("FLOOR", number(FLOOR))
    return FrontCode(
        macros=f"{macros}#define NAME_RATE {front.rate:g} /* samples a second */\n#define NAME_WINDOW {mel.window}\n"
        f"#define NAME_SHIFT {mel.shift}\n#define NAME_MELS {front.windows.n_mels}\n#define NAME_FFT {mel.n_fft}\n",
        pieces=(
            MORE,
            table("taper", mel.taper, "", "NAME_WINDOW"),
            table("turns", turns, "cosines, and sines downwards", "NAME_FFT"),
            table("places", mel.places, "of frequencies among the centres of bands", "NAME_FFT / 2"),
            _stream(fields),
            FOURIER,
            push.replace("LARGEST", number(LARGEST_SAMPLE)),
        ),
        flash=4 * (mel.window + turns.size + mel.n_fft // 2),
        memory=4 * (mel.window + one.encoder.n_features + mel.n_fft + 2),
        usage=_usage(name, "sample"),
        libm=True,
    )


def _usage(name: str, sample: str) -> tuple[str, ...]:
    return (
        f"    {name}_stream stream;",
        f"    {name}_reset(&stream);",
        f"    if ({name}_push(&stream, {sample}, y) == {name}_FINE) ...   for each sample",
    )


def _stream(fields: tuple[tuple[str, str, str], ...]) -> str:
    """Return the struct with these fields (type, name, size), and what empties it."""
    declared = "".join(f"    {kind} {called}{size};\n" for kind, called, size in fields)
    counters = "".join(f"    stream->{called} = 0;\n" for kind, called, _ in fields if kind == "size_t")
    return STREAM.replace("FIELDS", declared).replace("RESET", counters)
