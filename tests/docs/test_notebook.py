"""The notebook among the examples runs as it is stored; what it shows stays small. `jupyter execute --inplace` of
nbclient stores what it shows, after a change.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.extras import extra

for package in ("matplotlib", "PIL"):
    extra(package)
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
MOST_BYTES = 250_000
STRICT = "import warnings; warnings.simplefilter('error')"


def kinds(cell: Any) -> list[set[str]]:
    """What a cell shows: the types of each output."""
    return [set(output.get("data", {"stream": ""})) for output in cell.outputs]


@pytest.fixture(scope="module")
def stored() -> Any:
    return nbformat.read(NOTEBOOK, 4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after a run in which warnings are errors; in a process of its own, which leaves no loop behind."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, 4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    nbformat.write(notebook, folder / "given.ipynb")
    main = "from nbclient.cli import main; main()"
    program = [sys.executable, "-c", main, "--timeout=60", "--output=made", "given.ipynb"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return nbformat.read(folder / "made.ipynb", 4)


def test_it_runs_without_a_warning_and_shows_what_is_stored(stored: Any, executed: Any) -> None:
    code = [cell for cell in executed.cells[1:] if cell.cell_type == "code"]
    errors = [output.text for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert not errors
    assert [kinds(cell) for cell in code] == [kinds(cell) for cell in stored.cells if cell.cell_type == "code"]


def test_the_learner_is_drawn_where_it_was_first_shown(executed: Any) -> None:
    pages = [
        output.data["text/html"]
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert "It has seen no row" in pages[0]
    assert "64 components as 10 × 10 pixels" in pages[1]
    assert "39,500 rows seen" in pages[1], "it was updated to the end"
    assert "lower is better" in pages[1]


def test_what_is_stored_is_small_and_has_nothing_of_a_machine(stored: Any) -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) <= MOST_BYTES
    assert not re.search(r"/(home|tmp|root|work)/", text)
    assert json.loads(text)["metadata"]["kernelspec"]["name"] == "python3"
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "executed from top to bottom"
    assert all(cell.outputs for cell in stored.cells if cell.cell_type == "code")
