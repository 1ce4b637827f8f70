"""The header in C: it compiles with every warning as an error, and encodes as `transform` does."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from helpers.bases import basis, rows_of
from helpers.clients import has
from helpers.extras import needs
from helpers.fronts import subject
from helpers.headers import COMPILERS, ENCODE, VALGRIND, WARNINGS, build, features
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infomax.configuration.load import ConfigError
from stream_infomax.export.affine import Affine
from stream_infomax.export.c import header
from stream_infomax.export.subject import Subject

OUTPUTS = ("potential", "halves", "rate", "log")


def check(encoder, binary, X, tolerance=1e-5):
    expected = encoder.transform(X)
    found = features(binary, X, encoder.width)
    finite = np.isfinite(X).all(axis=1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.abs(found[finite] - expected[finite]).max() <= tolerance * np.abs(expected[finite]).max()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler_and_output(tmp_path, compiler, output):
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    encoder = basis(13, 11, 17, output=output, mean=0.2, bias=0.3)
    X = rows_of(encoder)
    X[3, 2], X[7, 0], X[9, 12] = np.nan, np.inf, -np.inf
    check(encoder, build(tmp_path, header(Subject(encoder)), compiler=compiler), X)


@has("gcc")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(1, n)).flatmap(
            lambda two: st.tuples(st.just(two[0]), st.just(two[1]), st.integers(two[1], 3 * two[0]))
        )
    ),
    output=st.sampled_from(OUTPUTS),
    mean=st.sampled_from([0.0, 0.3, -40.0, 1e5]),
    seed=st.integers(0, 99),
)
def test_any_shape(tmp_path, shape, output, mean, seed):
    encoder = basis(*shape, output=output, mean=mean, seed=seed)
    check(encoder, build(tmp_path, header(Subject(encoder)), flags=("-O1",)), rows_of(encoder))


@has("gcc")
@pytest.mark.parametrize("K", [16, 64, 256])
def test_within_few_units_of_the_last_place(tmp_path, K):
    encoder = basis(K, spread=30.0)
    X = rows_of(encoder)
    found = features(build(tmp_path, header(Subject(encoder))), X, K)
    exact = (X - encoder.mean) @ encoder.components.T.astype(np.float64)
    length = np.linalg.norm(encoder.components, axis=1) * np.linalg.norm(X - encoder.mean, axis=1)[:, None]
    assert (np.abs(found - exact) <= 4 * np.sqrt(K) * np.spacing(length.astype(np.float32))).all()


@has("gcc")
@pytest.mark.parametrize("mean", [0.0, 3.0, 1e3, 1e6])
def test_large_means_cost_no_digits(tmp_path, mean):
    encoder = basis(24, mean=mean)
    assert (Affine.of(encoder).mean is None) == (mean == 0)
    check(encoder, build(tmp_path, header(Subject(encoder))), rows_of(encoder))


@has("gcc")
def test_the_mean_in_the_bias_would_cost_digits(tmp_path, monkeypatch):
    monkeypatch.setattr("stream_infomax.export.affine.costs_digits", lambda *_: False)
    encoder = basis(24, mean=1e3)
    X = rows_of(encoder)
    found = features(build(tmp_path, header(Subject(encoder))), X, encoder.width)
    off = np.abs(found - encoder.transform(X)).max() / np.abs(found).max()
    assert 1e-5 < off < 1e-2


@has("gcc")
def test_two_thin_products_where_they_are_less_work(tmp_path):
    encoder = basis(40, 8, 40)
    text = header(Subject(encoder))
    assert "#define encoder_RANK 8\n" in text
    assert "640 multiplications" in text
    check(encoder, build(tmp_path, text), rows_of(encoder))
    assert "_RANK" not in header(Subject(basis(40, 8)))  # one product is as thin
    assert "_RANK" not in header(Subject(basis(40, 20, 40)))


@has("gcc", "valgrind")
@pytest.mark.parametrize("shape", [(13, 11, 17), (40, 8, 40)])
def test_valgrind_finds_nothing(tmp_path, shape):
    encoder = basis(*shape, output="log", mean=5.0)
    X = rows_of(encoder, 20)
    X[3, 2] = np.nan
    binary = build(tmp_path, header(Subject(encoder)), flags=("-O1", "-g"))
    found = features(binary, X, encoder.width, *VALGRIND)
    np.testing.assert_allclose(found, encoder.transform(X), rtol=1e-4, atol=1e-5)


@has("gcc")
def test_two_in_one_program(tmp_path):
    one, other = basis(6, output="log", mean=4.0), basis(9, 3, 9)
    texts = {"left": header(Subject(one), "left"), "left_ear": header(Subject(other), "left_ear")}
    for name, text in texts.items():
        (tmp_path / f"{name}.h").write_text(text)
    both = "#define right_SELF_TEST\n" + "".join(f'#define {name}_SELF_TEST\n#include "{name}.h"\n' for name in texts)
    both += "int main(void) { return left_check() + 2 * left_ear_check(); }\n"
    (tmp_path / "both.c").write_text(both)
    command = ["gcc", "-std=c99", *WARNINGS, tmp_path / "both.c", "-o", tmp_path / "both", "-lm"]
    subprocess.run(command, check=True, timeout=60)
    assert subprocess.run([tmp_path / "both"], check=False, timeout=60).returncode == 0


@needs("kaldi_native_fbank")
def test_no_name_can_be_made_of_another_ones():
    """For example `a_b` + `x` and `a` + `b_x`."""
    thin = Subject(basis(12, 3, 12, output="log", mean=5.0))
    fronts = [subject("log-mel", rank=4, length=1, hop=1, n_mels=20), subject("waveform"), subject("grid", patch=12)]
    text = "".join(header(one, "zz") for one in (thin, *fronts))
    ends = {word.removeprefix("zz_") for word in re.findall(r"\bzz_\w+", text)}
    assert len(ends) > 10
    assert not [(one, other) for one in ends for other in ends if one.endswith(f"_{other}")]


@has("gcc")
def test_the_self_test_finds_other_numbers(tmp_path):
    text = header(Subject(basis(6)))
    first = re.search(r"encoder_filters\[.*= \{\n    (\S+)f,", text)
    assert first
    broken = text.replace(first[1], str(float(first[1]) + 0.1), 1)
    binary = build(tmp_path, broken)
    assert subprocess.run([str(binary)], stdin=subprocess.DEVNULL, check=False, timeout=60).returncode == 9


ENDS = """
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    float x[NAME_INPUTS], y[NAME_OUTPUTS];
    int n_bad = 0;
    while (fread(x, sizeof x, 1, stdin) == 1) {
        n_bad += NAME_encode(x, y) == NAME_NOT_FINITE;
        fwrite(y, sizeof y, 1, stdout);
    }
    return n_bad == 3 ? 0 : 7;
}
"""


@has("gcc")
@pytest.mark.parametrize("weights", ["float32", "int16"])
def test_compilers_may_think_that_all_is_finite(tmp_path, weights):
    encoder = basis(12, mean=5.0)
    X = rows_of(encoder)
    X[3, 2], X[7, 0], X[9, 11] = np.nan, np.inf, -np.inf
    text = header(Subject(encoder), weights=weights)
    check(encoder, build(tmp_path, text, program=ENDS, flags=("-O3", "-ffast-math")), X, 1e-3)


ARM_MATH = """
#include <stddef.h>
#include <stdint.h>
typedef float float32_t;
typedef struct { uint16_t numRows; uint16_t numCols; float32_t *pData; } arm_matrix_instance_f32;
static int called;
static void arm_mat_vec_mult_f32(const arm_matrix_instance_f32 *m, const float32_t *x, float32_t *y)
{
    called = 1;
    for (int k = 0; k < m->numRows; k++) {
        y[k] = 0.0f;
        for (int i = 0; i < m->numCols; i++) {
            y[k] += m->pData[k * m->numCols + i] * x[i];
        }
    }
}
"""


@has("gcc")
def test_the_product_of_cmsis(tmp_path):
    (tmp_path / "arm_math.h").write_text(ARM_MATH)
    encoder = basis(12, mean=5.0)
    program = ENCODE.replace("    return 0;\n}\n", "    return called ? 0 : 7;\n}\n")
    flags = ("-Dencoder_CMSIS", f"-isystem{tmp_path}", "-Wno-cast-qual")
    check(encoder, build(tmp_path, header(Subject(encoder)), program=program, flags=flags), rows_of(encoder))


@has("gcc")
def test_tables_in_another_memory(tmp_path):
    encoder = basis(12, 3, 12, mean=5.0)
    text = header(Subject(encoder))
    flags = (
        '-Dencoder_PROGMEM=__attribute__((section(".flash")))',
        "-Dencoder_READ(address)=read_element(address)",
    )
    program = (
        "static int n_read;\nstatic inline float read_element(const float *at) { n_read++; return *at; }\n" + ENCODE
    )
    program = program.replace("    return 0;\n}\n", "    return n_read ? 0 : 7;\n}\n")
    check(encoder, build(tmp_path, text, program=program, flags=flags), rows_of(encoder))


@has("arm-none-eabi-gcc", "arm-none-eabi-size")
def test_the_size_on_a_small_processor(tmp_path):
    encoder = basis(64)
    text = header(Subject(encoder))
    (tmp_path / "encoder.h").write_text(text)
    (tmp_path / "one.c").write_text(
        '#include "encoder.h"\nint one(const float *x, float *y) { return encoder_encode(x, y); }\n'
    )
    command = ["arm-none-eabi-gcc", "-std=c99", *WARNINGS, "-Os", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16"]
    subprocess.run([*command, "-mfloat-abi=hard", "-c", "one.c", "-o", "one.o"], cwd=tmp_path, check=True, timeout=60)
    done = subprocess.run(["arm-none-eabi-size", "one.o"], cwd=tmp_path, check=True, capture_output=True, text=True)
    flash, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
    constants = int(re.search(r"([\d,]+) bytes of constants", text)[1].replace(",", ""))
    assert constants == 64 * 65 * 4
    assert (data, bss) == (0, 0)
    assert constants < flash < constants + 1000


def test_the_same_text_for_the_same_basis():
    one, other = (header(Subject(basis(20, 4, 20, output="rate", mean=9.0))) for _ in range(2))
    assert one == other
    assert max(map(len, one.splitlines())) <= 132
    encoder = basis(20)
    assert f'#define encoder_BASIS "{encoder.version}"' in header(Subject(encoder))


@pytest.mark.parametrize("name", ["", "9a", "a-b", "_a", "a__b", "a_", "ä", "a" * 41, "a b"])
def test_names_that_are_none(name):
    with pytest.raises(ConfigError, match="identifier of C"):
        header(Subject(basis(3)), name)
