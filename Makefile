# Two commands do everything on a fresh machine: `make compare` and `make test`.
# The environment is made once in .venv; later runs need no network until pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?=

.PHONY: compare real test test-all lint wheel cluster pages docs clean
.DELETE_ON_ERROR:

compare: $(VENV)/.installed
	@$(BIN)/steelyard compare $(SCENARIO)

# Trains and serves a small model on this machine, beside what is predicted for it.
real: $(VENV)/.installed-run
	@$(BIN)/steelyard compare --measured

test: lint
	$(BIN)/python -m pytest -n auto --doctest-modules src/steelyard tests

test-all: lint
	$(BIN)/python -m pytest -n auto --doctest-modules -m "" src/steelyard tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# The built wheel, in an environment of its own: it holds the checkout's package to the byte (tests/test_packed.py), so
# what `make test` proves of the code holds for it, and what remains is what an installation can lack: data files, the
# commands, libraries at their newest and none of the extras. All of the tests: make wheel WHEEL_TESTS=tests
WHEEL_TESTS ?= tests/test_packed.py tests/api tests/catalog tests/cli tests/measure tests/report tests/runtime

wheel: $(VENV)/.installed-dev
	rm -rf dist $(VENV)-wheel
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl pytest pytest-xdist hypothesis
	$(VENV)-wheel/bin/python -m pytest -n auto $(WHEEL_TESTS)

# Training and serving on a Ray cluster of this machine, with a node killed; Ray is large, so it has an environment apart.
cluster: $(VENV)-cluster/.installed
	$(VENV)-cluster/bin/python -m pytest -m "slow or not slow" tests/runtime/test_cluster.py

$(VENV)-cluster/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-cluster
	$(VENV)-cluster/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[run,cluster]' pytest
	@touch $@

# Generated pages of the documentation.
pages: $(VENV)/.installed
	$(BIN)/python -m steelyard.catalog.pages

# The documentation as a site in build/site, which opens from the disk; warnings are errors.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "steelyard needs Python 3.11 or newer; $(PYTHON) is not (try: make PYTHON=python3.12 $(MAKECMDGOALS))" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing steelyard into $(VENV) (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . >&2
	@touch $@
	@$(BIN)/python -c 'from steelyard.inference.simulator import prepare; prepare()'

$(VENV)/.installed-run: pyproject.toml | $(VENV)/.installed
	@echo "installing the engines that train and serve (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[run]' >&2
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing steelyard and its test tools into $(VENV) (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $(VENV)/.installed $(VENV)/.installed-run $@
	@$(BIN)/python -c 'from steelyard.inference.simulator import prepare; prepare()'

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	@echo "installing what makes the site (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' >&2
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-cluster dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
