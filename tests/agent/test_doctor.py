"""`aws-ipfailover doctor`: each precondition broken by itself, and mended by what its line says."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import pytest

from aws_ipfailover.cli.install import install
from sandbox import EniNode, Node
from vpc_lab.ec2 import Call

COMMAND = Path(sys.executable).with_name("aws-ipfailover")


class Examined(NamedTuple):
    """One run: its exit code, what it printed, the document if that was asked for, and what it asked the cloud."""

    code: int
    stdout: str
    stderr: str
    calls: Tuple[Call, ...]

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON."""
        found: Mapping[str, Any] = json.loads(self.stdout)
        return found

    @property
    def findings(self) -> Dict[str, Mapping[str, Any]]:
        """Every finding by the name of its check."""
        return {one["check"]: one for report in self.document["reports"] for one in report["findings"]}

    @property
    def outcomes(self) -> Dict[str, str]:
        """What came of each check."""
        return {name: one["outcome"] for name, one in self.findings.items()}

    @property
    def ec2(self) -> List[str]:
        """The operations of EC2 that were asked for, but for the endpoint itself."""
        return [call.action for call in self.calls if call.service == "ec2" and call.action]


class Doctor:
    """Runs the command on a node, which has the agent installed."""

    def __init__(self, node: Union[Node, EniNode], root: Path) -> None:
        self.node = node
        self.root = root
        self.environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "OCF_ROOT": str(root / "usr/lib/ocf"),
            **node.agent.environ,
        }

    def run(self, *arguments: str, prefix: Sequence[str] = (), environ: Optional[Mapping[str, str]] = None) -> Examined:
        """Run it with these arguments, to its end."""
        before = len(self.node.aws.calls())
        done = subprocess.run(
            [*prefix, str(COMMAND), "doctor", *arguments],
            env={**self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Examined(done.returncode, done.stdout, done.stderr, self.node.aws.calls()[before:])

    def typed(self, **changed: str) -> List[str]:
        """The resource's parameters as arguments."""
        return [f"{name}={value}" for name, value in {**self.node.agent.parameters, **changed}.items()]

    def examine(self, *more: str, **changed: str) -> Examined:
        """Examine the resource; the answer is JSON."""
        return self.run(*self.typed(**changed), "--json", *more)


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that everybody may search, unlike pytest's, with the agent installed."""
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        Path(folder).chmod(0o755)
        install(Path(folder), force=True)
        yield Path(folder)


def test_try(node: Node, root: Path) -> None:
    d = Doctor(node, root)
    import time
    t=time.monotonic()
    ran = d.run(*d.typed())
    print(time.monotonic()-t)
    print(ran.stdout, ran.stderr, ran.code)
    print([(c.service,c.action) for c in ran.calls])
    ran = d.examine()
    print(ran.code, ran.outcomes)
