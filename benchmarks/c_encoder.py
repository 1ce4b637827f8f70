"""How long does an exported header take for a row, and how far is it from `transform`?

Patches of photographs of 4, 8, 12 and 16 pixels a side (K = 16, 64, 144, 256), learnt with the defaults. The header
encodes 1,000 other patches, again and again; of the rounds the quickest counts, in seconds of this process's CPU.
`transform` takes them one by one, and in blocks of 256. The differences are those from `transform`, which itself rounds
to float32: that of `transform` from float64 stands beside them.

    python benchmarks/c_encoder.py [SIDE ...]
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np

from stream_infomax import Encoder, ImageSource, OnlineInfomax
from stream_infomax.export.c import header
from stream_infomax.export.subject import Subject

SIDES = (4, 8, 12, 16)
ROWS, BLOCK, LEARNT = 1000, 256, 100_000
ROUNDS = 100
COMPILERS = {"gcc -O2": ("gcc", "-O2"), "gcc -O3": ("gcc", "-O3"), "clang -O3": ("clang", "-O3")}
PROGRAM = f"""
#define _POSIX_C_SOURCE 199309L
#include "encoder.h"
#include <stdio.h>
#include <time.h>
static float x[{ROWS}][encoder_INPUTS], y[{ROWS}][encoder_OUTPUTS];
static double now(void)
{{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}}
int main(void)
{{
    double least = 1e9;
    if (fread(x, sizeof x, 1, stdin) != 1) return 1;
    for (int round = 0; round < {ROUNDS}; round++) {{
        const double since = now();
        for (int i = 0; i < {ROWS}; i++) encoder_encode(x[i], y[i]);
        const double taken = now() - since;
        if (taken < least) least = taken;
    }}
    fwrite(y, sizeof y, 1, stdout);
    fprintf(stderr, "%.9f", least / {ROWS});
    return 0;
}}
"""


def subjects(sides: list[int]) -> Iterator[tuple[Encoder, np.ndarray]]:
    """Yield a basis, and rows (ROWS, K) that it has not seen."""
    for side in sides:
        source = ImageSource(
            common.data_folder() / "natural_images",
            crop=(side, side),
            items=BLOCK,
            frames=-(-(LEARNT + ROWS) // BLOCK),
        )
        patches = np.concatenate([frame.arrays["source"].rows() for frame in source.frames()])
        yield Encoder.of(OnlineInfomax().fit(patches[ROWS:])), patches[:ROWS]


def in_c(encoder: Encoder, rows: np.ndarray, weights: str, command: tuple[str, ...]) -> tuple[float, np.ndarray]:
    """Return microseconds a row, and the features."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "encoder.h").write_text(header(Subject(encoder), "encoder", weights))
        (folder / "program.c").write_text(PROGRAM)
        subprocess.run([*command, "-std=c99", "program.c", "-o", "program", "-lm"], cwd=folder, check=True)
        done = subprocess.run([folder / "program"], input=rows.tobytes(), capture_output=True, check=True)
    return 1e6 * float(done.stderr), np.frombuffer(done.stdout, np.float32).reshape(len(rows), -1)


def in_python(encoder: Encoder, rows: np.ndarray, block: int) -> float:
    """Return microseconds a row, `block` of them a call."""
    least = float("inf")
    for _ in range(ROUNDS if block > 1 else 5):
        since = time.thread_time()
        for start in range(0, len(rows) - block + 1, block):
            encoder.transform(rows[start : start + block])
        least = min(least, (time.thread_time() - since) / (len(rows) // block * block))
    return 1e6 * least


def main() -> None:
    """Measure and write the table."""
    sides = [int(word) for word in sys.argv[1:]] or list(SIDES)
    compilers = {name: command for name, command in COMPILERS.items() if shutil.which(command[0])}
    table = []
    for encoder, rows in subjects(sides):
        ours = encoder.transform(rows).astype(np.float64)
        exact = (rows - encoder.mean) @ encoder.components.T.astype(np.float64)
        largest = np.abs(exact).max()
        for weights in ("float32", "int16", "int8"):
            line: dict[str, object] = {"K": encoder.n_features, "filters": weights}
            for called, command in compilers.items():
                microseconds, found = in_c(encoder, rows, weights, command)
                line[f"{called}, µs"] = f"{microseconds:.2f}"
                off = np.abs(found - ours)
            line["largest difference"] = f"{off.max() / largest:.1e}"
            line["rms difference"] = f"{np.sqrt((off**2).mean() / (exact**2).mean()):.1e}"
            if weights == "float32":
                line["`transform` from float64"] = f"{np.abs(ours - exact).max() / largest:.1e}"
                line["`transform`, a row a call, µs"] = f"{in_python(encoder, rows, 1):.1f}"
                line[f"{BLOCK} rows a call, µs"] = f"{in_python(encoder, rows, BLOCK):.2f}"
            table.append(line)
            print(line, flush=True)
    versions = [first_line(command[0]) for command in compilers.values() if command[1] == "-O3"]
    note = (
        f"{common.machine()}; {', '.join(versions)}. Shared cores; CPU seconds of the process. The compilers write for "
        "any x86-64 (SSE2); NumPy's products use all that the processor has. Differences: from `transform`, the "
        "largest over the largest potential, the root mean square over that of the potentials."
    )
    title = "An exported header: microseconds a row, and its difference from transform"
    common.write_table("c_encoder", title, table, note)


def first_line(compiler: str) -> str:
    """Return what a compiler says of its version."""
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
