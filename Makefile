# Everything a newcomer needs is a target; `make` alone lists them. What is set up already is left
# alone, so every target is quick the second time. Tests run in as many processes as the cores are
# worth; PYTEST adds to what pytest is told: make test PYTEST=--durations=60

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# uv is the one that the set-up script put into .tools, or this machine's own.
UV = $$(ls .tools/bin/uv 2>/dev/null || command -v uv)
BIN := .venv/bin
SYSTEM := .tools/system.stamp
PYTHON := .venv/forge.stamp

.PHONY: help setup web run chat demo test check fmt image openapi bench clean
.PHONY: microvm-setup-linux microvm-setup-macos microvm-setup-windows

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 30

setup: $(PYTHON) ## Install what Forge needs: system packages, then Python's
	@:

$(SYSTEM): scripts/setup-debian.sh
	@scripts/setup-debian.sh
	@mkdir -p $(@D) && touch $@

$(PYTHON): pyproject.toml uv.lock $(SYSTEM)
	@UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --quiet
	@ln -sf "$$(realpath $(UV))" $(BIN)/uv
	@touch $@

# What was built says from which sources, so this takes no time where they are the same.
web: setup ## Build the console's pages, where what is built is not what web/ has now
	@$(BIN)/python scripts/console.py build

run: web ## Set everything up, then start Forge; it says where to open it
	@exec $(BIN)/forge serve

chat: setup ## Set everything up, then start a conversation in the terminal
	@exec $(BIN)/forge chat

demo: setup ## Show a machine's whole life, step by step, with times
	@exec $(BIN)/forge demo

image: setup ## Build what machines boot from, where it is missing
	@exec $(BIN)/forge image build

microvm-setup-linux: ## Make this Linux a host for machines, its own or another Forge's
	@scripts/linux/setup.sh

microvm-setup-macos: ## On a Mac: make a Linux with Lima that is (not verified on hardware)
	@scripts/macos/setup.sh

microvm-setup-windows: ## On Windows: make a WSL2 distribution that is (not verified on hardware)
	@powershell.exe -ExecutionPolicy Bypass -File scripts/windows/setup.ps1

test: check image web ## Set everything up, then run every check and test
	@$(BIN)/pytest -q -n auto $(PYTEST)

check: setup ## Format, lint, types and walls, and the console's own tests
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports >.tools/walls.log 2>&1 || { cat .tools/walls.log; exit 1; }
	@$(BIN)/python scripts/console.py check

fmt: setup ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

openapi: setup ## Write docs/api/openapi.json, and the console's types, as the routes are now
	@$(BIN)/python scripts/openapi.py
	@$(BIN)/python scripts/webtypes.py

bench: setup image ## Measure what SPECIFICATION.md promises
	@exec $(BIN)/python benchmarks/all.py

clean: ## Remove what set-up and tests made in this folder; FORGE_HOME is not touched
	@rm -rf web/node_modules src/forge/_web .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
