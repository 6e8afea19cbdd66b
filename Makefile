# Every target works by itself on a machine with Java, Maven, Python >= 3.11 and make: it first
# creates the virtual environment that it needs.

# Each of the many processes that tests start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11 python3
# Three processes run tests on two cores, as tests often wait: a file each at a time. Tests marked with
# `alone` run while no other does.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-clients lint bench soak torture siege settings lock audit sbom clean

help: ## show this list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST)
	@echo 'PYTHON=/path/to/python selects the Python for a new $(VENV).'

demo: $(RUNTIME) ## the product with real parts, step by step (KEEP=1: leave it running)
	@$(BIN)/python -m demo.tour $(if $(KEEP),--keep) $(ARGS)

# Lint runs beside the tests; what it says comes after what they say, if anything is wrong.
LINTED = mkdir -p build; $(MAKE) --no-print-directory lint > build/lint.log 2>&1 & lint=$$!; \
	$(1); tests=$$?; \
	wait $$lint; lint=$$?; if [ $$lint -ne 0 ]; then cat build/lint.log; fi; exit $$((tests | lint))

quick: $(INSTALLED) ## lint, unit tests and contract cases, for the loop at the desk (ARGS='-k name' selects)
	@$(call LINTED,$(PYTEST) tests/unit tests/contract $(ARGS))

test: $(INSTALLED) ## lint and all tests but those of test-clients (ARGS='-k name' selects)
	@$(call LINTED,$(PYTEST) -m 'not clients' $(ARGS))

test-clients: $(INSTALLED) ## all clients, also those that need Go, Node.js, Ruby and PHP
	$(BIN)/python -m tests.support.runtimes
	$(PYTEST) tests/integration/test_clients_*.py tests/integration/test_kibana_streams.py $(ARGS)

lint: $(INSTALLED) ## formatting, lint rules, types, who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## speed, compared with other proxies (ARGS=inference: one part; bench/__main__.py lists them)
	$(BIN)/python -m bench $(ARGS)

soak: $(INSTALLED) ## many kinds of callers for MINUTES=30: memory and open files must not grow
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30) $(ARGS)

torture: $(INSTALLED) ## kill proxies and Elasticsearch under load: nothing may be lost (ARGS='--rounds 20 --bulks 5 --seed 7')
	$(BIN)/python -m tests.torture $(ARGS)
	$(BIN)/python -m pytest tests/integration/test_memory.py

siege: $(INSTALLED) ## attack a proxy: nobody else may notice, nor memory grow (ARGS='--seconds 5 --only NAME')
	$(BIN)/python -m tests.siege $(ARGS)

settings: $(INSTALLED) ## write docs/configuration.md and configs/proxy.yml anew from proxy/config/values.py
	$(BIN)/python -m release.settings

lock: $(INSTALLED) ## rewrite requirements.lock: what the image installs, with hashes
	$(BIN)/python -m release.lock

audit: $(INSTALLED) ## check requirements.lock for known vulnerabilities (exit code 2: could not be checked)
	$(BIN)/python -m release.audit

# The image's build writes the same; here its packages are only unpacked.
sbom: $(INSTALLED) ## write what the image contains to build/sbom.cdx.json (CycloneDX)
	rm -rf build/image
	$(BIN)/uv pip install --quiet --target build/image --no-deps --require-hashes \
	    --only-binary :all: --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
	    --requirement requirements.lock
	$(BIN)/uv pip uninstall --quiet --target build/image setuptools
	$(BIN)/uv pip install --quiet --target build/image --no-deps .
	$(BIN)/python -m release.sbom build/image > build/sbom.cdx.json

clean: ## remove what was built here, but not the cache folder of models and servers
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs: the proxy and its local models.
$(RUNTIME): setup.cfg pyproject.toml constraints.txt
	@for python in $(CANDIDATES) none; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
	    echo 'Python 3.11 or newer is needed: install it, or name it: make PYTHON=...' >&2; \
	    exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; \
	    exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@echo "Installing the proxy and the libraries of its local models"
	@$(PIP) -e '.[local]'
	@touch $@

# What checks, measures and releases it, beside that.
$(INSTALLED): $(RUNTIME)
	@echo 'Installing the tools of developers'
	@$(PIP) -e '.[local,dev]'
	@touch $@
