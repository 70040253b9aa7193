# Needs python3 (3.11 or newer), pip (22.3 or newer) and make; all else goes into .venv.
#   make run                    PORT=8080 make run      make run ARGS="check"
#   make check                  what has to hold before a change goes in; CI runs the same
#   make test ARGS="-k ranking" make help

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
LITE   := .venv-litellm
BIN    := $(VENV)/bin
UV     := uv==0.13.9

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install run test check format check-format lint types docs bench coverage lock clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

install: $(VENV)/.dev $(LITE)/.dev ## set up .venv with everything a developer needs

run: $(VENV)/.run ## start the gateway; settings come from the environment, .env and proxy.toml
	@$(BIN)/python app.py $(ARGS)

check: check-format lint types test ## the gate: format, lint, types, and all tests (with those of the docs)

test: $(VENV)/.dev $(LITE)/.dev ## run the tests
	@echo "Tests (pytest)"
	@$(BIN)/python -m pytest $(ARGS)

format: $(VENV)/.dev ## rewrite the code into the house format
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format .

check-format: $(VENV)/.dev ## is the code in the house format?
	@echo "Format (ruff format)"
	@$(BIN)/ruff format --check . || { echo 'To mend this: make format'; exit 1; }

# ASYNC127 advises another client than httpx; httpx is this project's fixed choice.
# ASYNC9.. are optional rules of style, for libraries that promise a checkpoint in every function; ASYNC124 is one of them
# in all but name. ASYNC114 wants every startable function listed by name.
UNASKED := ASYNC127,ASYNC124,ASYNC114,ASYNC9
lint: $(VENV)/.dev ## look for mistakes
	@echo "Lint (ruff check, flake8-async)"
	@$(BIN)/ruff check .
	@$(BIN)/python -m flake8 --select ASYNC --extend-ignore $(UNASKED) --per-file-ignores "tests/*:ASYNC110,ASYNC113,ASYNC128" \
		--extend-exclude $(VENV),$(LITE),build,tests/conformance/run_cases.py .

types: $(VENV)/.dev ## check the types, strictly
	@echo "Types (mypy --strict)"
	@$(BIN)/mypy

docs: $(VENV)/.dev ## do the docs' links lead somewhere, and do the docs name all there is?
	@$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

bench: $(VENV)/.dev ## measure
	@$(BIN)/python bench/run.py $(ARGS)

coverage: $(VENV)/.dev ## run the tests and show which branches none of them takes
	@$(BIN)/coverage run -m pytest -q $(ARGS)
	@$(BIN)/coverage report

# Keeps the versions the locks already name, where they still fit; `make lock ARGS=--upgrade` takes the newest.
# uv is only this target's tool. It resolves for all systems and Pythons at once, and writes no index into the locks.
COMPILE = "$$tmp/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --only-binary :all: \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $(ARGS)
lock:            ## write requirements.lock and requirements-dev.lock anew from pyproject.toml
	@echo "Resolving versions and hashes"
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(call make_venv,"$$tmp") && \
	$(call pip_install,"$$tmp",$(UV)) && \
	$(COMPILE) -o requirements.lock && \
	$(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock && \
	$(COMPILE) --extra litellm -c requirements.lock -o requirements-litellm.lock

clean:           ## remove .venv, caches and build products
	@rm -rf $(VENV) $(LITE) build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call make_venv,DIR): a virtual environment, with pip inside where Python brings one (Debian's may not).
make_venv = { $(PYTHON) -m venv --clear $(1) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(1); }

# $(call pip_install,DIR,WHAT): with the environment's own pip, or else with the one outside it.
pip_install = { if $(1)/bin/python -m pip --version >/dev/null 2>&1; then set -- $(1)/bin/python -m pip; \
	else set -- $(PYTHON) -m pip --python $(1)/bin/python; fi; \
	"$$@" install --quiet --disable-pip-version-check --only-binary :all: $(2); }

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo 'Python 3.11 or newer is needed. Where it has another name: make PYTHON=python3.12 ...'; exit 1; }
	@$(call make_venv,$(VENV))

$(VENV)/.run: requirements.lock | $(BIN)/python
	@echo "Setting up $(VENV) for running (once, about a minute)"
	@$(call pip_install,$(VENV),--require-hashes -r requirements.lock)
	@touch $@

# The development lock holds the very versions of the other and more, so this one is enough for running too.
$(VENV)/.dev: requirements-dev.lock | $(BIN)/python
	@echo "Setting up $(VENV) for development (once, about two minutes)"
	@$(call pip_install,$(VENV),--require-hashes -r requirements-dev.lock)
	@touch $(VENV)/.run $@

# LiteLLM wants older SDKs of its vendors than those everything else is tested with.
$(LITE)/.dev: requirements-litellm.lock | $(BIN)/python
	@echo "Setting up $(LITE) for the tests with LiteLLM (once, about a minute)"
	@$(call make_venv,$(LITE))
	@$(call pip_install,$(LITE),--require-hashes -r requirements-litellm.lock)
	@touch $@
