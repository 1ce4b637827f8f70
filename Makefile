# Everything runs in .venv, which is made anew only when pyproject.toml has changed.
# PIP_CONSTRAINT, PIP_EXTRA_INDEX_URL and pip's other variables hold for the installation.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test check bench figures clean

# Photographs -> patches -> online infomax -> contrast -> classifier, in separate processes; ends by itself.
demo: .venv/installed
	$(BIN)/stream-infomax run configs/photographs.toml

test: .venv/tested
	$(BIN)/python -m pytest

check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each file that can be run answers one question; tables and plots go to benchmarks/results.
BENCHMARKS = $(filter-out benchmarks/figures.py,$(shell grep -l __main__ benchmarks/*.py))

bench: .venv/benched
	set -e; for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file; done

# The pictures of docs/learning.md.
figures: .venv/benched
	$(BIN)/python benchmarks/figures.py

clean:
	rm -rf .venv runs

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv; PyTorch is most of it and may take minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[contrast]'
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

.venv/benched: .venv/tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@
