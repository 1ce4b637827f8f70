"""The product in C: filters as float32, or as integers of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_infomax.export.affine import Affine, Doubles, output_of
from stream_infomax.export.c_text import PRODUCT, number, table
from stream_infomax.export.integers import DEVIATIONS, LARGEST, Integers
from stream_infomax.export.subject import Subject

# What a self-test lets pass: so many times what float32 rounds in NumPy; so many integers rounded otherwise.
ROUNDINGS, TIES = 16, 4
OWN_MEAN = """\
    float own = 0.0f;
    for (size_t i = 0; i < NAME_INPUTS; i++) {
        own += x[i];
    }
    own /= (float)NAME_INPUTS;
"""
WEIGHT = """\
#ifdef __AVR__
#define NAME_WEIGHT(address) ((TYPE)pgm_read_AVR(address))
#elif !defined NAME_WEIGHT
#define NAME_WEIGHT(address) (*(address))
#endif
"""
INTEGERS = """\
/* Numbers of a row in units of their deviations. */
static inline float NAME_unit(const float *x, size_t i, float own)
{
    return (x[i] - own - NAME_READ(NAME_mean + i)) * NAME_READ(NAME_units + i);
}

/* Round a row to integers; return what one of them stands for. */
static inline float NAME_round(const float *x, int16_t *row)
{
    float own = 0.0f, largest = 0.0f;
OWN    for (size_t i = 0; i < NAME_INPUTS; i++) {
        const float value = NAME_unit(x, i, own), size = value < 0.0f ? -value : value;
        largest = size > largest ? size : largest;
    }
    const float times = largest > 1e-30f && largest < 3e38f ? LARGEST / largest : 0.0f;
    for (size_t i = 0; i < NAME_INPUTS; i++) {
        const float value = NAME_unit(x, i, own) * times;
        row[i] = times > 0.0f ? (int16_t)(value < 0.0f ? value - 0.5f : value + 0.5f) : (int16_t)0;
    }
    return largest / LARGEST;
}
"""
SUMS = """\
    int16_t row[NAME_INPUTS];
    const float step = NAME_round(x, row);
    if (step > 1e34f) { /* beyond float32 */
        return NAME_spoil(y);
    }
    const TYPE *w = NAME_filters;
    for (size_t k = 0; k < NAME_COMPONENTS; k++, w += NAME_INPUTS) {
        SUM sum = 0;
        for (size_t i = 0; i < NAME_INPUTS; i++) {
            sum += (int32_t)NAME_WEIGHT(w + i) * row[i];
        }
        y[k] = (float)sum * (step * NAME_READ(NAME_scales + k)) + NAME_READ(NAME_bias + k);
    }
