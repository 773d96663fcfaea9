# Each target sets up what it needs in .venv, from Python 3.11+ alone (test-clients also needs Node).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOWEST := .venv-lowest
PYTEST := pytest -n 2 --dist worksteal

SEEDS ?= 10000
CHILDREN ?= 2
MUTANTS ?=
FORMS := $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

# What `lowest` runs: all that depends on a dependency. The rest are texts, files and tables of our own.
MAIN_PATHS := tests/platforms tests/upstream tests/transports tests/commands tests/writes/test_executor.py \
	tests/writes/test_journal.py tests/test_app.py tests/test_cli.py tests/test_consent.py tests/test_settings.py
# The tools that run them, at the versions in constraints.txt.
TEST_TOOLS := h11|hypothesis|pytest|pytest-xdist|retell-sdk|trustme

.PHONY: demo test coverage lowest check imports attack simulate simulate-bugs format lint types test-clients evals conformance packages distributions bundle image plugin goldens fuzz mutants picture bench clean

demo: $(VENV)/.run ## watch a client use the server, against the sandbox
	@$(BIN)/phone-number-mcp demo

test: $(VENV)/.dev ## run the tests, two at a time
	@$(BIN)/$(PYTEST)

coverage: $(VENV)/.dev ## run the tests, and show which lines and branches they leave out, in the servers that they start as well
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m $(PYTEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lowest: $(LOWEST)/.made ## run the tests of the main paths with the oldest dependencies that pyproject.toml allows
	@$(LOWEST)/bin/$(PYTEST) -p no:cacheprovider $(MAIN_PATHS) -k 'not does_not_jam_the_rest' # its own client hangs with anyio below 4.13; the server does not

check: lint types imports coverage lowest evals attack simulate simulate-bugs test-clients conformance packages ## everything that CI runs; the tests run under coverage

attack: $(VENV)/.dev ## several processes at once on one journal, 50 rounds; `make test` has 10
	@$(BIN)/$(PYTEST) tests/writes/test_processes.py tests/writes/test_money_processes.py \
		-k 'several_processes or no_platform_holds_more' --rounds 50

simulate: $(VENV)/.dev ## run the write protocol in virtual time, SEEDS=10000 histories
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS)

simulate-bugs: $(VENV)/.dev ## plant each bug of tests/simulation/bugs, and see that the simulation catches it
	@PYTHONPATH=tests $(BIN)/python -m simulation.planted

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/actionlint -shellcheck= -pyflakes=
	$(BIN)/zizmor --offline --no-progress --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(FORMS)

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev ## one direction of imports, and who speaks HTTP and MCP
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## format, and fix what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

goldens: $(VENV)/.dev ## write the goldens and the documentation's tables anew, to be read in review
	@$(BIN)/pytest --update-goldens tests/test_goldens.py tests/test_packages.py

fuzz: $(VENV)/.dev ## a minute of bytes that are no messages
	@$(BIN)/pytest tests/transports/test_fuzz.py --fuzz-seconds 60

mutants: $(VENV)/.mutants ## change the code in small ways, and see which changes no test notices; takes hours, so not in `check`
	@mkdir -p .mutants && ln -sfn ../server .mutants/src
	@for name in tests scripts packaging pyproject.toml; do ln -sfn ../$$name .mutants/$$name; done
	@cd .mutants && ../$(BIN)/mutmut run --max-children $(CHILDREN) $(MUTANTS)
	@cd .mutants && ../$(BIN)/mutmut results

picture: $(VENV)/.dev ## draw docs/demo.svg anew
	@$(BIN)/python scripts/picture.py

test-clients: $(VENV)/.dev ## the clients that people use against the real server; UPDATE=--update writes docs/clients-matrix.md
	@PYTHONPATH=tests $(BIN)/python -m clients.judge $(UPDATE)

evals: $(VENV)/.dev ## replay the recorded solutions of evals/tasks; UPDATE=--update writes what they cost; MODEL=… BASE_URL=… lets a model solve them
	@$(BIN)/python -m evals $(UPDATE) $(if $(ONLY),--only '$(ONLY)') $(if $(MODEL),--model '$(MODEL)') $(if $(BASE_URL),--base-url '$(BASE_URL)')

conformance: $(VENV)/.dev ## the official conformance suite against the server over HTTP; needs npm
	@$(BIN)/python tests/conformance/judge.py

packages: distributions bundle image plugin ## build and check all that is published

distributions: $(VENV)/.packages ## the wheel and the sdist, into dist/; the wheel is tried in a clean environment
	@$(BIN)/python packaging/distributions.py
	@tests/try_wheel $(BIN)/python dist/*.whl

bundle: $(VENV)/.packages ## the .mcpb for Claude Desktop, into dist/, and the server in it started (needs Node)
	@$(BIN)/python packaging/bundle.py

image: $(VENV)/.packages ## lint the Dockerfile and run its commands, without Docker
	@$(BIN)/python packaging/image.py

plugin: $(VENV)/.packages ## validate the plugin for Claude Code, its marketplace and its skill
	@$(BIN)/python packaging/plugin.py

bench: $(VENV)/.base ## measure beside other servers, a quarter of an hour on a quiet machine; writes benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks.bench --write

$(VENV)/.base: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=…") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --constraint constraints.txt 'pip>=25.1'
	@touch $@

$(VENV)/.run: $(VENV)/.base pyproject.toml
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) install --constraint constraints.txt --group dev
	@touch $@

$(VENV)/.packages: $(VENV)/.dev
	@$(PIP) install --constraint constraints.txt --group packages
	@touch $@

$(LOWEST)/.made: pyproject.toml constraints.txt $(VENV)/.packages
	@$(BIN)/uv --quiet venv --clear --python $(BIN)/python $(LOWEST)
	@grep -E '^($(TEST_TOOLS))==' constraints.txt > $(LOWEST)/tools.txt
	@$(BIN)/uv --quiet pip install --python $(LOWEST)/bin/python --resolution lowest-direct \
		--editable '.[http]' --requirement $(LOWEST)/tools.txt
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	@$(PIP) install --constraint constraints.txt --group mutants
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) .coverage .mutants dist packaging/mcpb/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf tests/clients/.envs tests/clients/*/node_modules tests/conformance/node_modules benchmarks/.envs
