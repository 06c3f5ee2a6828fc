"""`aws-ipfailover doctor` on the nodes of a real cluster, with EC2 and STS under their own names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Mapping

import pytest

from vpc_lab.lab import Lab

pytestmark = pytest.mark.root

COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=20s op stop interval=0 timeout=20s \\
    op monitor interval=5s timeout=20s
"""


def doctor(lab: Lab, node: str, *arguments: str) -> Mapping[str, Any]:
    """What it finds on a node."""
    done = lab.exec(node, [COMMAND, "doctor", "--json", "--timeout", "30", *arguments], check=False)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def outcomes(document: Mapping[str, Any]) -> Dict[str, str]:
    """What came of each check; those of the cluster itself have tests of their own."""
    findings = [one for report in document["reports"] for one in report["findings"] if one["area"] != "cluster"]
    return {one["check"]: one["outcome"] for one in findings}


def test_every_node_of_a_cluster(cluster_lab: Lab) -> None:
    """On the active node and on the standby, for the resource by its id and for all of them, everything passes; what is
    then broken at the standby fails there, is mended there, and the cluster meanwhile moves nothing."""
    lab = cluster_lab
    lab.load(CONFIGURATION)
    lab.settle()
    for node in lab.nodes():
        for arguments in ([], ["ip"]):
            found = outcomes(doctor(lab, node, *arguments))
            assert set(found.values()) == {"pass"}, found
    active = _leads_to(lab)
    (standby, *_) = (name for name in lab.nodes() if name != active)
    eni = {"NetworkInterfaceId": lab.status().network_interfaces[standby]}
    lab.administer("ModifyNetworkInterfaceAttribute", **eni, **{"SourceDestCheck.Value": "true"})
    found = outcomes(doctor(lab, standby, "ip"))
    assert {name for name, outcome in found.items() if outcome != "pass"} == {"source-dest-check"}
    document = doctor(lab, standby, "ip", "--fix", "--yes")
    assert [one["done"] for one in document["fixes"]] == [True]
    assert set(outcomes(document).values()) == {"pass"}
    assert _leads_to(lab) == active


def _leads_to(lab: Lab) -> str:
    """The node that every route table leads the overlay address to."""
    status = lab.status()
    (name,) = set(status.routes[status.overlay].values())
    assert name is not None
    return name
