"""The locks in requirements/: which there are, what each is made from, and what is in one.

Standard library only, Python 3.9: scripts/sbom runs before anything is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
# Those that classifiers in pyproject.toml promise, and the machines on which every lock has a wheel of every package.
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Source:
    """What a lock is made from, all of it in pyproject.toml, and what it is for."""

    purpose: str
    extras: Tuple[str, ...] = ()
    groups: Tuple[str, ...] = ()
    # Whether the package's own dependencies are in it. A lock of groups alone is installed beside one that has them.
    project: bool = False
    # Whether it may share an environment with the others of which this is true: then all have the same versions.
    together: bool = True


SOURCES: Dict[str, Source] = {
    "build": Source("pip, and the backend that builds this package", groups=("build",)),
    "agent": Source("what the agent and its commands need on a cluster node", extras=("cli",), project=True),
    "lab": Source("what the agent needs, and the lab", extras=("cli",), groups=("lab",), project=True),
    "test": Source("what the tests need beside lab.txt", groups=("test",)),
    "dev": Source("what the tests and `make check` need beside lab.txt", groups=("dev",)),
    "bench": Source("what `make bench` needs beside lab.txt", groups=("bench",)),
    "screens": Source("what `make screens` needs beside lab.txt", groups=("screens",)),
    "oldest": Source(
        "what the agent, the lab and the tests need, with the oldest SDK",
        extras=("cli",),
        groups=("lab", "oldest"),
        project=True,
        together=False,
    ),
    "peer": Source("the AWS CLI, for the agents that this one is measured beside", groups=("peer",), together=False),
    "docs": Source("what `make docs` builds the site with", groups=("docs",), together=False),
    "supply": Source("what `make lock` and `make audit` run", groups=("supply",), together=False),
}


def path_of(name: str) -> Path:
    """Where the lock of a name in SOURCES is."""
    return REQUIREMENTS / f"{name}.txt"


@dataclass(frozen=True)
class Locked:
    """One version of one package, for the environments that the marker describes (PEP 508; empty: for all)."""

    name: str
    version: str
    marker: str
    # SHA-256, in hexadecimal, of every file of this version in the index: wheels of all machines, and the source.
    hashes: Tuple[str, ...]
    # The names of the packages that need it; one with `pyproject.toml` in it is this project, or one of its groups.
    needed_by: Tuple[str, ...]


_REQUIREMENT = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\#]+?))? \\")
_HASH = re.compile(r"    --hash=sha256:(?P<hash>[0-9a-f]{64})(?P<more> \\)?")
_NEEDED_BY = re.compile(r"    #(?: via)?(?:\s+(?P<name>\S.*))?")


def parse(text: str) -> List[Locked]:
    """What a lock says, in its order.

    It has to be as `uv pip compile --generate-hashes` writes it. ValueError, naming the line: anything else is in it,
    such as an option of pip, a URL, a version that is not exact, or a version without a hash.
    """
    found: List[Locked] = []
    hashes: List[str] = []
    needed_by: List[str] = []
    more = False
    head = None

    def finish() -> Iterator[Locked]:
        if head is not None:
            yield Locked(head["name"], head["version"], head["marker"] or "", tuple(hashes), tuple(needed_by))

    for number, line in enumerate(text.splitlines(), 1):
        if more and (match := _HASH.fullmatch(line)):
            hashes.append(match["hash"])
            more = match["more"] is not None
        elif more:
            raise ValueError(f"line {number}: a hash is missing: {line}")
        elif match := _REQUIREMENT.fullmatch(line):
            found.extend(finish())
            head, hashes, needed_by, more = match, [], [], True
        elif head is not None and (match := _NEEDED_BY.fullmatch(line)):
            needed_by.extend([match["name"]] if match["name"] else [])
        elif head is not None or not line.startswith("#"):
            raise ValueError(f"line {number}: neither a requirement nor its hash: {line}")
    if more:
        raise ValueError("the last line: a hash is missing")
    found.extend(finish())
    return found


def read(name: str) -> List[Locked]:
    """What the lock of a name in SOURCES says. Raises OSError, and ValueError as `parse` does."""
    return parse(path_of(name).read_text(encoding="utf-8"))
