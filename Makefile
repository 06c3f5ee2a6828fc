# make demo     watch a real cluster lose its active node, and clients keep their address (root, Debian 12)
# make test     every tier of tests (root, Debian 12)
# make soak     faults drawn from SEED=1 for MINUTES=30, in MODE=overlay-ip, eni or private-ip, every consumer's answers
#               judged (root, Debian 12)
# make scenarios  every scenario of the lab's catalogue, with SCENARIOS='--agent aws-ipfailover --agent aws-vpc-move-ip' beside
#               the peer (root, Debian 12)
# make examples  load every configuration of crm-examples/ into a real cluster and fail it over, half an hour, into the table
#               of crm-examples/README.md; some of them with EXAMPLES='-k hana' (root, Debian 12)
# make rehearsals  configurations that others have published, each in a lab of its own, into docs/rehearsals.md; three labs
#               at a time with REHEARSALS='--jobs 3', a part of the scenarios with --quick, the rest of what was interrupted
#               in any case (root, Debian 12)
# make tutorials  run every command of docs/tutorials in a lab, and compare what it prints with the pages;
#               TUTORIALS=--write writes it there (root, Debian 12, ten minutes)
# make pythons  tests/unit and tests/agent with Python 3.9 and the oldest SDK, and with 3.13 and the newest, where these
#               Pythons are (root, Debian 12); part of make test
# make bench    measure the agent beside aws-vpc-move-ip, into docs/performance.md (root, Debian 12, an hour)
# make screens  take the pictures of docs/commands.md in a lab, and write that page (root, Debian 12)
# make docs     the documentation as a site, in dist/site: it fetches nothing from elsewhere, and has no link that is broken
# make check    ruff and mypy
# make lock     what all of these install with pip: the versions and hashes in requirements/, from pyproject.toml; with
#               UPGRADE=1 the newest versions
# make audit    ask the package index for known vulnerabilities of what is in requirements/
# make sbom     what the agent installs, as CycloneDX in dist/
# make packages  the .deb and the .rpm, wheels and sdist, bill of materials and checksums, in dist/: the same bytes each time
# make packages-matrix  install, upgrade and remove these in every way and place that docs/packages.md tells of (root, Debian
#               12, half an hour), and write that page
# make release  what a release page needs, in dist/, of the version VERSION=; publishes nothing
# make install  the agent for this machine's Pacemaker, with a virtual environment in PREFIX=/opt/aws-ipfailover (root)
# Each does its own set-up: Debian packages where missing, a virtual environment in .venv, this package in it.

# The distribution's, where that is new enough and can make virtual environments; else the first on PATH.
suits := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))
PYTHON ?= $(shell /usr/bin/python3 -c '$(suits)' 2>/dev/null && echo /usr/bin/python3 || echo python3)
PREFIX ?= /opt/aws-ipfailover
MINUTES ?= 30
SEED ?= 1
MODE ?= overlay-ip
VENV := .venv
BIN := $(VENV)/bin

PEER := $(VENV)/peer
SUPPLY := $(VENV)/supply
DOCS := $(VENV)/docs

# The arguments of an interpreter that install locks, by their names in requirements/: only what has one of their hashes,
# and no source, whose build would fetch what has none.
locked = -m pip install --quiet --require-hashes --only-binary :all: $(patsubst %,--requirement requirements/%.txt,$(1))
# The same for the packages in the working directory, the agent's and the lab's: everything that they need, their build
# backend too, is there by then.
itself := -m pip install --quiet --no-deps --no-build-isolation --editable . --editable lab

.PHONY: demo soak scenarios tutorials rehearsals examples test pythons bench screens docs packages packages-matrix release check install
.PHONY: clean debian lock audit sbom others

demo: debian $(VENV)/.lab
	$(BIN)/aws-ipfailover lab demo $(DEMO)

soak: debian $(VENV)/.lab
	@$(BIN)/aws-ipfailover lab soak --name soak --minutes $(MINUTES) --seed $(SEED) --mode $(MODE) $(SOAK)

scenarios: debian $(VENV)/.lab
	@$(BIN)/aws-ipfailover lab scenarios --name scenarios $(SCENARIOS)

examples: debian $(VENV)/.dev
	@$(BIN)/python -m pytest tests/lab/every_example.py $(EXAMPLES)

rehearsals: debian $(VENV)/.lab
	@$(BIN)/python scripts/rehearsals $(REHEARSALS)

