# Needs make and Python 3.10 or newer. Everything is installed into $(VENV), nothing elsewhere.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# With an AIRFLOW_HOME of its own: the pages document classes that import Airflow, which reads its settings there.
SPHINX = AIRFLOW_HOME='$(CURDIR)/docs/_build/airflow' .venv-docs/bin/sphinx-build --quiet --nitpicky
INPUTS := pyproject.toml constraints.txt requirements-dev.txt scripts/make_venv.sh

# Another pair of Airflow and Python gets an environment of its own:
#   make test PYTHON=python3.12                    another Python
#   make test AIRFLOW=3.0                          another Airflow, and the newest of what it allows beside it
#   make test AIRFLOW=3.4.0b2                      the same with a pre-release
#   make test VERSIONS=highest                     the newest of everything
#   make test VERSIONS=lowest PYTHON=python3.10    what pyproject.toml names, Airflow too, at its lower bound
OTHER_PYTHON := $(filter-out python3,$(PYTHON))
OTHER := $(AIRFLOW:%=-airflow-%)$(VERSIONS:%=-%)$(OTHER_PYTHON:%=-$(notdir $(PYTHON)))
ifneq ($(OTHER),)
VENV := .venv$(OTHER)
endif
ifneq ($(AIRFLOW)$(VERSIONS),)
export CONSTRAINTS := $(if $(filter lowest,$(VERSIONS)),pyproject.toml,/dev/null)
endif
# What an Airflow does not work with, although its metadata allow it.
BESIDE_3.0 := 'fastapi<0.117' 'pyjwt<2.11'
BESIDE_3.2 := 'cadwyn<7' 'fastapi<0.136' 'pydantic<2.13' 'svcs<26.2'
# 3.2 is its newest release, 3.4.0b2 is one release.
ANY := $(if $(findstring a,$(AIRFLOW))$(findstring b,$(AIRFLOW))$(findstring rc,$(AIRFLOW)),,.*)
SPACE := $(subst x,,x x)
# 3.0 of 3.0 and of 3.0.6
AIRFLOW_LINE := $(subst $(SPACE),.,$(wordlist 1,2,$(subst ., ,$(AIRFLOW))))
OTHER_AIRFLOW := $(AIRFLOW:%='apache-airflow==%$(ANY)') $(BESIDE_$(AIRFLOW_LINE))

export PYTHON
# If this were set, each start of Airflow would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-airflow test-airflows test-pre-release test-e2e test-e2e-3.0 test-e2e-3.2 test-faults \
    test-system test-browser test-cluster pictures figures lint format build docs docs-links release-check bench \
    bench-waiting bench-logins bench-hostile fuzz audit constraints clean

help: ## Show this
	@sed -n 's/^\([a-z0-9.-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(VENV)/installed ## Run a workflow on a real Airflow and show what comes back
	@$(BIN)/python scripts/demo.py

ui: $(VENV)/installed ## The same in Airflow's own pages, until Ctrl-C
	@$(BIN)/python scripts/demo.py --ui

# Several processes run all tests, each file in one of them; the tests that ARGS names run one after the other.
# Four processes, as many tests wait.
test: $(VENV)/installed-dev ## Run all tests
	$(BIN)/python -m pytest $(or $(ARGS),-n 4 --dist loadfile --no-loadscope-reorder)

# One file's DAG runs take most of the time, one after the other.
test-airflow: $(VENV)/installed-dev ## Run the tests that Airflow makes a difference to
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/airflow tests/packaging

# The newest release of each Airflow that constraints.txt does not name, on the Pythons in turn.
OTHER_AIRFLOWS = 2.11/python3.12 3.0/python3.12 3.1/python3.13 3.2/python3.12
test-airflows: $(OTHER_AIRFLOWS:%=test-airflow/%) ## Run these tests on each other supported Airflow
test-airflow/%:
	$(MAKE) test-airflow AIRFLOW=$(*D) PYTHON=$(*F)

# It succeeds in any case, as what fails there may change before the release.
test-pre-release: ## Run these tests on the newest pre-release of Airflow, and report what fails
	@version=$$(python3 -m pip install --pre --no-deps --dry-run --ignore-installed apache-airflow \
	    | sed -n 's/^Would install apache-airflow-//p'); \
	echo "The newest Airflow, pre-releases included: $${version:?cannot be looked up}"; \
	$(MAKE) test-airflow AIRFLOW=$$version || echo "These tests fail on Airflow $$version."

test-e2e: $(VENV)/installed-dev ## Kill tasks at every step on a whole Airflow, search for secrets; about eight minutes
	$(BIN)/python -m pytest tests/e2e $(ARGS)

# One job per task before Airflow 3.3, too, where Airflow keeps no note.
test-e2e-3.0: ## Kill and clear tasks on a whole Airflow 3.0
test-e2e-3.2: ## The same on a whole Airflow 3.2
test-e2e-3.0 test-e2e-3.2: test-e2e-%:
	$(MAKE) test-e2e AIRFLOW=$* PYTHON=python3.12 ARGS="-k 'test_deaths or test_acts_of_users'"

# Another seed, or more of everything:  make test-faults SEED=7 TIMES=10
test-faults: $(VENV)/installed-dev ## Thousands of calls and waits while a fifth of all requests fails; two minutes
	$(BIN)/python -m pytest tests/faults $(SEED:%=--seed %) $(TIMES:%=--times %) $(ARGS)

# By the connection in AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT:  make test-system WORKFLOW=<the id of yours>
test-system: $(VENV)/installed-dev ## Run the examples against your own Explorer; see CONTRIBUTING.md
	$(BIN)/python -m pytest tests/system $(WORKFLOW:%=--workflow %) $(ARGS)

