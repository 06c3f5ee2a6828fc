"""Every configuration of crm-examples/ on a real cluster: loaded without a warning, and failed over by a power cut.

`make examples` runs this file, in half an hour, and `make test` does not. What came of it is written into the table of
crm-examples/README.md, also of some alone: make examples EXAMPLES='-k hana'.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.scenarios import loading
from vpc_lab.settings import Settings

from .configurations import DIRECTORY, SECOND_ADDRESS, TOPOLOGY
from .conftest import delete_route
from .example_runs import RUNS, agents_in, play, run_of, settings_of
from .example_table import Row, updated

pytestmark = pytest.mark.root

README = DIRECTORY / "README.md"
# Those that share a lab follow each other.
FILES = [
    f"{run.stem}.{tool}"
    for settings in dict.fromkeys(run.settings for run in RUNS)
    for run in RUNS
    if run.settings == settings
    for tool in ("crm", "pcs")
]


class Labs:
    """One lab at a time, kept for as long as examples want one like it."""

    def __init__(self, agents: Path) -> None:
        self.agents = agents
        self._settings: Optional[Settings] = None
        self._lab: Optional[Lab] = None
        self._stack = contextlib.ExitStack()

    def lab_for(self, name: str) -> Lab:
        """The lab for an example."""
        wanted = settings_of(run_of(name), self.agents)
        if self._lab is None or self._settings != wanted:
            self.close()
            self._lab = self._stack.enter_context(Lab.running(f"test-{os.getpid()}-every", wanted))
            self._settings = wanted
        return self._lab

    def close(self) -> None:
        """End the lab."""
        self._lab = None
        self._stack.close()


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Labs, and the stand-ins of their nodes."""
    with tempfile.TemporaryDirectory() as directory:
        made = Labs(agents_in(directory))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def results() -> Iterator[Dict[str, Row]]:
    """What came of each file; written into the README at the end."""
    found: Dict[str, Row] = {}
    yield found
    README.write_text(updated(README.read_text(encoding="utf-8"), found), encoding="utf-8")


@pytest.fixture
def lab(labs: Labs, name: str) -> Iterator[Lab]:
    """A cluster with nothing configured, and no routes of the example before."""
    lab = labs.lab_for(name)
    for address in (str(TOPOLOGY.overlay), SECOND_ADDRESS):
        delete_route(lab, f"{address}/32")
    for node in lab.nodes():
        # What a node remembers of the writes of resources that are no more.
        lab.exec(node, ["sh", "-c", "rm -f /run/resource-agents/aws-ipfailover-*.json"])
    before = loading.configuration_of(lab)
    try:
        yield lab
    finally:
        try:
            loading.empty(lab, before)
        except LabError:
            # What is wrong with it is not to befall the next example.
            labs.close()


@pytest.mark.parametrize("name", FILES)
def test_an_example(lab: Lab, name: str, results: Dict[str, Row], tmp_path: Path) -> None:
    """No warning; after a power cut consumers are answered by the right node, with what belongs to it."""
    results[name] = Row(name, None, "failed")
    played = play(lab, name, tmp_path / "record")
    results[name] = Row(name, played.longest_silence, "passed")


def test_every_file_is_tried() -> None:
    """None of them is forgotten."""
    there: List[str] = sorted(path.name for path in DIRECTORY.iterdir() if path.suffix in (".crm", ".pcs"))
    assert sorted(FILES) == there
