"""Runs the command `aws-ipfailover` in the node in a box, and keeps what the kernel is told to change meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import jsonschema

import aws_ipfailover
from sandbox import EniNode, Node
from vpc_lab.ec2 import Policy

COMMAND = Path(sys.executable).with_name("aws-ipfailover")
SCHEMAS = Path(aws_ipfailover.__file__).parent / "cli" / "schemas"
AnyNode = Union[Node, EniNode]
Request = Tuple[str, Tuple[str, ...]]


def environment(node: AnyNode, environ: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """As an administrator's shell has it: nothing of OCF's."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **node.agent.environ, **(environ or {})}


def typed(node: AnyNode) -> List[str]:
    """The agent's parameters, as they are typed."""
    return [f"{name}={value}" for name, value in node.agent.parameters.items()]


def begin(node: AnyNode, *arguments: str, environ: Optional[Mapping[str, str]] = None) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        env=environment(node, environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def run(
    node: AnyNode, *arguments: str, environ: Optional[Mapping[str, str]] = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it never ends with a traceback."""
    process = begin(node, *arguments, environ=environ)
    stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def document(name: str, done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command has printed, which fits the command's schema."""
    found = json.loads(done.stdout)
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    return found


def request(operation: str, values: Sequence[object]) -> Request:
    """A call by its operation and the values of its parameters, whose names differ between SDK and wire."""
    texts = (str(one).lower() if isinstance(one, bool) else str(one) for one in values)
    return operation, tuple(sorted(texts))


def values_in(parameters: Any) -> List[object]:
    """All values of a call's parameters."""
    if isinstance(parameters, dict):
        return [value for one in parameters.values() for value in values_in(one)]
    if isinstance(parameters, list):
        return [value for one in parameters for value in values_in(one)]
    return [parameters]


def planned_requests(plan: Dict[str, Any]) -> List[Request]:
    """The calls that a plan says a start makes, in order."""
    steps = [one for one in plan["steps"] if one["place"] == "ec2" and one["made"]]
    return [request(one["operation"], values_in(one["parameters"])) for one in steps]


def allowing(actions: Sequence[str]) -> Policy:
    """A policy that allows these operations of EC2."""
    statement = {"Effect": "Allow", "Action": [f"ec2:{action}" for action in actions], "Resource": "*"}
    return Policy.from_document({"Version": "2012-10-17", "Statement": [statement]})


class Told:
    """An `ip` in front of the machine's own that writes down each command but those that read."""

    def __init__(self, node: AnyNode, directory: Path) -> None:
        self._log = directory / "told"
        shim = directory / "shim" / "ip"
        shim.parent.mkdir()
        shim.write_text(
            f'#!/bin/sh\n[ "$1" = -json ] || echo "ip $*" >>{self._log}\n'
            'PATH=/usr/sbin:/usr/bin:/sbin:/bin exec ip "$@"\n'
        )
        shim.chmod(0o755)
        node.agent.environ["PATH"] = f"{shim.parent}:/usr/sbin:/usr/bin:/sbin:/bin"

    def __call__(self) -> List[str]:
        """The commands since the last call."""
        found = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return found
