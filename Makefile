# One command formats, lints, type-checks and tests, offline, on the small model: make check
# The tools come from .venv; use another interpreter with: make check PYTHON=/path/to/python

PYTHON ?= .venv/bin/python
export OMP_NUM_THREADS ?= 1
WORKERS ?= 2

.PHONY: help setup format lint types test schema docs wheel bench reproduce support check

help:            ## What there is.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

setup:           ## Make .venv and install everything for development.
	python3 -m venv .venv
	.venv/bin/python -m pip install -c constraints.txt -e '.[dev]'

format:          ## Rewrite the sources in the house's format.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lint:            ## Check format and style.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:           ## Check types, twice.
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright --pythonpath $$($(PYTHON) -c 'import sys; print(sys.executable)')

test:            ## Run the tests.
	$(PYTHON) -m pytest -n $(WORKERS)

schema:          ## Renew the JSON Schemas that ship with the package.
	$(PYTHON) -m sightline.monitor.cli.schema > monitor/data/schema/report-v1.json
	$(PYTHON) -m sightline.monitor.cli.schema calibration > monitor/data/schema/calibration-v1.json

docs:            ## Build the site into build/site; a dead link or an odd docstring is an error.
	$(PYTHON) -m mkdocs build --strict --config-file docs/site/mkdocs.yml

wheel:           ## Build a wheel into dist/.
	$(PYTHON) -m build --wheel

bench:           ## Measure what watching costs; writes results beside the scripts.
	$(PYTHON) -m tests.benchmarks.bench_words
	$(PYTHON) -m tests.benchmarks.bench_decode --shape small
	$(PYTHON) -m tests.benchmarks.bench_pair --shape small
	$(PYTHON) -m tests.benchmarks.bench_pair --shape 0.7b --tokens 24
	$(PYTHON) -m tests.benchmarks.bench_detectors
	$(PYTHON) -m tests.benchmarks.bench_labelling
	$(PYTHON) -m tests.benchmarks.bench_collect

reproduce:       ## Run the recipe of docs/reproduce.md on the small model. A quarter of an hour.
	$(PYTHON) docs/reproduce.py --out runs/reproduce --workers $(WORKERS)

support:         ## Measure which families of models can be watched; writes docs/models.md. An hour.
	$(PYTHON) -m tests.support.table --update docs/models.md

check: lint types test  ## What must pass before a commit.
