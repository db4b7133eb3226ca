# Everything sets itself up: `make demo` and `make test` need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
SAMPLE ?= 300
SEED ?= 0
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check docs bench mutants clean help

help:
	@echo "make demo    train and evaluate an agent on the CPU, with a report to look at (about 6 minutes)"
	@echo "make test    run the tests, WORKERS=2 at once"
	@echo "make check   lint, format and types"
	@echo "make docs    write the reference pages and the API reference (site/)"
	@echo "make bench   measure what the project promises, peers beside it"
	@echo "make mutants change the code in SAMPLE=300 small ways, one at a time: do the tests notice? (docs/development.md)"
	@echo "make clean   remove $(VENV), the environment that the others set up"

demo: $(VENV)/.run
	$(BIN)/palaestra demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/build.py site

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.run

mutants: $(VENV)/.mutants
	$(BIN)/python -m tests.mutation -n $(SAMPLE) --seed $(SEED) $(if $(NEAR),--near)

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# the demo installs only what it runs; the tests need every extra and the tools of development
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[llm,train]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.run

$(VENV)/.mutants: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutants]"
	touch $@
