"""A node whose Python was upgraded under the agent: what Pacemaker makes of it."""

from __future__ import annotations

from typing import cast

import pytest

from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab

from .conftest import Audited

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s op monitor interval=2s timeout=20s
"""


def break_package(lab: Lab, node: str) -> None:
    """From now on the agent's interpreter on this node finds no package: -I -S leaves out all that is installed."""
    lab.exec(node, ["sed", "-i", "1s,.*,#!/usr/bin/python3 -IS,", AGENT])


def where(lab: Lab) -> str:
    """The node on which the address is started."""
    return cast("str", lab.wait_cluster("ip started", lambda now: now.where("ip") is not None).where("ip"))


def test_the_address_moves_and_nobody_is_fenced(audited: Audited) -> None:
    """The package breaks on the active node: a probe finds the address there, a monitor's 5 moves it, stop is 0."""
    lab = audited.lab
    lab.load(CONFIGURATION)
    lab.settle()
    active = where(lab)
    target = next(name for name in lab.nodes() if name != active)
    # Only the probe is asked: with the resource unmanaged nothing else follows from what it says.
    lab.exec(active, ["crm_resource", "--meta", "--resource", "ip", "-p", "is-managed", "-v", "false"])
    break_package(lab, active)
    lab.exec(active, ["crm_resource", "--refresh", "--resource", "ip"])
    lab.settle()
    assert where(lab) == active
    lab.exec(active, ["crm_resource", "--meta", "--resource", "ip", "-d", "is-managed"])
    lab.wait_cluster("the address moves", lambda now: now.where("ip") == target)
    lab.settle()
    now = lab.wait_cluster("the address has moved", lambda now: now.where("ip") == target)
    assert sorted(now.online) == sorted(lab.nodes())
    assert OVERLAY in held(lab, target)
    assert OVERLAY not in held(lab, active)
    assert {entry.exit_code for entry in now.failures} <= {5}
