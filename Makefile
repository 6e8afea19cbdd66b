# Every target works alone on a machine with Java, Maven, Python >= 3.11 and make:
# it first makes the virtual environment that it needs.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11 python3
# Two processes run the tests of a file each; a test that is marked with `alone` has both to itself.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-clients lint bench soak torture lock audit sbom clean

help: ## show this list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST)
	@echo 'PYTHON=/path/to/python chooses another Python for a new $(VENV).'

demo: $(INSTALLED) ## the whole product on real parts, step by step (KEEP=1: leave it running)
	$(BIN)/python -m demo.tour $(if $(KEEP),--keep)

quick: lint ## lint, then unit tests and contract cases: for every change (ARGS='-k name' chooses)
	$(PYTEST) tests/unit tests/contract $(ARGS)

test: lint ## lint, then every test but test-clients (ARGS='-k name' chooses)
	$(PYTEST) -m 'not clients' $(ARGS)

test-clients: $(INSTALLED) ## all clients, also those that need Go, Node.js, Ruby and PHP
	$(BIN)/python -m tests.support.runtimes
	$(PYTEST) tests/integration/test_clients_*.py tests/integration/test_kibana_streams.py $(ARGS)

lint: $(INSTALLED) ## formatting, lint rules, types, who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## speed, compared with other proxies (ARGS=forwarding, ARGS=elasticsearch: one part)
	$(BIN)/python -m bench $(ARGS)

soak: $(INSTALLED) ## callers of every kind for MINUTES=30: whether memory and files stay as they are
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30) $(ARGS)

torture: $(INSTALLED) ## proxies and Elasticsearch killed under load: is anything lost? (ARGS='--rounds 20 --seed 7')
	$(BIN)/python -m tests.torture $(ARGS)
	$(BIN)/python -m pytest tests/integration/test_memory.py

lock: $(INSTALLED) ## write requirements.lock anew: what the image installs, with hashes
	$(BIN)/python -m release.lock

audit: $(INSTALLED) ## ask for known vulnerabilities in that; exit code 2: could not be asked
	$(BIN)/python -m release.audit

# The image makes the same of itself; here its packages are only unpacked.
sbom: $(INSTALLED) ## list what the image holds as CycloneDX JSON, in build/sbom.cdx.json
	rm -rf build/image
	$(BIN)/uv pip install --quiet --target build/image --no-deps --require-hashes \
	    --only-binary :all: --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
	    --requirement requirements.lock
	$(BIN)/uv pip uninstall --quiet --target build/image setuptools
	$(BIN)/uv pip install --quiet --target build/image --no-deps .
	$(BIN)/python -m release.sbom build/image > build/sbom.cdx.json

clean: ## remove what was built here; fetched models and servers stay in the cache folder
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@for python in $(CANDIDATES) none; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
	    echo 'Python 3.11 or newer is needed: install it, or say where it is: make PYTHON=...' >&2; \
	    exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; \
	    exit 1; \
	fi; \
	echo "Installing into $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@touch $@
