"""The shape of the lab: who may import whom, and that it knows nothing of the agent."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest

import vpc_lab

PACKAGE = "vpc_lab"
ROOT = Path(vpc_lab.__file__).parent

# The rooms of the lab, and those that each may import. A module that is in no folder is a room by itself.
ALLOWED: Dict[str, Set[str]] = {
    "": set(),
    "errors": set(),
    "waiting": {"errors"},
    "vpc": set(),
    "world": {"vpc"},
    "topology": {"errors", "vpc"},
    "settings": {"errors", "topology"},
    "examples": {"topology"},
    "cluster": set(),
    "faults": {"errors"},
    "status": {"errors", "faults"},
    "fabric": {"topology", "vpc", "world"},
    "ec2": {"errors", "topology", "vpc", "world"},
    "host": {
        *("cluster", "ec2", "errors", "examples", "fabric", "faults", "settings", "status", "topology", "vpc", "world"),
    },
    "lab": {"cluster", "errors", "examples", "faults", "host", "settings", "status", "topology", "waiting"},
    "traffic": {"errors"},
    "judge": {"errors", "lab", "status", "traffic", "waiting"},
    "report": {"errors", "faults", "judge"},
    "scenarios": {
        *("cluster", "errors", "examples", "faults", "judge", "lab", "report", "settings", "status"),
        *("topology", "traffic", "vpc", "waiting"),
    },
    "rehearsal": {
        "cluster",
        "errors",
        "examples",
        "faults",
        "judge",
        "lab",
        "scenarios",
        "settings",
        "topology",
        "vpc",
    },
    "cli": {"cluster", "errors", "faults", "lab", "rehearsal", "scenarios", "settings"},
}


def modules() -> List[Path]:
    """The files of the lab."""
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """The name of a module within the package, with dots."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports when it runs, wherever in it the import stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "the lab's imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        yield from imported(node)


def names(path: Path) -> Set[str]:
    """Full names of what a file imports."""
    return set(imported(ast.parse(path.read_text(encoding="utf-8"))))


def ours(path: Path) -> Set[str]:
    """The modules of the lab that a file imports, by their names within it."""
    found = set()
    for full in names(path):
        if full.split(".")[0] == PACKAGE:
            name = full[len(PACKAGE) + 1 :]
            if not (ROOT / name.replace(".", "/")).is_dir() and not (ROOT / f"{name.replace('.', '/')}.py").exists():
                name = name.rpartition(".")[0]
            found.add(name)
    return found - {name_of(path)}


def room(name: str) -> str:
    """The room that a module is in."""
    return name.partition(".")[0]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_room_imports_what_the_table_says(path: Path) -> None:
    """A new arrow between two rooms is a decision that the table records."""
    own = room(name_of(path))
    assert {room(name) for name in ours(path)} - {own} <= ALLOWED[own]


def test_the_table_names_no_room_that_is_gone() -> None:
    """A row of a room that was moved or deleted would permit what nobody decided."""
    assert set(ALLOWED) == {room(name_of(path)) for path in modules()}


def test_imports_point_one_way() -> None:
    """Neither a room nor a module needs one that needs it: `prepare` raises CycleError where two do."""
    TopologicalSorter(ALLOWED).prepare()
    TopologicalSorter({name_of(path): ours(path) for path in modules()}).prepare()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_lab_imports_nothing_of_the_agent(path: Path) -> None:
    """The lab has to be able to prove the agent wrong."""
    assert not {name for name in names(path) if name.split(".")[0] == "aws_ipfailover"}
