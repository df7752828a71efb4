# Each target sets up .venv by itself on a fresh clone; nothing else is installed or changed.
# PYTHON names the interpreter (3.11 or newer).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.PHONY: help demo test lint format check surface wheel-test gpu clean

help:
	@echo "make demo        convert a real pretrained network to ONNX and a TensorRT-RTX engine"
	@echo "make test        run the tests"
	@echo "make lint        ruff and mypy --strict"
	@echo "make format      let ruff format the code"
	@echo "make check       lint, then test"
	@echo "make surface     compare the names used of TensorRT with nine releases; needs gcc, no GPU"
	@echo "make wheel-test  build the wheel, and run against it the tests that packaging can break"
	@echo "make gpu         run the tests and the comparison that need an NVIDIA GPU"
	@echo "make clean       remove what the other targets made"

demo: $(VENV)/.demo
	$(BIN)/python benchmarks/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy -p surface

format: $(VENV)/.dev
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

check: lint test

# The releases' bindings stay in .venv: a second run downloads nothing.
surface: | $(BIN)/python
	PYTHONPATH=tests $(BIN)/python -m surface $(VENV)/surface

wheel-test: $(VENV)/.dev
	.ci/wheel-test $(BIN)/python

gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m gpu
	$(BIN)/python benchmarks/gpu_parity.py
	$(BIN)/python benchmarks/gpu_latency.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The stamps: a target is set up once, and again when what it installs changes.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("bnexport needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# Everything is pinned, and all but torch by the hashes of its files: torch is a build for the processor on one machine
# and one with CUDA's packages on another, of the same version and with other files.
$(VENV)/.dev: pyproject.toml constraints.txt .ci/requirements.txt | $(BIN)/python
	$(PIP) --require-hashes --no-deps -r .ci/requirements.txt
	$(PIP) -c constraints.txt torch
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.demo: $(VENV)/.dev .ci/demo.txt
	$(PIP) --require-hashes --no-deps -r .ci/demo.txt
	@touch $@
