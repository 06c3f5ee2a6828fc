"""A configuration that SUSE publishes for SAP NetWeaver on AWS, on the real cluster, with the agent under its old name.

data/third-party/README.md says where it comes from and what is filled in. Stand-ins for SAP's instances, their file
systems, Route 53 and the fencing plugin are those that a rehearsal of it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterator, List, cast

import pytest

from vpc_lab.errors import LabError
from vpc_lab.judge.audits import Auditor, held
from vpc_lab.lab import Lab
from vpc_lab.rehearsal.reading import read
from vpc_lab.rehearsal.stand_ins import stand_ins, write
from vpc_lab.settings import Settings
from vpc_lab.traffic.recorder import Measurement

from .configurations import TOPOLOGY
from .judged import LOST, judged, power_cut

pytestmark = pytest.mark.root

DATA = Path(__file__).with_name("data")
NETWEAVER = DATA / "third-party" / "suse-netweaver-ascs-ers.crm"
ALIAS = "suse:aws-vpc-move-ip"
ASCS, ERS = "192.168.201.116", "192.168.201.117"
# The agents on each node of the published configuration, by the ids of their resources.
ASCS_GROUP = ["rsc_ip_HA1_ASCS00", "rsc_r53_HA1_ASCS00", "rsc_fs_HA1_ASCS00", "rsc_sap_HA1_ASCS00"]
ERS_GROUP = ["rsc_ip_HA1_ERS10", "rsc_fs_HA1_ERS10", "rsc_sap_HA1_ERS10"]
FENCING = "res_AWS_STONITH"


def settings(agents: Path, alias: str = ALIAS) -> Settings:
    """A cluster with nothing configured, its nodes with the stand-ins; on-premises has routes for both addresses."""
    return Settings(fencing=False, agents=str(agents), overlays=(ASCS, ERS), alias=alias)


def made(directory: Path) -> Path:
    """The stand-ins that the configuration needs."""
    found = stand_ins(read(NETWEAVER.read_text(encoding="utf-8")).configuration)
    return write(found, directory, first="node1", region=TOPOLOGY.region)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Such a lab: as the guide has it, the nodes have the profile `cluster`, and a tag with the node's name."""
    with Lab.running(f"test-{os.getpid()}-third-party", settings(made(tmp_path / "stand-ins"))) as lab:
        for name in lab.nodes():
            about = {"ResourceId.1": lab.instance_ids()[name], "Tag.1.Key": "pacemaker", "Tag.1.Value": name}
            lab.administer("CreateTags", **about)
            write = "umask 077; mkdir ~/.aws; cat >~/.aws/config"
            lab.exec(name, ["sh", "-c", write], stdin=f"[profile cluster]\nregion = {TOPOLOGY.region}\noutput = text\n")
        yield lab


def load(lab: Lab) -> List[str]:
    """Load the configuration with the lab's route tables and nodes in it, and nothing else changed; what was said."""
    text = NETWEAVER.read_text(encoding="utf-8")
    filled_in = {"rtb-table-name": ",".join(lab.status().route_tables)}
    for number, (node_id, name) in enumerate((("1084753931", "hacert01"), ("1084753932", "hacert02")), 1):
        filled_in.update({node_id: str(number), name: lab.nodes()[number - 1]})
    for placeholder, value in filled_in.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    done = [lab.exec("node1", ["crm", "configure", "load", "update", "-"], stdin=text)]
    done.append(lab.exec("node1", ["crm_verify", "--live-check", "--verbose"]))
    return [line for one in done for line in (one.stdout + one.stderr).splitlines() if line.strip()]


def places(lab: Lab) -> Dict[str, str]:
    """Where the groups are, all of each on one node; nothing has failed, and the rule knows where replication runs."""
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    found = {}
    for name, group in (("ASCS", ASCS_GROUP), ("ERS", ERS_GROUP)):
        nodes = {status.where(one) for one in group}
        assert len(nodes) == 1, (name, nodes)
        found[name] = cast("str", nodes.pop())
    assert status.where(FENCING) is not None
    query = ["crm_attribute", "--lifetime", "reboot", "--name", "runs_ers_HA1", "--quiet", "--query", "--node"]
    assert lab.exec(found["ERS"], [*query, found["ERS"]]).stdout == "1\n"
    return found


