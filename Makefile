# `make demo` shows the product, `make test` proves it; both make .venv first.
# PYTHON names the interpreter that the environment is made with (3.11).

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LATEST := .venv-latest
LATEST_INSTALLED := $(LATEST)/.installed

# One process for each of the two cores that the project is tested on.
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist loadfile

UV_COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-header \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help venv demo demo-stream paper test test-slow test-all test-latest lint format docs lock image clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(INSTALLED) ## Make .venv and install the locked packages

$(INSTALLED): requirements.lock setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and \
		"Python 3.11 is needed, $(PYTHON) is " + sys.version.split()[0] \
		+ ": say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(INSTALLED) ## Raw logs in, a served prediction out, in a few minutes
	$(BIN)/python scripts/demo.py

demo-stream: $(INSTALLED) ## A stream: joined, learned, published and served at once
	$(BIN)/python -m scripts.demo_stream $(OPTIONS)

paper: $(INSTALLED) ## Rerun a paper: NAME of configs/paper, DATA (and OPTIONS)
	$(BIN)/python scripts/rerun_paper.py $(NAME) $(DATA) $(OPTIONS)

test: $(INSTALLED) ## The quick tests
	$(BIN)/python $(PYTEST) -m "not slow"

test-slow: $(INSTALLED) ## The tests that take longer: kill and resume, several devices
	$(BIN)/python $(PYTEST) -m slow

test-all: test test-slow ## All tests

lint: $(INSTALLED) ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Write docs/job-file.md anew from the schema
	$(BIN)/python scripts/document_job_file.py

# The newest TensorFlow, without tensorflow-io. Not locked: that is its purpose.
$(LATEST_INSTALLED): setup.py
	$(PYTHON) -m venv --clear $(LATEST)
	$(LATEST)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

test-latest: $(LATEST_INSTALLED) ## The quick tests on the newest TensorFlow
	$(LATEST)/bin/python scripts/test_latest.py -m "not slow" -n $(WORKERS) --dist loadfile

lock: $(INSTALLED) ## Resolve the locked packages anew (add UPGRADE=--upgrade)
	$(UV_COMPILE) setup.py --extra io --extra dev $(UPGRADE) --output-file requirements.lock
	$(UV_COMPILE) setup.py --extra io --constraint requirements.lock $(UPGRADE) \
		--output-file requirements-training.lock
	$(UV_COMPILE) requirements-serving.in --constraint requirements.lock $(UPGRADE) \
		--output-file requirements-serving.lock

image: ## Build the training and serving images, without a daemon
	scripts/build-image.sh

clean: ## Remove what the tools left behind; environments and results stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
