# `make help` prints the targets. What they do is in deploy/local (Python); this file only names it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
RUN := .venv/bin/python
LOCAL := $(RUN) -m deploy.local
# Only what stands on the command line chooses a cluster; an exported KUBECONFIG does not.
CLUSTER := $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG)) $(if $(SERVER_IP),--server-ip $(SERVER_IP))
PIP_COMPILE := env -u PIP_FIND_LINKS .venv/bin/pip-compile -q --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header

##@ Use
setup: .venv/.ready ## make .venv with everything in it, from the lock file
demo: setup ## bring all of it up and show policies at work (ARGS=--wait: with scheduled deletions)
	@$(LOCAL) demo $(ARGS)
up: setup ## start a local control plane and the operators (KUBECONFIG=file SERVER_IP=address: on your cluster; ARGS=--service)
	@$(LOCAL) up $(CLUSTER) $(ARGS)
down: setup ## stop them
	@$(LOCAL) down
status: setup ## tell what of them runs
	@$(LOCAL) status

##@ Check
test: setup tools ## run all tests; those that need a cluster or an image registry start their own (ARGS=-k name)
	@$(LOCAL) tools registry --if-possible && $(RUN) -m pytest $(ARGS)
test-slow: setup tools ## run the tests that take minutes each
	@$(RUN) -m pytest -m slow $(ARGS)
fuzz: setup ## run the property tests on documents never tried before (ARGS="--hypothesis-seed=1")
	@$(RUN) -m pytest -m hypothesis --hypothesis-profile=fuzz $(ARGS)
lint: setup ## ruff and mypy
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy && $(RUN) -m mypy -p deploy.local
shape: setup ## the ten longest modules and functions; files over 400 lines
	@$(RUN) -m tests.build.shape
conformance: setup tools ## Kyverno's own cluster tests against a fresh cluster (AREAS="filter autogen", TESTS=substring)
	@$(RUN) -m tests.conformance.chainsaw $(foreach area,$(AREAS),--area $(area)) $(foreach test,$(TESTS),--test $(test)) $(ARGS)
perf: setup tools ## build the load tools and run the measurements in perf/
	@$(LOCAL) tools load && $(RUN) -m perf.admission $(ARGS)

##@ Make again
golden: setup ## renew the golden files of tests
	@for part in go_yaml kyaml; do \
	  (cd tests/golden/$$part && ../../../$(RUN) inputs.py | go run . > golden.json.new && mv golden.json.new golden.json) || exit 1; \
	done
docs: setup ## write docs/cli.md and the outputs in the guides anew
	@$(RUN) -m cli.main docs -o docs/cli.md && $(RUN) -m tests.docs.guide
crds: setup ## write crds/*.yaml from crds/source
	@$(RUN) -m crds.source
lock: setup ## resolve the packages anew
	@$(PIP_COMPILE) --extra operators -o requirements.lock pyproject.toml
	@$(PIP_COMPILE) --extra operators --extra dev -o requirements-dev.lock pyproject.toml

##@ Parts
tools: setup ## find the control plane's programs, or build them from Go modules (once)
	@$(LOCAL) tools --if-possible
help: ## print this
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

.venv/.ready: requirements-dev.lock pyproject.toml
	@for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	test -n "$$python" || { echo "error: no Python >= 3.11 found: install one, or name it with PYTHON=..." >&2; exit 1; }; \
	echo "setting up .venv with $$($$python --version)"; \
	test -x .venv/bin/python || $$python -m venv .venv
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@PYTHONWARNINGS=ignore .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup demo up down status test test-slow fuzz lint shape conformance perf golden docs crds lock tools help
