"""`aws-ipfailover migrate` on running clusters of other agents: executed as printed, nobody notices.

The peer is `aws-vpc-move-ip`, and `awsvip` with `IPaddr2`, of Debian's resource-agents, with the AWS CLI.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Dict, List, Set, Tuple, cast

import pytest

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.scenarios import peer
from vpc_lab.scenarios.configuration import PEER, Configuration, settings_for
from vpc_lab.scenarios.stage import Stage
from vpc_lab.settings import Settings
from vpc_lab.topology import topology_for
from vpc_lab.traffic.recorder import Measurement
from vpc_lab.waiting import eventually

from .judged import judged

pytestmark = pytest.mark.root

COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))
SERVICE = """
primitive service ocf:pacemaker:Dummy op monitor interval=10s
"""
AWSVIP = """
primitive vip ocf:heartbeat:awsvip params secondary_private_ip=@PRIVATE_IP@ awscli="{cli}" \\
    op start interval=0 timeout=30s op stop interval=0 timeout=30s op monitor interval=20s timeout=30s
primitive address ocf:heartbeat:IPaddr2 params ip=@PRIVATE_IP@ cidr_netmask=24 nic=eth0 \\
    op start interval=0 timeout=30s op stop interval=0 timeout=30s op monitor interval=10s timeout=20s
primitive public ocf:heartbeat:awseip params elastic_ip={public} allocation_id={allocation} awscli="{cli}" \\
    op start interval=0 timeout=30s op stop interval=0 timeout=30s op monitor interval=20s timeout=30s
primitive service ocf:pacemaker:Dummy op monitor interval=10s
group all vip address public
colocation with_address inf: service address
order after_address Mandatory: address service
location prefers_node1 all 50: node1
property stonith-enabled=false
rsc_defaults resource-stickiness=1000
"""


@pytest.fixture
def cli() -> str:
    """The AWS CLI, without which no agent of the peer's runs."""
    try:
        return peer.aws_cli()
    except LabError as error:
        pytest.skip(f"{error}")


def printed(lab: Lab, *arguments: str) -> str:
    """What the command prints on a node."""
    return lab.exec("node1", [COMMAND, "migrate", *arguments]).stdout


def elastic_ips(lab: Lab, cli: str) -> List[Dict[str, str]]:
    """The Elastic IPs, as the AWS CLI describes them."""
    said = lab.exec("node1", [cli, "ec2", "describe-addresses", "--region", topology_for().region, "--output", "json"])
    return cast("List[Dict[str, str]]", json.loads(said.stdout)["Addresses"])


def operations(lab: Lab, resource: str) -> Set[Tuple[str, str]]:
    """The starts and stops in a resource's history: their names, and the numbers of the calls."""
    path = f"//lrm_resource[@id='{resource}']/lrm_rsc_op[@operation='start' or @operation='stop']"
    said = lab.exec(lab.awake_node(), ["cibadmin", "--query", "--xpath", path], check=False).stdout
    found = re.findall(r'<lrm_rsc_op [^>]*operation="(\w+)"[^>]*call-id="(\w+)"', said)
    return {(name, call) for name, call in found}


def executes(lab: Lab, address: str, directory: Path, script: str) -> str:
    """Execute a script under the judge, who has nothing to say: no answer is lost. The node that serves throughout."""
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    nodes: List[str] = []

    def play(stage: Stage) -> None:
        nodes.append(stage.active())
        lab.exec(nodes[0], ["sh", "-e", "-s"], stdin=script, timeout=120)
        nodes.append(stage.served())

    judged(lab, address, directory, play)
    assert nodes[0] == nodes[1]
    return nodes[0]


def moves(lab: Lab, resource: str, old: str) -> None:
    """A planned move starts this agent on the other node, and stops it here."""
    new = next(one for one in lab.nodes() if one != old)
    lab.exec(old, ["crm_resource", "--move", "--resource", resource, "--node", new])
    lab.wait_cluster("the move", lambda now: now.where(resource) == new)
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()


