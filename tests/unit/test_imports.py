"""Which module may import which: the shape of the library."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Iterator, Set

import pytest

import aws_ipfailover

ROOT = Path(aws_ipfailover.__file__).parent
PACKAGE = "aws_ipfailover"

# Each module and the modules of this package that it may import when it runs.
ALLOWED: Dict[str, Set[str]] = {
    "errors": set(),
    "deadline": {"errors"},
    "parameters": {"errors"},
    "failover": {"errors"},
    "last_write": set(),
    "coexistence": set(),
    "linux": {"errors", "deadline", "parameters"},
    "imds": {"errors", "deadline"},
    "service_models": set(),
    "authorities": set(),
    "pacing": {"deadline"},
    "ec2": {"", "authorities", "errors", "deadline", "imds", "pacing", "service_models"},
    "node": {"errors", "linux"},
    "address": {"errors", "failover", "linux", "parameters"},
    "believing": {"errors", "deadline", "failover", "last_write"},
    "routes": {"believing", "errors", "deadline", "failover", "last_write", "parameters"},
    "private_ip": {"believing", "errors", "deadline", "failover", "last_write", "parameters"},
    "attachment": {"believing", "errors", "deadline", "failover", "last_write"},
    "interface": {"errors", "deadline", "failover", "linux", "parameters"},
    "validation": {"errors", "parameters"},
    "build": {
        *("address", "deadline", "ec2", "errors", "failover", "imds", "last_write", "linux", "node", "parameters"),
        *("attachment", "coexistence", "interface", "private_ip", "routes", "validation"),
    },
    "ocf": {"", "parameters"},
    "agent": {"", "build", "deadline", "errors", "failover", "linux", "ocf", "parameters"},
    "__init__": set(),
}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of what a module of `package` imports at run time, wherever in it that stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            module = (above + (node.module or "")).rstrip(".")
            if module == PACKAGE:
                yield from (f"{PACKAGE}.{name.name}" for name in node.names)
            else:
                yield module
        yield from imported(node, package)


def _names(path: Path) -> Set[str]:
    package = ".".join((PACKAGE, *path.relative_to(ROOT).parent.parts))
    return set(imported(ast.parse(path.read_text(encoding="utf-8")), package))


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.stem)
def test_imports_point_one_way(path: Path) -> None:
    """A new module, or a new arrow between modules, is a decision that this table records."""
    ours = {name[len(PACKAGE) + 1 :] for name in _names(path) if name.split(".")[0] == PACKAGE}
    known = {name if (ROOT / f"{name}.py").exists() else "" for name in ours}
    assert known <= ALLOWED[path.stem]


def test_each_outside_thing_has_one_module() -> None:
    """The SDK in ec2 (what it reads in two more), requests in imds, commands in linux, and nowhere else."""
    owners = {
        "boto3": {"ec2"},
        "botocore": {"ec2", "service_models", "authorities"},
        "requests": {"imds"},
        "subprocess": {"linux"},
    }
    for path in ROOT.glob("*.py"):
        for name in _names(path):
            package = name.split(".")[0]
            assert path.stem in owners.get(package, {path.stem}), f"{path.name} imports {name}"


def test_library_and_lab_do_not_know_each_other() -> None:
    """The lab has to be able to prove the agent wrong; the agent runs where the lab is not installed."""
    for path in ROOT.glob("*.py"):
        assert not any(name.startswith((f"{PACKAGE}.lab", f"{PACKAGE}.cli")) for name in _names(path)), path.name
    for path in (ROOT / "lab").rglob("*.py"):
        for name in _names(path):
            shared = (f"{PACKAGE}.lab", f"{PACKAGE}.cli", f"{PACKAGE}.__version__")
            assert not name.startswith(PACKAGE) or name.startswith(shared), (path, name)