def answers_everywhere(lab: Lab, address: str, node: str) -> None:
    """Every consumer gets its answers from that node, which alone has the address, and every table leads there."""
    with Measurement.running(lab, lab.powered_nodes(), lab.questions(address)) as measurement:
        assert measurement.wait_steady(node, 0.0, 30.0)
    assert [name for name in lab.powered_nodes() if address in held(lab, name)] == [node]
    assert set(lab.status().routes[address].values()) == {node}


def test_netweaver_s_two_addresses_start_move_and_fail_over(lab: Lab, tmp_path: Path) -> None:
    """Published for ocf:suse:aws-vpc-move-ip: loaded without a warning; both addresses answer, follow their groups when
    the central services are moved, when their node's power is cut, by fencing through EC2, and when it comes back."""
    auditor = Auditor(lab, [ASCS, ERS])
    assert load(lab) == []
    lab.settle()
    found = places(lab)
    assert found["ASCS"] != found["ERS"]
    answers_everywhere(lab, ERS, found["ERS"])
    answers_everywhere(lab, ASCS, found["ASCS"])

    # A planned move to where replication runs, which then goes to the other node.
    old, new = found["ASCS"], found["ERS"]
    lab.exec(old, ["crm", "resource", "move", "grp_HA1_ASCS00", new])
    lab.settle()
    lab.exec(old, ["crm", "resource", "clear", "grp_HA1_ASCS00"])
    lab.settle()
    assert places(lab) == {"ASCS": new, "ERS": old}
    answers_everywhere(lab, ASCS, new)
    answers_everywhere(lab, ERS, old)

    # The node of the central services loses its power.
    old, new = new, old
    judged(lab, ASCS, tmp_path / "record", power_cut, allowances=[LOST], more=[ERS])
    lab.settle()
    assert places(lab) == {"ASCS": new, "ERS": new}
    answers_everywhere(lab, ASCS, new)
    answers_everywhere(lab, ERS, new)
    assert auditor.snapshot().fenced == (old,)

    # It comes back, with the profile that it had, and replication goes there.
    lab.power_on(old)
    lab.wait_online()
    lab.wait_cluster("replication on the other node", lambda now: now.where(ERS_GROUP[-1]) == old, 60.0)
    lab.settle()
    assert places(lab) == {"ASCS": new, "ERS": old}
    answers_everywhere(lab, ERS, old)
    assert auditor.complaints(may_be_fenced=[old]) == []


def test_a_tool_that_reads_the_cluster_finds_the_old_name(lab: Lab) -> None:
    """What asks Pacemaker for ocf:suse:aws-vpc-move-ip gets this agent's metadata, under that name."""
    done = lab.exec("node1", ["crm_resource", "--show-metadata", f"ocf:{ALIAS}"])
    assert '<resource-agent name="aws-vpc-move-ip" ' in done.stdout
    assert 'parameter name="on_drift"' in done.stdout


def test_further_agents_have_their_places(tmp_path: Path) -> None:
    """A file that no node would find is refused with its name, and so is a name that another agent has."""
    agents = made(tmp_path / "stand-ins")
    (tmp_path / "README").write_text("not an agent")
    with pytest.raises(LabError, match=r"README is no agent of a node: .*usr/lib/ocf/resource.d"):
        Lab.up(f"test-{os.getpid()}-refused", settings(tmp_path))
    with pytest.raises(LabError, match=r"directory of further agents, .*/missing, is not there"):
        Lab.up(f"test-{os.getpid()}-refused", settings(tmp_path / "missing"))
    with pytest.raises(LabError, match="heartbeat/SAPInstance is there and is not the agent of aws-ipfailover"):
        Lab.up(f"test-{os.getpid()}-refused", settings(agents, alias="heartbeat:SAPInstance"))
