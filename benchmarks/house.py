"""What did a change of the code cost or save? Two checkouts side by side: lines, files, and seconds to the first word.

Lines are those of code: without comments, docstrings and empty lines. Times are medians of several starts of a new
process, the two trees taking turns. Both trees run in the environment of this Python.

    python benchmarks/house.py BEFORE AFTER [--starts 15]
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import statistics
import subprocess
import sys
import time
import tokenize
from pathlib import Path

from digest import is_docstring

PROGRAMS = {
    "import stream_infomax": ["-c", "import stream_infomax"],
    "from stream_infomax import OnlineInfomax": ["-c", "from stream_infomax import OnlineInfomax"],
    "stream-infomax --help": ["-m", "stream_infomax.cli", "--help"],
    "stream-infomax run --help": ["-m", "stream_infomax.cli", "run", "--help"],
}
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


def lines_of_code(source: str) -> int:
    """Return how many lines of a source hold code."""
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT and token.type != tokenize.ENDMARKER:
            held |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in filter(is_docstring, node.body[:1]):
                held -= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return len(held)


def sizes(tree: Path) -> dict[str, int]:
    """Return files and lines of code of a checkout's package and tests."""
    found = {}
    for part in ("stream_infomax", "tests"):
        sources = [path.read_text(encoding="utf-8") for path in (tree / part).rglob("*.py")]
        lines = [lines_of_code(source) for source in sources]
        found[f"{part}: files"] = len(sources)
        found[f"{part}: lines of code"] = sum(lines)
        found[f"{part}: lines of code of the longest file"] = max(lines)
    return found


def seconds(tree: Path, program: list[str]) -> float:
    """Return how long a new process takes to run a program with a checkout's package."""
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "COLUMNS": "100"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", *program], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--starts", type=int, default=15)
    options = parser.parse_args()
    before, after = sizes(options.before), sizes(options.after)
    rows = [(name, f"{before[name]:,}", f"{after[name]:,}", after[name] / before[name]) for name in before]
    for name, program in {"python": ["-c", ""], **PROGRAMS}.items():
        pairs = [(seconds(options.before, program), seconds(options.after, program)) for _ in range(options.starts + 1)]
        one, other = (statistics.median(times) for times in zip(*pairs[1:], strict=True))  # the first fills caches
        rows.append((f"{name}, ms", f"{one * 1e3:.0f}", f"{other * 1e3:.0f}", other / one))
    print("| what | before | after | after ÷ before |\n|---|---|---|---|")
    for name, one, other, ratio in rows:
        print(f"| {name} | {one} | {other} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