test-browser: $(VENV)/installed-browser ## Use the package in Airflow's pages, in a browser; about two minutes
	$(BIN)/python -m pytest -x tests/browser $(ARGS)

test-cluster: $(VENV)/installed-cluster ## Kill the parts of a cluster at work; about ten minutes
	$(BIN)/python -m pytest -x tests/cluster $(ARGS)

pictures: $(VENV)/installed-browser ## The same, and put its pictures into docs/images
	$(BIN)/python -m pytest -x tests/browser --pictures docs/images

figures: ## Draw the figures in docs/images from the tables of docs/performance.md
	$(PYTHON) docs/figures.py

lint: $(VENV)/installed-dev ## Check style, types, and the workflows in .github
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

format: $(VENV)/installed-dev ## Fix style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(VENV)/installed-dev ## Build wheel and sdist into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

docs: .venv-docs/installed ## Build the documentation into docs/_build/html, strictly
	rm -rf docs/_build/html
	$(SPHINX) --fail-on-warning --keep-going --builder html docs docs/_build/html
	.venv-docs/bin/python scripts/check_site.py docs/_build/html
	@echo "The documentation: docs/_build/html/index.html"

docs-links: .venv-docs/installed ## Check the documentation's links to other sites; needs the internet
	$(SPHINX) --builder linkcheck docs docs/_build/links

release-check: build ## Build, and try what a release would be: contents, version, changelog, the demo
	$(BIN)/python -m pytest tests/release

bench: .venv-bench/installed ## Measure imports and calls, beside peers; see docs/performance.md
	.venv-bench/bin/python benchmarks/client.py

bench-waiting: .venv-bench/installed ## Measure waiting, beside peers; about ten minutes
	.venv-bench/bin/python benchmarks/delays.py
	.venv-bench/bin/python benchmarks/waiting.py $(ARGS)

bench-logins: .venv-bench/installed ## Count logins of tasks and of waits, beside peers; about five minutes
	.venv-bench/bin/python benchmarks/logins.py

bench-hostile: $(VENV)/installed-dev ## Measure what a hostile Explorer costs an honest one's waits; about five minutes
	$(BIN)/python benchmarks/hostile.py

# Longer finds more: make fuzz SECONDS=3600
SECONDS = 60
fuzz: .venv-fuzz/installed ## Try hostile responses, servers, connections and arguments; SECONDS for each of the four
	@mkdir -p .fuzz
	@for target in responses servers connections arguments; do \
	    .venv-fuzz/bin/python fuzz/fuzz.py $$target -max_total_time=$(SECONDS) >.fuzz/$$target.log 2>&1 \
	        || { cat .fuzz/$$target.log; exit 1; }; \
	    echo "$$target: nothing found; $$(tail -n 1 .fuzz/$$target.log)"; \
	done

# Checks what an installation gets today, and what development uses. Fails if it cannot look something up.
audit: .venv-audit/installed ## Check dependencies for known vulnerabilities; needs the internet
	@echo "If PyPI's list of vulnerabilities cannot be reached, this stops at the first package, as if that were unknown."
	.venv-audit/bin/pip-audit --strict --progress-spinner off .
	.venv-audit/bin/pip-audit --strict --progress-spinner off --no-deps --disable-pip --requirement constraints.txt

constraints: ## Pin the newest versions for development into constraints.txt (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate --no-header \
	    --no-emit-package airflow-provider-nebula-explorer \
	    requirements-dev.txt requirements-browser.txt requirements-cluster.txt requirements-docs.txt \
	    requirements-fuzz.txt requirements-audit.txt -o constraints.txt

clean: ## Remove everything that was built or installed here
	rm -rf .venv .venv-* $(VENV) build dist docs/_build .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: $(INPUTS)
	@scripts/make_venv.sh $(VENV) --editable '.[emulator]'
	@touch $@

$(VENV)/installed-dev: $(INPUTS)
	@scripts/make_venv.sh $(VENV) --requirement requirements-dev.txt $(OTHER_AIRFLOW)
	@touch $@ $(VENV)/installed

$(VENV)/installed-browser: $(VENV)/installed-dev requirements-browser.txt
	@scripts/install_packages.sh 'command -v chromium || command -v chromium-browser || command -v google-chrome' \
	    chromium fonts-liberation
	@scripts/make_venv.sh $(VENV) --requirement requirements-browser.txt
	@touch $@

$(VENV)/installed-cluster: $(VENV)/installed-dev requirements-cluster.txt
	@scripts/install_packages.sh 'command -v redis-server' redis-server
	@scripts/install_packages.sh 'command -v initdb || ls /usr/lib/postgresql/*/bin/initdb' postgresql
	@scripts/make_venv.sh $(VENV) --requirement requirements-cluster.txt
	@touch $@

# Without our constraints, as other providers are measured in their newest versions.
.venv-bench/installed: $(INPUTS) requirements-bench.txt
	@CONSTRAINTS=/dev/null scripts/make_venv.sh .venv-bench --requirement requirements-bench.txt
	@touch $@

# An environment of its own, as the site needs neither linters nor tests.
.venv-docs/installed: $(INPUTS) requirements-docs.txt
	@scripts/make_venv.sh .venv-docs --requirement requirements-docs.txt
	@touch $@

.venv-fuzz/installed: $(INPUTS) requirements-fuzz.txt
	@scripts/make_venv.sh .venv-fuzz --requirement requirements-fuzz.txt
	@touch $@

.venv-audit/installed: constraints.txt requirements-audit.txt scripts/make_venv.sh
	@scripts/make_venv.sh .venv-audit --requirement requirements-audit.txt
	@touch $@
