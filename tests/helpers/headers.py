"""Programs around exported headers: rows from standard input, features to standard output."""

import subprocess

import numpy as np

WARNINGS = (
    *("-Wall", "-Wextra", "-Werror", "-Wdouble-promotion", "-Wfloat-conversion", "-Wconversion", "-Wshadow"),
    *("-Wcast-qual", "-pedantic"),
)
COMPILERS = {"gcc": ("-std=c99",), "clang": ("-std=c99",), "g++": ("-std=c++11",), "clang++": ("-std=c++11",)}
ENCODE = """
#define NAME_SELF_TEST
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    float x[NAME_INPUTS], y[NAME_OUTPUTS];
    if (NAME_check()) {
        return 9;
    }
    while (fread(x, sizeof x, 1, stdin) == 1) {
        const int end = NAME_encode(x, y);
        if ((end == NAME_FINE) != (y[0] - y[0] == 0.0f) || fwrite(y, sizeof y, 1, stdout) != 1) {
            return 8;
        }
    }
    return 0;
}
"""
PUSH = """
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    static NAME_stream stream;
    float x[1], y[NAME_OUTPUTS];
    NAME_reset(&stream);
    while (fread(x, sizeof x, 1, stdin) == 1) {
        const int end = NAME_push(&stream, SAMPLE, y);
        if (end == NAME_MORE) {
            continue;
        }
        if ((end == NAME_FINE) != (y[0] - y[0] == 0.0f) || fwrite(y, sizeof y, 1, stdout) != 1) {
            return 8;
        }
    }
    return 0;
}
"""
VALGRIND = ("valgrind", "--quiet", "--error-exitcode=7", "--leak-check=full", "--errors-for-leak-kinds=all")


def build(folder, text, *, name="encoder", program=ENCODE, compiler="gcc", flags=("-O2",)):
    """Write a header and a program around it, and compile it; return what was made."""
    (folder / f"{name}.h").write_text(text, encoding="utf-8")
    source = folder / f"{name}_program.{'cpp' if '+' in compiler else 'c'}"
    source.write_text(program.replace("NAME", name), encoding="utf-8")
    binary = folder / f"{name}-{compiler}"
    command = [compiler, *COMPILERS[compiler], *WARNINGS, *flags, source, "-o", binary, "-lm"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return binary


def features(binary, values, width, *before):
    """Return what a program makes of float32 values, (n, width); a command may stand before it."""
    given = np.ascontiguousarray(values, np.float32).tobytes()
    done = subprocess.run([*before, str(binary)], input=given, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.float32).reshape(-1, width)
