# make demo     watch a real cluster lose its active node, and clients keep their address (root, Debian 12)
# make test     every tier of tests (root, Debian 12)
# make pythons  tests/unit and tests/agent with Python 3.9 and the oldest SDK, and with 3.13 and the newest, where these
#               Pythons are (root, Debian 12); part of make test
# make bench    measure the agent beside aws-vpc-move-ip, into docs/performance.md (root, Debian 12, an hour)
# make check    ruff and mypy
# make install  the agent for this machine's Pacemaker
# Each does its own set-up: Debian packages where missing, a virtual environment in .venv, this package in it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PEER := $(VENV)/peer

.PHONY: demo test pythons bench check install clean debian

demo: debian $(VENV)/.lab
	$(BIN)/aws-ipfailover lab demo $(DEMO)

test: debian $(VENV)/.dev check
	@scripts/test $(TESTS)

pythons: debian
	@scripts/pythons $(TESTS)

bench: debian $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.agent
	$(BIN)/aws-ipfailover install $(if $(ROOT),--root $(ROOT))

clean:
	rm -rf $(VENV) dist build

debian:
	@scripts/debian-packages

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/debian-packages
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.agent: pyproject.toml | $(BIN)/python
	@echo "Installing aws-ipfailover into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.lab: pyproject.toml | $(BIN)/python
	@echo "Installing aws-ipfailover with the lab (moto, cryptography, rich) into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[cli,lab]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing aws-ipfailover with the lab and the test tools (pytest, mypy, ruff) into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[cli,lab]' --group dev
	@touch $@ $(VENV)/.lab

# The peer's AWS CLI has an environment of its own: it pins the SDK.
$(VENV)/.bench: pyproject.toml $(VENV)/.lab
	@echo "Installing matplotlib into $(VENV), and the AWS CLI into $(PEER)"
	@$(BIN)/python -m pip install --quiet --group bench
	@$(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/python -m pip install --quiet awscli
	@touch $@
