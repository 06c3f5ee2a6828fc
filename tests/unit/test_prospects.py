"""Which resources the health agent looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import pytest

from aws_ipfailover.cli.install import install
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName
from aws_ipfailover.ocf.scheduler import Configuration
from aws_ipfailover.prospects import choose, installed
from aws_ipfailover.validation import Effect

CIB = """<cib><configuration><resources>
<primitive id="own" class="ocf" provider="heartbeat" type="aws-ipfailover"/>
<primitive id="alias" class="ocf" provider="suse" type="aws-vpc-move-ip"/>
<group id="g"><primitive id="other" class="ocf" provider="heartbeat" type="IPaddr2"/></group>
</resources></configuration></cib>"""
HERE: Dict[str, Optional[bool]] = {"aws-ipfailover": True, "aws-vpc-move-ip": True, "IPaddr2": False}


def chosen(names: List[str], **here: Optional[bool]) -> object:
    """What is looked at, and the effects of what is known without."""
    known = {**HERE, **{name.replace("_", "-"): is_ours for name, is_ours in here.items()}}
    found = choose(Configuration(CIB), names, lambda agent: known[agent.name])
    return list(found.primitives), {name: [one.effect for one in some] for name, some in found.problems.items()}


def test_without_names() -> None:
    """All of this package's agent, under whatever name; others are none of its business."""
    assert chosen([]) == (["own", "alias"], {})
    assert chosen([], aws_vpc_move_ip=False) == (["own"], {})
    assert chosen([], aws_vpc_move_ip=None) == (["own"], {})


def test_an_agent_that_is_not_here() -> None:
    """A resource whose agent this node does not have cannot start here, if it is certainly ours."""
    assert chosen([], aws_ipfailover=None) == (["alias"], {"own": [Effect.FAILS]})
    assert chosen(["alias"], aws_vpc_move_ip=None) == ([], {"alias": [Effect.FAILS]})


def test_with_names() -> None:
    """Only these; a name that the configuration does not have, and another agent's resource, are unknown."""
    assert chosen(["alias", "alias"]) == (["alias"], {})
    assert chosen(["nobody", "own"]) == (["own"], {"nobody": [Effect.UNKNOWN]})
    assert chosen(["other"]) == ([], {"other": [Effect.UNKNOWN]})
    assert chosen(["g"]) == ([], {"g": [Effect.UNKNOWN]})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("OWN", "the cluster's configuration has no resource 'OWN'; of this agent it has own, alias"),
        (
            "other",
            "resource 'other' is of ocf:heartbeat:IPaddr2, and not of this agent; of this agent it has own, alias",
        ),
        ("fence", "resource 'fence' is of stonith:fence_aws, and not of this agent; of this agent it has own, alias"),
        ("g", "no resource in 'g' is of this agent; of this agent it has own, alias"),
    ],
)
def test_a_wrong_name_is_told_with_those_that_are_right(name: str, sentence: str) -> None:
    """Agents are written as the tools of the cluster write them."""
    configuration = Configuration(
        CIB.replace("<group", '<primitive id="fence" class="stonith" type="fence_aws"/><group')
    )
    (problem,) = choose(configuration, [name], lambda agent: HERE.get(agent.name, False)).problems[name]
    assert str(problem.error) == sentence


def test_installed(tmp_path: Path) -> None:
    """By the line in the file's head: ours, somebody else's, or not there; the health agent is not it."""
    install(tmp_path)
    root = tmp_path / "usr/lib/ocf"
    (root / "resource.d/heartbeat/other").write_text("#!/bin/sh\n")
    answers = {
        name: installed(AgentName("heartbeat", name), root)
        for name in ("aws-ipfailover", "aws-ipfailover-health", "other", "none")
    }
    assert answers == {"aws-ipfailover": True, "aws-ipfailover-health": False, "other": False, "none": None}
    assert installed(AgentName("", "fence_aws"), root) is False


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no answer."""

    def refused(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(UnknownError, match="cannot be read: Permission denied"):
        installed(AgentName("heartbeat", "aws-ipfailover"), tmp_path)