def test_aws_vpc_move_ip(cli: str, tmp_path: Path) -> None:
    """With a service that follows it: neither is started or stopped, no answer is lost, and then it can move."""
    configuration = Configuration(agent=PEER, aws_cli=cli)
    address = str(topology_for().overlay)
    with Lab.running(f"test-{os.getpid()}-migrate", settings_for(configuration)) as lab:
        peer.prepare(lab, lab.status(), [address])
        lab.load(
            configuration.text + SERVICE + "colocation with inf: service ip_service\norder after ip_service service\n"
        )
        lab.settle()
        before = operations(lab, "service")
        assert before
        node = executes(lab, address, tmp_path / "record", printed(lab))
        assert operations(lab, "service") == before
        assert operations(lab, "ip_service") == set()  # its history begins with a probe
        status = lab.cluster_status()
        assert status is not None
        agents = {one.resource_id: one.agent for one in status.resources}
        assert agents["ip_service"] == "ocf:heartbeat:aws-ipfailover"
        assert "nothing to migrate" in lab.exec("node1", [COMMAND, "migrate"]).stderr
        moves(lab, "ip_service", node)


def test_awsvip_with_ipaddr2_and_awseip(cli: str) -> None:
    """With awseip, three resources become one; what was bound to them is bound to it, and nothing restarts."""
    with Lab.running(f"test-{os.getpid()}-migrate", Settings(fencing=False, mode="private-ip")) as lab:
        peer.write_profiles(lab, lab.status().region)
        lab.administer("AllocateAddress")
        elastic_ip = elastic_ips(lab, cli)[0]
        about = {"cli": cli, "public": elastic_ip["PublicIp"], "allocation": elastic_ip["AllocationId"]}
        lab.load(AWSVIP.format(**about))
        lab.settle()
        # awseip associates it with the node's own address; this agent with the one that moves.
        assert elastic_ips(lab, cli)[0]["PrivateIpAddress"] == str(topology_for("private-ip").nodes[0].address)
        before = operations(lab, "service")
        assert before
        address = lab.status().service.addresses[0]
        status = lab.cluster_status()
        node = cast("str", status.where("vip") if status else None)
        # Not under the judge, for whom the service would end with the resource that has the address now.
        with Measurement.running(lab, lab.nodes(), lab.questions(address)) as measurement:
            assert measurement.wait_steady(node, 0.0, 30.0)
            begun = time.time()
            lab.exec(node, ["sh", "-e", "-s"], stdin=printed(lab, "--pcs"), timeout=120)
            assert measurement.wait_steady(node, time.time(), 30.0)
            asked = [one for history in measurement.histories(since=begun).values() for one in history]
        assert asked
        assert [one for one in asked if one.node != node] == []
        assert operations(lab, "service") == before
        eventually("the Elastic IP", lambda: elastic_ips(lab, cli)[0]["PrivateIpAddress"] == address, 30.0)
        status = lab.cluster_status()
        assert status is not None
        assert sorted((one.resource_id, one.nodes) for one in status.resources) == [
            ("service", (node,)),
            ("vip", (node,)),
        ]
        constraints = lab.exec(node, ["cibadmin", "--query", "--scope", "constraints"]).stdout
        assert 'rsc="service" with-rsc="vip"' in constraints
        assert 'first="vip" then="service"' in constraints
        moves(lab, "vip", node)


def test_what_would_restart_stays_in_maintenance(cli: str) -> None:
    """Where the address is not on the node, the end of maintenance mode would start it: the script ends before."""
    configuration = Configuration(agent=PEER, aws_cli=cli)
    address = str(topology_for().overlay)
    with Lab.running(f"test-{os.getpid()}-migrate", settings_for(configuration)) as lab:
        peer.prepare(lab, lab.status(), [address])
        lab.load(configuration.text)
        lab.settle()
        status = lab.cluster_status()
        node = cast("str", status.where("ip_service") if status else None)
        script = printed(lab, "--crm")
        away = f"ip address del {address}/32 dev eth0\ncrm_resource --refresh"
        done = lab.exec(node, ["sh", "-e", "-s"], stdin=script.replace("crm_resource --refresh", away, 1), check=False)
        assert done.returncode == 1, done
        assert "the cluster stays in maintenance mode" in done.stderr
        assert re.search(r"\* Start +ip_service", done.stdout)
        query = ["crm_attribute", "--name", "maintenance-mode", "--query", "--quiet"]
        assert lab.exec(node, query).stdout.strip() == "true"
