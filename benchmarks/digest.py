"""Which code a table rests on: a digest of a script and of every module of this project that it imports.

Comments, docstrings and layout do not count: the digest is that of the syntax trees without them. Modules are followed
through the imports of the script (also those inside functions, and the names that the package loads when they are
first touched) and through strings that name a module, as ``-m stream_infomax.cli`` and the table of kinds have them.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
TESTS = ROOT / "tests"
PACKAGE = "stream_infomax"
NAMED = re.compile(rf"{PACKAGE}(?:\.\w+)+")
PICTURES = ROOT / PACKAGE / "plots"  # a picture changes no number
# Parts of a tree that say nothing of what the code does, or that differ between versions of Python.
SILENT = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}


def digest(script: Path) -> str:
    """Return 12 hexadecimal digits that change with the code that a script runs."""
    files = modules_of(script)
    text = "\n".join(f"{file.relative_to(ROOT)} {_written(file)}" for file in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def modules_of(script: Path) -> set[Path]:
    """Return the files of this project that a script rests on, itself among them; of a package all its files."""
    script = script.resolve()
    found, left = set(), set(script.parent.glob("*.py")) if script.name == "__main__.py" else {script}
    while left:
        file = left.pop()
        found.add(file)
        left |= {file for file in _imported(file) if PICTURES not in file.parents} - found
    return found


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _written(file: Path) -> str:
    return _words(_tree(file))


def _words(node: object) -> str:
    """Write a syntax tree down without docstrings, positions and empty fields."""
    if isinstance(node, list):
        return "[" + ",".join(map(_words, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            value = [statement for statement in value if not is_docstring(statement)]
        if name not in SILENT and value is not None and value != []:
            fields.append(f"{name}={_words(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def is_docstring(statement: ast.stmt) -> bool:
    """Return whether a statement is a string alone."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imported(file: Path) -> Iterator[Path]:
    """Yield the files of this project that a file imports or names."""
    for node in _running(_tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                yield from _files(module, alias.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for named in NAMED.findall(node.value):
                yield from _files(named)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, without docstrings and what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and is_docstring(child):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def _files(module: str, name: str = "") -> Iterator[Path]:
    """Yield the file of ``from module import name``; of a name that a package loads lazily, where it lives."""
    if module == PACKAGE and name in _lazy():
        module, name = _lazy()[name], ""
    for dotted in filter(None, (f"{module}.{name}" if name else "", module)):
        for base in (ROOT, BENCHMARKS, TESTS):
            place = base.joinpath(*dotted.split("."))
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    yield file
                    return


@cache
def _lazy() -> dict[str, str]:
    """Return the module of each public name, as the package tells type checkers."""
    homes = {}
    for file in (ROOT / PACKAGE / "__init__.py", ROOT / PACKAGE / "__init__.pyi"):
        if file.is_file():
            for node in ast.walk(_tree(file)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                    homes |= {alias.asname or alias.name: str(node.module) for alias in node.names}
    return homes
