# Everything runs in .venv, which is made anew only when pyproject.toml has changed.
# PIP_CONSTRAINT and pip's other variables hold for the installation.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test check bench figures clean

# Photographs -> patches -> online infomax, in separate processes; ends by itself.
demo: .venv/installed
	$(BIN)/stream-infomax run configs/photographs.toml

test: .venv/tested
	$(BIN)/python -m pytest

check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each file answers one question; tables and plots go to benchmarks/results.
bench: .venv/benched
	set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file; done

# The pictures of docs/learning.md.
figures: .venv/benched
	set -e; for file in benchmarks/figure_*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean:
	rm -rf .venv runs

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,contrast]'
	touch $@

.venv/benched: .venv/tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@
