"""`aws-ipfailover config` and `iam-policy`: what they print loads as printed, and fails over with no more rights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List, cast
from xml.etree import ElementTree

import pytest

from vpc_lab.faults import RolePolicy
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import Mode, topology_for

from .configurations import UNKNOWN_TO_CRMSH
from .judged import LOST, judged, power_cut

pytestmark = pytest.mark.root

COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))
# Characters that crmsh, pcs or a shell could take for their own.
HOSTILE = """a b"c'd$e\\f;g|h`i&j#k*l(m)n<o>p!q~r%s"""


def typed(lab: Lab, *arguments: str) -> str:
    """What a command prints on a node; it says nothing else."""
    done = lab.exec("node1", [COMMAND, *arguments])
    return done.stdout


def parameters(lab: Lab, mode: Mode) -> List[str]:
    """The address of the lab as the agent's parameters."""
    status = lab.status()
    if mode == "private-ip":
        return ["mode=private-ip", f"ip={status.service.addresses[0]}"]
    return [f"ip={status.overlay}", f"routing_table={','.join(status.route_tables)}"]


def load(lab: Lab, tool: str, text: str) -> List[str]:
    """Load a configuration as printed; all that the tools and the verification of the result had to say."""
    command = ["crm", "configure", "load", "update", "-"] if tool == "crm" else ["sh"]
    done = [lab.exec("node1", command, stdin=text)]
    done.append(lab.exec("node1", ["crm_verify", "--live-check", "--verbose"]))
    said = [line for one in done for line in (one.stdout + one.stderr).splitlines()]
    return [line for line in said if line.strip() and not any(known in line for known in UNKNOWN_TO_CRMSH)]


@pytest.mark.parametrize(("tool", "mode"), [("crm", "overlay-ip"), ("pcs", "private-ip")])
def test_it_loads_and_fails_over_with_the_printed_policy(tool: str, mode: Mode, tmp_path: Path) -> None:
    """No warning, everything started, and a power cut: every call is allowed, and consumers lose what they must."""
    topology = topology_for(mode)
    with Lab.running(f"test-{os.getpid()}-config", Settings(fencing=False, mode=mode)) as lab:
        hostile_values(lab, tool, mode)
        given = parameters(lab, mode)
        instances = [one.instance_id for one in topology.nodes]
        own = ",".join(one.network_interface_id for one in topology.nodes)
        ids = ["--account", topology.account_id, "--instances", ",".join(instances), "--interfaces", own]
        region = ["--region", topology.region]
        policy = typed(lab, "iam-policy", *given, *region, *ids, "--fencing", "--health")
        nodes = [text for one in topology.nodes for text in ("--node", f"{one.name}={one.instance_id}")]
        text = typed(lab, "config", tool, *given, *region, *nodes, "--health")
        with lab.inject(RolePolicy(policy)):
            assert load(lab, tool, text) == []
            lab.settle()
            status = lab.cluster_status()
            assert status is not None
            assert status.failures == ()
            assert {one.resource_id for one in status.resources if one.active} >= {"ip_service", "fence_aws", "health"}
            address = lab.status().service.addresses[0] if mode == "private-ip" else str(topology.overlay)
            old = cast("str", status.where("ip_service"))
            judged(lab, address, tmp_path / "record", power_cut, allowances=[LOST])
            status = lab.cluster_status()
            assert status is not None
            assert status.where("ip_service") not in (None, old)
            calls = lab.calls()
            move = "ReplaceRoute" if mode == "overlay-ip" else "AssignPrivateIpAddresses"
            assert {"StopInstances", move} <= {call["action"] for call in calls}
            refused = {call["action"] for call in calls if call["outcome"] in ("UnauthorizedOperation", "AccessDenied")}
            assert refused == set()


def hostile_values(lab: Lab, tool: str, mode: Mode) -> None:
    """Whatever a value holds arrives as it is: in a file that is no cluster's configuration."""
    shadow = "/tmp/cib.xml"  # of the node, whose /tmp is its own
    given = [*parameters(lab, mode), f"profile={HOSTILE}", "--node", "node1=i-01234567", "--region", "eu-central-1"]
    text = typed(lab, "config", tool, *given)
    lab.exec("node1", ["sh", "-c", f"cibadmin --empty >{shadow}"])
    command = ["crm", "configure", "load", "update", "-"] if tool == "crm" else ["sh"]
    if tool == "pcs":
        text = text.replace("\npcs ", f"\npcs -f {shadow} ")
    lab.exec("node1", ["env", f"CIB_file={shadow}", *command], stdin=text)
    tree = ElementTree.fromstring(lab.exec("node1", ["cat", shadow]).stdout)
    (found,) = (one.get("value") for one in tree.iter("nvpair") if one.get("name") == "profile")
    assert found == HOSTILE
