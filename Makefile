# Everything a contributor runs. GNU make and Python >= 3.11 are all it needs.

VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8080
BENCH ?=

BIN := $(VENV)/bin
ENVIRONMENT := VENV="$(VENV)" PYTHON="$(PYTHON)" scripts/environment
PURE_TESTS := tests/audio tests/models tests/turns tests/voice tests/test_architecture.py
SOURCES := src tests bench scripts examples

.PHONY: help demo test check lint fmt docs docs-check bench constraints clean distclean

help:
	@echo "make demo         run the demo at https://$(HOST):$(PORT) or http:// on this machine (HOST=, PORT=)"
	@echo "make test         everything: style, types, layers, documentation, all tests"
	@echo "make check        the same without the tests that start programs; under a minute"
	@echo "make fmt          format the code"
	@echo "make docs         redraw the diagrams in docs/ from the code"
	@echo "make bench        measure (BENCH='--quick' and other options of python -m bench)"
	@echo "make constraints  resolve the pinned versions anew"
	@echo "make clean        remove caches; make distclean removes $(VENV) and .cache too"

$(VENV)/.demo.stamp: constraints/demo.txt pyproject.toml scripts/environment
	@$(ENVIRONMENT) demo

$(VENV)/.test.stamp: constraints/test.txt constraints/weights.txt pyproject.toml scripts/environment
	@$(ENVIRONMENT) test

demo: $(VENV)/.demo.stamp
	@exec $(BIN)/antiphon demo --host $(HOST) --port $(PORT)

test: lint docs-check
	$(BIN)/python -m pytest

check: lint docs-check
	$(BIN)/python -m pytest -q -m "not slow and not needs" $(wildcard $(PURE_TESTS))

lint: $(VENV)/.test.stamp
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fmt: $(VENV)/.test.stamp
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/ruff format $(wildcard $(SOURCES))

docs: $(VENV)/.test.stamp
	$(BIN)/python -m scripts.diagrams

docs-check: $(VENV)/.test.stamp
	$(BIN)/python -m scripts.diagrams --check

bench: $(VENV)/.test.stamp
	$(BIN)/python -m bench $(BENCH)

constraints:
	PYTHON="$(PYTHON)" scripts/resolve-constraints

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results
	find src tests bench scripts examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf "$(VENV)" .cache
