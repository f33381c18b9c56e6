# Targets of raytl; `make help` lists them. Every target first builds the environment in .venv if it is missing or out of
# date.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all test-thorough test-lengthy test-faults test-store test-assets lint format bench clean venv lock dist audit docs

# Python 3.11 or newer; select one with `make PYTHON=/path/to/python3.11 ...`
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# TORCH=cpu installs CPU builds of torch and torchvision (1 GB instead of 6) if the package registry has them. They are
# different files, so the hashes of these two are not checked.
TORCH ?= default
ifeq ($(TORCH),cpu)
TORCH_EDIT := /^(torch|torchvision)===/,/[^\\]$$/{s/===([^ ]*).*/==\1+cpu/;/^ /d}
UV_TORCH := --torch-backend cpu
TORCH_ADVICE := CPU builds of torch may be missing from your package registry: run make without TORCH=cpu.
else ifeq ($(TORCH),default)
TORCH_EDIT :=
else
$(error TORCH=$(TORCH): expected default or cpu)
endif
# additional arguments for pytest: make test ARGS="tests/data -x"
ARGS ?=
# write bytecode even if the environment disables it: each Ray process imports all of raytl
unexport PYTHONDONTWRITEBYTECODE
# number of concurrent test processes; 0 runs all tests in this process, for a debugger
TESTS_AT_ONCE ?= 2
# all tests of a file run in one process, so that they share fixtures
PYTEST = $(BIN)/python -m pytest -n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

help:
	@echo "make quickstart   transfer learning on a small domain, from scratch, in a few minutes"
	@echo "make test         run the test suite in two processes (ARGS=... for pytest)"
	@echo "make test-all     run lint, all tests and the quickstart, one after the other"
	@echo "make test-thorough run the slower tests: store faults, killed processes, several machines"
	@echo "make test-lengthy run the tests of a minute or more each: sweeps and ticks on several machines, Slurm"
	@echo "make test-faults  inject faults at random times on virtual hosts (root, iproute2); RAYTL_FAULT_ROUNDS=20 for the table"
	@echo "make test-store   run the store tests on OpenStack Swift: install it with tests/servers/install-swift.sh"
	@echo "make test-assets  run the tests with real weights and photos: RAYTL_ASSETS, or ../shared/assets"
	@echo "make lint         check style, types, architecture, spelling and vocabulary"
	@echo "make docs         build the documentation in build/docs; a broken link or anchor fails"
	@echo "make bench        measure images/s, compared with the ceiling and a common peer"
	@echo "make dist         build the wheel, the source archive and their SBOM"
	@echo "make audit        check the pinned packages for known vulnerabilities"
	@echo "make lock         pin the dependencies of pyproject.toml with hashes"
	@echo "make clean        delete the environment, the caches and runs/quickstart"

venv: $(STAMP)

# uv installs the versions in constraints.txt and checks the hash of each file. Bytecode is compiled once, here: otherwise
# every Ray process compiles torch and Ray again, which is half of its start-up time.
# An unfinished virtual environment has no stamp; the same commands finish it.
UV_INSTALL = $(BIN)/uv pip install --python $(BIN)/python $(UV_TORCH) --constraint $(VENV)/constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "raytl needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install it (Debian, Ubuntu: apt-get install python3 python3-venv), or specify one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot create virtual environments: its venv module is missing." >&2; \
	  echo "Install it (Debian, Ubuntu: apt-get install python3-venv), or specify another: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@sed -E '$(TORCH_EDIT)' constraints.txt > $(VENV)/constraints.txt
	@sed -n '/^uv==/,/[^\]$$/p' constraints.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	@echo "installing into $(VENV) (torch is large) ..."
	@$(UV_INSTALL) --compile-bytecode --build-constraint constraints.txt --editable '.[dev]' \
	  || { echo "Installation failed; see above. $(TORCH_ADVICE)" >&2; exit 1; }
	@touch $@

# pin the dependencies of pyproject.toml with hashes; ARGS="--upgrade" or "--upgrade-package NAME" upgrades versions. torch
# is pinned with === so that only the builds of the registry match, never a local build such as 2.13.0+cpu
LOCK := $(VENV)/lock.txt
lock: $(STAMP)
	@sed -E 's/===/==/' constraints.txt > $(LOCK)
	@$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file $(LOCK) $(ARGS)
	@{ sed -n '/^#/p' constraints.txt; sed -E 's/^(torch|torchvision)==/\1===/' $(LOCK); } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

# the wheel, the source archive, and the SBOM of the run-time dependencies (CycloneDX)
dist: $(STAMP)
	@rm -rf dist
	@$(UV_INSTALL) --quiet cyclonedx-bom
	@$(BIN)/uv build --quiet --python $(BIN)/python --build-constraint constraints.txt --require-hashes
	@$(BIN)/uv pip compile --quiet pyproject.toml --constraint constraints.txt --no-annotate --no-header --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --output-file $(VENV)/runtime.txt
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type library --output-reproducible \
	  --output-file dist/raytl.cdx.json $(VENV)/runtime.txt
	@ls -l dist

# the documentation; a broken link or anchor fails, and so does an undocumented key, command or function
docs: $(STAMP)
	@$(UV_INSTALL) --quiet mkdocstrings-python zensical
	@$(BIN)/python -m docs.generate
	@$(BIN)/zensical build --strict --clean
	@echo "built: build/docs/index.html"

# known vulnerabilities of the pinned versions; fails if the advisories are unavailable
audit: $(STAMP)
	@$(UV_INSTALL) --quiet pip-audit
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement constraints.txt

quickstart: $(STAMP)
	@$(BIN)/python -m experiments.quickstart.run

test: $(STAMP)
	@$(PYTEST) $(ARGS)

test-thorough: $(STAMP)
	@$(PYTEST) -m "thorough and not lengthy and not assets and not real_store" $(ARGS)

test-lengthy: $(STAMP)
	@$(PYTEST) -m "lengthy and not assets and not real_store" $(ARGS)

test-store: $(STAMP)
	@$(PYTEST) -m "real_store and not assets" $(ARGS)

test-assets: $(STAMP)
	@$(PYTEST) -m assets $(ARGS)

# uses virtual hosts on this machine, so run one test at a time
test-faults: $(STAMP)
	@$(BIN)/python -m pytest -m faults $(ARGS)

test-all: lint test quickstart test-store test-assets test-thorough test-lengthy test-faults

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict raytl tests/api/user_script.py
	@$(BIN)/codespell
	@$(PYTEST) -q tests/architecture

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)
	@$(BIN)/python -m experiments.bench.train $(ARGS)

clean:
	rm -rf $(VENV) build dist .cache .mypy_cache .pytest_cache .ruff_cache runs/quickstart
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
