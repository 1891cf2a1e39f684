# DeployStack. `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One list for every system and Python that the bot runs on.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --custom-compile-command 'make lock'

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.txt pyproject.toml
	@./deploy/prepare.sh venv "$(PYTHON)" $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## Create the virtual environment and install what the bot needs

.PHONY: programs
programs: ## Install the programs that builds use, where this machine lacks them
	@./deploy/prepare.sh run

.PHONY: start
start: setup programs ## Run the bot: web and worker, until Ctrl-C
	@exec $(BIN)/deploystack start

.PHONY: demo
demo: setup programs ## Push a commit to a small repository and show its page
	@$(BIN)/deploystack demo

.PHONY: stop
stop: setup ## Stop a bot that `make demo` started
	@$(BIN)/deploystack stop

.PHONY: test-setup
test-setup: $(VENV)/.installed-dev
	@./deploy/prepare.sh test

.PHONY: test
test: test-setup ## Run every test
	$(BIN)/python -m pytest $(TESTS)

.PHONY: test-frameworks
test-frameworks: test-setup ## Build every framework for real (an hour)
	@./deploy/prepare.sh frameworks
	$(BIN)/python -m pytest -m frameworks tests/frameworks $(TESTS)

.PHONY: test-fleet
test-fleet: test-setup ## Put five machines through every kind of trouble (ten minutes)
	$(BIN)/python -m pytest -m fleet tests/fleet $(TESTS)

.PHONY: check
check: $(VENV)/.installed-dev ## Lint, format, types, who imports whom, and the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml -ll -ii bot
	@found=$$($(BIN)/pip-audit --requirement requirements-dev.txt --no-deps --disable-pip \
	  --progress-spinner off 2>/dev/null); status=$$?; \
	echo "$$found" | awk '/could not be audited/ { unknown++; next } /^(Name +Skip Reason|-+ -+)$$/ { next } \
	  { print } END { if (unknown) print unknown " packages are not known to the index that was asked" }'; \
	exit $$status
	$(BIN)/python -m pytest -q tests/test_settings.py

.PHONY: lock
lock: setup ## Pin what the *.in files ask for, and what that needs, with digests
	$(BIN)/$(LOCK) requirements.in --output-file requirements.txt
	$(BIN)/$(LOCK) requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt
