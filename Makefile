# Everything runs in .venv. `make demo` installs what the demo needs; the other targets add what they need.
# constraints.txt has the versions that the tests ran with; UNPINNED=1 takes the newest instead.

PYTHON ?= python3
UNPINNED ?=
BIN = .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(UNPINNED),--upgrade,--constraint constraints.txt)
INPUTS = pyproject.toml constraints.txt

.PHONY: demo test check docs bench torture figures constraints clean

# Photographs -> patches -> online infomax -> contrast -> classifier, in separate processes; ends by itself.
demo: .venv/demo
	$(BIN)/stream-infomax run configs/photographs.toml

# A file of tests stays in one process; most wait for processes of their own.
test: .venv/test
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/stale.py

# The pages go to site/; a warning ends the build.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Each file that can be run answers one question; tables and plots go to benchmarks/results.
TOOLS = benchmarks/figures.py benchmarks/house.py benchmarks/stale.py
BENCHMARKS = $(filter-out $(TOOLS),$(shell grep -l __main__ benchmarks/*.py))

bench: .venv/bench
	set -e; for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file; done

# What takes hours and is to find what the tests do not; SHARE=0.1 takes a tenth. The table goes to benchmarks/results.
SHARE ?= 1
SEED ?= 0

torture: .venv/torture
	PYTHONPATH=tests:benchmarks $(BIN)/python -m torture $(TORTURES) --share $(SHARE) --seed $(SEED)

# The pictures of docs/learning.md.
figures: .venv/bench
	$(BIN)/python benchmarks/figures.py

# New versions: install the newest of everything into an empty environment and write down what came.
# Run the tests with them before you commit the file.
constraints:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH),torch==$(TORCH)) '.[all,test,docs,bench,torture]'
	echo '# The versions that the tests ran with, made by `make constraints`.' > constraints.txt
	.venv-newest/bin/python -m pip freeze --exclude stream_infomax | sed 's/+cpu$$//' >> constraints.txt
	rm -rf .venv-newest

clean:
	rm -rf .venv .venv-newest runs site

# --- environments ------------------------------------------------------------------------------------------------

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}")'
	$(PYTHON) -m venv .venv

.venv/demo: $(INPUTS) | .venv/bin/python
	@echo "installing into .venv; PyTorch is most of it and may take minutes"
	$(INSTALL) --editable '.[contrast,images,page,plots]'
	touch $@

.venv/test: $(INPUTS) | .venv/bin/python
	@echo "installing into .venv; PyTorch is most of it and may take minutes"
	$(INSTALL) --editable '.[all,test]'
	touch $@

.venv/docs: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[all,docs]'
	touch $@

.venv/bench: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[all,bench]'
	touch $@

.venv/torture: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[all,test,torture]'
	touch $@
