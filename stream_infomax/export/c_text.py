"""Pieces of C: names, numbers, and the functions that every header has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import ConfigError

PER_LINE = 8
LONGEST_NAME = 40
BASICS = """\
/* Tables stay where the linker puts constants. Where they need more than that, define both before the header:
 * NAME_PROGMEM, an attribute, and NAME_READ(address), which reads an element. AVR has them here. */
#ifndef NAME_PROGMEM
#ifdef __AVR__
#include <avr/pgmspace.h>
#define NAME_PROGMEM PROGMEM
#define NAME_READ(address) pgm_read_float(address)
#else
#define NAME_PROGMEM
#define NAME_READ(address) (*(address))
#endif
#endif

#define NAME_FINE 0       /* y holds a row */
#define NAME_NOT_FINITE 1 /* the row has a number that is not finite: y is NaN */
"""
FINITE = """\
/* By the bits: compilers are allowed to think that nothing else is there (-ffast-math). */
static inline int NAME_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u) {
            return 0;
        }
    }
    return 1;
}

static inline int NAME_spoil(float *y)
{
    const uint32_t bits = 0x7fc00000u;
    for (size_t k = 0; k < NAME_OUTPUTS; k++) {
        memcpy(y + k, &bits, sizeof bits);
    }
    return NAME_NOT_FINITE;
}
"""
PRODUCT = """\
/* y = w x, with as many partial sums as let a processor go on while one is added; they also round less. */
static inline void NAME_product(const float *w, size_t rows, size_t columns, const float *x, float *y)
{
#ifdef NAME_CMSIS
    const arm_matrix_instance_f32 matrix = {(uint16_t)rows, (uint16_t)columns, (float32_t *)w};
    arm_mat_vec_mult_f32(&matrix, x, y);
#else
    for (size_t k = 0; k < rows; k++) {
        float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        size_t i = 0;
        for (; i + 8 <= columns; i += 8) {
            for (size_t j = 0; j < 8; j++) {
                sums[j] += NAME_READ(w + i + j) * x[i + j];
            }
        }
        for (size_t j = 0; i + j < columns; j++) {
            sums[j] += NAME_READ(w + i + j) * x[i + j];
        }
        y[k] = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
        w += columns;
    }
#endif
}
"""


def check_name(name: str) -> str:
    """Return a name that, with more behind it, C and C++ take for an identifier.

    Raises
    ------
    ConfigError
        Where it is none.
    """
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and "__" not in name and not name.endswith("_")
    if not plain or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"--name {name!r}: accepted is an identifier of C: a letter, then letters, digits and single underscores, "
            f"{LONGEST_NAME} in all"
        )
    return name


def identifier(text: str) -> str:
    """Return a name made of a stage's."""
    made = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return made if made[:1].isalpha() else f"stage_{made}"


def number(value: float) -> str:
    """Return a float32 as C writes it: nine digits give its bits back."""
    text = f"{np.float32(value):.9g}"
    return f"{text if any(mark in text for mark in '.e') else text + '.0'}f"


def table(name: str, values: NDArray[Any], about: str = "", size: str = "") -> str:
    """Return an array of constants: float32, or integers of its dtype, in C order."""
    flat = values.ravel()
    if values.dtype.kind == "f":
        if not np.isfinite(flat.astype(np.float32)).all():
            raise ConfigError(f"{name}: numbers that float32 does not hold; the rows have another scale than it has")
        kind, words = "float", [number(value) for value in flat]
    else:
        kind, words = f"{values.dtype}_t", [str(value) for value in flat]
    lines = [", ".join(words[i : i + PER_LINE]) for i in range(0, len(words), PER_LINE)]
    comment = f"/* {about} */\n" if about else ""
    body = ",\n    ".join(lines)
    return f"{comment}static const {kind} NAME_{name}[{size or len(words)}] NAME_PROGMEM = {{\n    {body}\n}};\n"


def named(pieces: Iterable[str], name: str) -> str:
    """Return the pieces as one text, with the name where it belongs."""
    return "\n".join(piece for piece in pieces if piece).replace("NAME_", f"{name}_")


def commented(lines: Iterable[str]) -> str:
    """Return lines as one comment."""

    def inside() -> Iterator[str]:
        for line in lines:
            yield f" * {line}".rstrip().replace("*/", "* /") if line else " *"

    first, *others = inside()
    return "\n".join([f"/*{first[2:]}", *others, " */\n"])