"""


@dataclass(frozen=True)
class Code:
    """What depends on how filters are kept.

    Attributes
    ----------
    tables
        Arrays of constants.
    functions
        What stands before `encode`.
    steps
        From the row ``x`` to the potentials in ``y``.
    flash, stack
        Bytes of constants, and of arrays on the stack.
    n_multiplications
        Of a row.
    about
        Lines for the head.
    options
        What else can be defined.
    expected
        What comes out for the rows of the self-test, but for roundings.
    slack
        By how much that may be another z.
    """

    tables: tuple[str, ...]
    functions: tuple[str, ...]
    steps: str
    flash: int
    stack: int
    n_multiplications: int
    about: tuple[str, ...]
    options: str
    expected: Doubles
    slack: float


def floats(one: Subject, rows: NDArray[np.float32]) -> Code:
    """Return the code for filters as they are."""
    affine = Affine.of(one.encoder)
    subtracts = affine.mean is not None
    steps, source = _centring(one, subtracts)
    if affine.second is None:
        size, middle = "NAME_COMPONENTS", "y"
        tables = [table("filters", affine.first, "row by row", f"{size} * NAME_INPUTS")]
    else:
        size, middle = "NAME_RANK", "middle"
        tables = [
            f"#define NAME_RANK {len(affine.first)}\n",
            table("filters", affine.first, "of rank NAME_RANK: the product of two thin ones", f"{size} * NAME_INPUTS"),
            table("second", affine.second, "", f"NAME_COMPONENTS * {size}"),
        ]
        steps += f"    float middle[{size}];\n"
    tables.append(table("bias", affine.bias, "", size))
    if affine.mean is not None:
        tables.append(table("mean", affine.mean, "large beside the deviations from it: taken away first"))
    steps += f"    NAME_product(NAME_filters, {size}, NAME_INPUTS, {source}, {middle});\n"
    steps += f"    for (size_t k = 0; k < {size}; k++) {{\n        {middle}[k] += NAME_READ(NAME_bias + k);\n    }}\n"
    if affine.second is not None:
        steps += f"    NAME_product(NAME_second, NAME_COMPONENTS, {size}, {middle}, y);\n"
    given = one.without_own_mean(rows)
    exact, rounded = affine(given), affine.rounded(given)
    return Code(
        tables=tuple(tables),
        functions=(PRODUCT,),
        steps=steps,
        flash=4 * (affine.n_multiplications + len(affine.bias) + subtracts * one.encoder.n_features),
        stack=4 * ((source != "x") * one.encoder.n_features + (middle != "y") * len(affine.bias)),
        n_multiplications=affine.n_multiplications,
        about=(),
        options=", NAME_CMSIS for the product of CMSIS-DSP",
        expected=output_of(exact, one.encoder.output),
        slack=float(ROUNDINGS * np.abs(rounded - exact).max()),
    )


def _centring(one: Subject, subtracts: bool) -> tuple[str, str]:
    """Return what comes before the product, and the name of what the product reads."""
    if not subtracts and not one.centred:
        return "", "x"
    away = "x[i]" + " - own" * one.centred + " - NAME_READ(NAME_mean + i)" * subtracts
    loop = f"    for (size_t i = 0; i < NAME_INPUTS; i++) {{\n        centred[i] = {away};\n    }}\n"
    return "    float centred[NAME_INPUTS];\n" + OWN_MEAN * one.centred + loop, "centred"


def integers(bits: int) -> Callable[[Subject, NDArray[np.float32]], Code]:
    """Return what makes the code for filters of so many bits."""

    def made(one: Subject, rows: NDArray[np.float32]) -> Code:
        whole = Integers.of(one.encoder, bits)
        type_ = f"{whole.weights.dtype}_t"
        width = 32 if whole.is_narrow else 64
        own = OWN_MEAN.partition("\n")[2] if one.centred else ""
        given = one.without_own_mean(rows)
        slack = TIES * whole.steps(given).max() * np.abs(whole.weights * whole.scales[:, None]).max()
        n_outputs, n_inputs = whole.weights.shape
        return Code(
            tables=(
                WEIGHT.replace("TYPE", type_).replace("AVR", "byte" if bits == 8 else "word"),
                table("filters", whole.weights, "row by row", "NAME_COMPONENTS * NAME_INPUTS"),
                table("scales", whole.scales, "of the filters", "NAME_COMPONENTS"),
                table("bias", whole.bias, "", "NAME_COMPONENTS"),
                table("mean", whole.mean, "", "NAME_INPUTS"),
                table("units", whole.units, "one over the deviations of a row's numbers", "NAME_INPUTS"),
            ),
            functions=(INTEGERS.replace("OWN", own).replace("LARGEST", number(LARGEST)),),
            steps=SUMS.replace("TYPE", type_).replace("SUM", f"int{width}_t"),
            flash=bits // 8 * whole.weights.size + 8 * (n_outputs + n_inputs),
            stack=2 * n_inputs,
            n_multiplications=whole.weights.size,
            about=(
                f"Filters of {bits} bits with a scale each, rows of 16 bits with one scale, sums of {width} bits.",
                f"On rows as the basis has them filters so rounded change a potential by {_share(whole.filter_error)} "
                "of its deviation",
                f"({_share(whole.filter_error.max())} the worst); a row so rounded, its largest number {DEVIATIONS} "
                f"deviations from the mean, by {_share(whole.row_error.max())}.",
            ),
            options="",
            expected=output_of(whole(given), one.encoder.output),
            slack=float(slack),
        )

    return made


def _share(errors: Doubles | np.floating) -> str:
    """Return the root mean square of errors in per cent."""
    return f"{100 * float(np.sqrt(np.mean(np.square(errors)))):.2g} %"


# How filters are kept, and what makes the code.
WEIGHTS: dict[str, Callable[[Subject, NDArray[np.float32]], Code]] = {
    "float32": floats,
    "int16": integers(16),
    "int8": integers(8),
}
