"""Every sentence that the agent can put into an exit reason, from its code: what docs/reasons.md has to explain.

Those are the texts of three words and more in each module that the agent can load, but for docstrings, what is only
logged, and what only a plan says. Texts that are no part of an exit reason, such as parts of EC2's own messages, are in
it too: the test of the page names them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple

PACKAGE = "aws_ipfailover"
# What stands in a text for a value.
GAP = "…"
# Modules whose texts are the metadata, lines of a plan, of the log alone, or warnings of validate-all.
SILENT = ("coexistence", "kernel.rehearsal", "ocf.log", "ocf.log_file", "ocf.metadata", "ocf.syslog", "steps")
_FEWEST_WORDS = 3
# Classes whose members' values describe them, and are never printed by the agent.
_DESCRIBED = ("Effect", "Verdict")


def texts(root: Path) -> Dict[str, Set[str]]:
    """Each text, with the modules that have it; `root`: the folder of the package."""
    paths = {_name(path, root): path for path in root.rglob("*.py")}
    found: Dict[str, Set[str]] = {}
    for name in sorted(_reached(paths)):
        if name[len(PACKAGE) + 1 :] in SILENT:
            continue
        tree = ast.parse(paths[name].read_text(encoding="utf-8"))
        for text in _in(tree, described=name.endswith(".parameters")):
            found.setdefault(text, set()).add(name)
    return found


def _name(path: Path, root: Path) -> str:
    parts = (PACKAGE, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _reached(paths: Dict[str, Path]) -> Set[str]:
    """The modules that the agent imports, now or later; not those that only a type checker does."""
    reached: Set[str] = set()
    waiting = [f"{PACKAGE}.agent"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [one for one in _imports(ast.parse(paths[name].read_text(encoding="utf-8"))) if one in paths]
    return reached


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.module and child.module.startswith(PACKAGE):
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from _imports(child)


def _in(module: ast.Module, *, described: bool) -> List[str]:
    """`described`: what the module makes when it is loaded describes parameters, but for texts with a name."""
    found: List[str] = []

    def visit(node: ast.AST, inside: Tuple[str, ...]) -> None:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inside = (*inside, node.name)
        if _is_logged(node) or _is_docstring(node) or any("plan" in name or name in _DESCRIBED for name in inside):
            return
        text = _text(node)
        if text is None:
            for child in ast.iter_child_nodes(node):
                visit(child, inside)
        elif len(text.split()) >= _FEWEST_WORDS:
            found.append(" ".join(text.split()))

    for statement in module.body:
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        if not described or value is None or isinstance(value, ast.Constant):
            visit(statement, ())
    return found


def _is_logged(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(node: ast.AST) -> Optional[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None