tutorials: debian $(VENV)/.lab $(VENV)/.peer
	@$(BIN)/python scripts/tutorials.py $(TUTORIALS)

test: debian
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/.dev $(VENV)/.peer $(VENV)/.docs check $(if $(TESTS),,others)
	@scripts/test $(TESTS)

others: | $(BIN)/python
	@scripts/pythons --prepare

pythons: debian
	@scripts/pythons $(TESTS)

bench: debian $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH)

screens: debian $(VENV)/.lab
	@$(BIN)/python $(call locked,screens)
	@$(BIN)/python scripts/screens $(SCREENS)
	@$(BIN)/python scripts/commands_page.py

docs: $(VENV)/.docs
	@scripts/docs

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# make has an AS of its own, the assembler, whose origin is `default`.
# Not editable, and in an environment that is root's: what the agent runs is not to be anybody's who may write here.
install: requirements/agent.txt $(VENV)/.build
	@echo "Installing aws-ipfailover into $(PREFIX)"
	@rm -rf $(VENV)/wheel
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(VENV)/wheel .
	@umask 022 && $(PYTHON) -m venv $(PREFIX)
	@umask 022 && $(PREFIX)/bin/python $(call locked,agent)
	@umask 022 && $(PREFIX)/bin/python -m pip install --quiet --no-deps --no-index --force-reinstall $(VENV)/wheel/*.whl
	$(PREFIX)/bin/aws-ipfailover install $(if $(ROOT),--root $(ROOT)) $(if $(filter-out default,$(origin AS)),--as $(AS))

lock: $(VENV)/.supply
	@$(BIN)/python scripts/lock $(if $(UPGRADE),--upgrade)
	@$(MAKE) --no-print-directory $(VENV)/.dev
	@$(BIN)/python scripts/trim-models

audit: $(VENV)/.supply
	@$(SUPPLY)/bin/python scripts/audit $(AUDIT)

sbom:
	@$(PYTHON) scripts/sbom dist

packages: debian $(VENV)/.dev
	@$(BIN)/python packaging/build_packages.py dist

packages-matrix: debian $(VENV)/.dev
	@packaging/matrix $(MATRIX)

release: debian $(VENV)/.dev
	@$(BIN)/python packaging/release.py $(VERSION)

clean:
	rm -rf $(VENV) dist build

debian:
	@scripts/debian-packages

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/debian-packages
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.build: requirements/build.txt | $(BIN)/python
	@$(BIN)/python $(call locked,build)
	@touch $@

$(VENV)/.lab: pyproject.toml lab/pyproject.toml requirements/lab.txt $(VENV)/.build
	@echo "Installing aws-ipfailover with the lab (moto, cryptography, rich) into $(VENV)"
	@$(BIN)/python $(call locked,lab)
	@$(BIN)/python $(itself)
	@touch $@

$(VENV)/.dev: pyproject.toml lab/pyproject.toml requirements/lab.txt requirements/dev.txt $(VENV)/.build
	@echo "Installing aws-ipfailover with the lab and the test tools (pytest, mypy, ruff) into $(VENV)"
	@$(BIN)/python $(call locked,lab dev)
	@$(BIN)/python $(itself)
	@touch $@ $(VENV)/.lab

$(VENV)/.bench: requirements/bench.txt $(VENV)/.lab $(VENV)/.peer
	@echo "Installing matplotlib into $(VENV)"
	@$(BIN)/python $(call locked,bench)
	@touch $@

# The peer's AWS CLI has an environment of its own: it pins the SDK.
$(VENV)/.peer: requirements/peer.txt | $(BIN)/python
	@echo "Installing the AWS CLI into $(PEER)"
	@$(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/python $(call locked,build)
	@$(PEER)/bin/python $(call locked,peer)
	@touch $@

# MkDocs has an environment of its own: nothing of ours is imported to build the site.
$(VENV)/.docs: requirements/docs.txt | $(BIN)/python
	@echo "Installing MkDocs into $(DOCS)"
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python $(call locked,build)
	@$(DOCS)/bin/python $(call locked,docs)
	@touch $@

$(VENV)/.supply: requirements/supply.txt $(VENV)/.build
	@echo "Installing uv and pip-audit into $(SUPPLY)"
	@$(PYTHON) -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python $(call locked,supply)
	@touch $@
