"""A header in C99: the encoder as constants and one function; it needs nothing but the language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_infomax import __version__
from stream_infomax.export.c_front import FrontCode, front_code
from stream_infomax.export.c_product import WEIGHTS, Code
from stream_infomax.export.c_text import BASICS, FINITE, check_name, commented, named, number, table
from stream_infomax.export.subject import Subject
from stream_infomax.learning.infomax.neurons import LOG_FLOOR

# Rows of the self-test.
TESTED = 2
# What a self-test lets pass: this share of the largest output, or more where its z is not that exact.
TOLERATED = 1e-4
OUTPUTS = {
    "potential": "",
    "halves": """\
    for (size_t k = 0; k < NAME_COMPONENTS; k++) {
        const float z = y[k];
        y[k] = z > 0.0f ? z : 0.0f;
        y[NAME_COMPONENTS + k] = z < 0.0f ? -z : 0.0f;
    }
""",
    "log": f"""\
    for (size_t k = 0; k < NAME_COMPONENTS; k++) {{
        y[k] = logf(fabsf(y[k]) + {number(LOG_FLOOR)});
    }}
""",
    "rate": """\
    for (size_t k = 0; k < NAME_COMPONENTS; k++) {
        const float g = 1.0f / (1.0f + expf(-y[k]));
        y[k] = 0.25f * g * g;
    }
""",
}
CHECK = """\
/* Return 0 where known rows come out as they should, else 1. */
static inline int NAME_check(void)
{
    float x[NAME_INPUTS], y[NAME_OUTPUTS];
    for (size_t n = 0; n < TESTED; n++) {
        for (size_t i = 0; i < NAME_INPUTS; i++) {
            x[i] = NAME_READ(NAME_rows + n * NAME_INPUTS + i);
        }
        if (NAME_encode(x, y) != NAME_FINE) {
            return 1;
        }
        for (size_t k = 0; k < NAME_OUTPUTS; k++) {
            const float off = y[k] - NAME_READ(NAME_expected + n * NAME_OUTPUTS + k);
            if (!(off <= TOLERANCE && -off <= TOLERANCE)) {
                return 1;
            }
        }
    }
    return 0;
}
"""
LIBM = {"log": ("fabsf", "logf"), "rate": ("expf",)}
FROM = {
    "": "rows",
    "patches": "patches of pictures",
    "grid": "patches of pictures",
    "waveform": "windows of a signal",
    "log-mel": "log-mel patches of a sound",
}
MEANINGS = {
    "potential": "potentials",
    "halves": "rectified halves of the potentials: max(z, 0), then max(-z, 0)",
    "log": "log magnitudes ln(|z| + 0.1)",
    "rate": "firing rates, 0 to 1/4",
}


def header(one: Subject, name: str = "encoder", weights: str = "float32") -> str:
    """Return the text of a header; the same for the same basis.

    Parameters
    ----------
    one
        What is exported.
    name
        What every name in it begins with.
    weights
        How filters are kept: "float32", "int16", "int8".

    Raises
    ------
    ConfigError
        Where the name is no identifier, or the format does not hold what is exported.
    """
    check_name(name)
    rows = typical_rows(one)
    code = WEIGHTS[weights](one, rows)
    encoder = one.encoder
    front = front_code(one, name)
    libm = front.libm or encoder.output in LIBM
    parts = [
        commented(_head(one, name, code, front)),
        f"#ifndef STREAM_INFOMAX_{name}_H\n#define STREAM_INFOMAX_{name}_H\n",
        "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n" + "#include <math.h>\n" * libm,
        "#ifdef NAME_CMSIS\n#include <arm_math.h>\n#endif\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        _macros(one) + front.macros,
        BASICS,
        *code.tables,
        FINITE,
        *code.functions,
        _encode(one, code),
        *front.pieces,
        _self_test(rows, code, encoder.output),
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
    ]
    return named(parts, name)


def typical_rows(one: Subject) -> NDArray[np.float32]:
    """Return rows such as the basis was learnt from, (TESTED, K): always the same for a basis."""
    encoder = one.encoder
    drawn = np.random.default_rng(0).laplace(size=(TESTED, encoder.n_components))
    # Not one product of matrices: its last bits would depend on the library behind NumPy.
    rows = encoder.mean + np.einsum("nk,ik->ni", drawn, encoder.mixing.astype(np.float64))
    return np.asarray(rows, np.float32)


def _head(one: Subject, name: str, code: Code, front: FrontCode) -> list[str]:
    encoder = one.encoder
    functions = [*LIBM.get(encoder.output, ()), *(["logf"] if front.libm else [])]
    libm = ", ".join(sorted(set(functions)))
    memory = f"{front.memory:,} bytes a stream, " if front.memory else ""
    return [
        f"{name}: {FROM[one.front.form if one.front else '']} to {encoder.width} features, {MEANINGS[encoder.output]}.",
        f"Basis {encoder.version}, of the stage {one.name}; written by stream_infomax {__version__}.",
        "",
        f"    float x[{name}_INPUTS], y[{name}_OUTPUTS];",
        f"    if ({name}_encode(x, y) == {name}_FINE) ...",
        *front.usage,
        "",
        f"{code.flash + front.flash:,} bytes of constants, {memory}{code.stack:,} bytes on the stack; "
        f"{code.n_multiplications:,} multiplications a row.",
        *code.about,
        f"C99 or C++; no allocation, no variables, no double; of libm {libm or 'nothing'}.",
        "Include it in one file: each that includes it has the constants.",
        f"Define {name}_SELF_TEST for a check of the compiler{code.options.replace('NAME_', f'{name}_')}.",
    ]


def _macros(one: Subject) -> str:
    encoder = one.encoder
    return (
        f"#define NAME_INPUTS {encoder.n_features}\n#define NAME_COMPONENTS {encoder.n_components}\n"
        f"#define NAME_OUTPUTS {encoder.width}\n"
        f'#define NAME_VERSION "{__version__}"      /* of stream_infomax */\n'
        f'#define NAME_BASIS "{encoder.version}" /* as on its frames: the features of two bases differ */\n'
    )


def _encode(one: Subject, code: Code) -> str:
    what = "a row" + ", whose own mean is taken away," * one.centred
    return (
        f"/* Encode {what} of NAME_INPUTS numbers into NAME_OUTPUTS; the two do not overlap. */\n"
        "static inline int NAME_encode(const float *x, float *y)\n{\n"
        "    if (!NAME_finite(x, NAME_INPUTS)) {\n        return NAME_spoil(y);\n    }\n"
        f"{code.steps}{OUTPUTS[one.encoder.output]}    return NAME_FINE;\n}}\n"
    )


def _self_test(rows: NDArray[np.float32], code: Code, output: str) -> str:
    slack = code.slack / LOG_FLOOR if output == "log" else code.slack
    tolerance = max(TOLERATED * np.abs(code.expected).max(), slack)
    body = CHECK.replace("TESTED", str(len(rows))).replace("TOLERANCE", number(tolerance))
    inputs = table("rows", rows, "", f"{len(rows)} * NAME_INPUTS")
    outputs = table("expected", code.expected, "", f"{len(rows)} * NAME_OUTPUTS")
    return f"#ifdef NAME_SELF_TEST\n{inputs}{outputs}{body}#endif\n"
