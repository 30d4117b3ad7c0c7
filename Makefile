PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
BENCH ?=

.PHONY: help install demo test check bench format clean

help:
	@echo "make install   sngan in $(VENV)"
	@echo "make demo      train on drawn shapes, score, draw pictures into $(DEMO)/ (two to seven minutes on 2 cores)"
	@echo "make test      the tests that need neither a GPU nor the network"
	@echo "make bench     the training step and scoring beside others' (45 minutes on 2 cores, best with nothing else running;"
	@echo "               one row: make bench BENCH='--rows resnet-preact-32')"
	@echo "make check     formatting, lint, types, import rules"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed

demo: install
	$(BIN)/python docs/demo.py $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps torch-mimicry==0.1.16
	failed=0; \
	for part in step memory ceiling overhead; do $(BIN)/python benchmarks/$$part.py --save $(BENCH) || failed=1; done; \
	for part in table convolutions 'extractor --save' inference sharing startup; do \
		set -- $$part; $(BIN)/python benchmarks/$$1.py $$2 || failed=1; \
	done; \
	exit $$failed

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) build dist
