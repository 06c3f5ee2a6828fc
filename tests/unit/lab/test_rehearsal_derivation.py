"""The lab that a configuration is given: topology, placeholders, stand-ins, and which scenarios can be played."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Dict

import pytest

from vpc_lab.errors import LabError
from vpc_lab.examples import NETWORK_ROLE_ARN
from vpc_lab.rehearsal.derivation import NOTHING_KNOWN, corosync_facts, derive
from vpc_lab.rehearsal.model import Configuration
from vpc_lab.rehearsal.plan import ORDER, Plan, plan, refuse_unknown, seconds
from vpc_lab.rehearsal.reading import read
from vpc_lab.rehearsal.rehearsal import prepare
from vpc_lab.rehearsal.stand_ins import PROGRAMS, StandIn, aliases, stand_ins, write

DATA = Path(__file__).parents[2] / "lab" / "data" / "rehearsals"
PUBLISHED = Path(__file__).parents[2] / "lab" / "data" / "third-party" / "suse-netweaver-ascs-ers.crm"
IP = "primitive ip ocf:heartbeat:aws-vpc-move-ip params ip=192.168.1.1 routing_table=rtb-0123456789abcdef0"


def of(text: str) -> Configuration:
    """A configuration, read."""
    return read(text).configuration


def data(name: str) -> str:
    """One of the configurations that were written for tests."""
    return (DATA / name).read_text(encoding="utf-8")


def test_the_published_configuration_gets_its_own_nodes_and_addresses() -> None:
    """Names, ids, both addresses, the profile and the tag; a placeholder stands for all of the lab's tables."""
    found = prepare(PUBLISHED.read_text(encoding="utf-8"))
    derived, topology = found.derived, found.derived.topology
    assert [one.name for one in topology.nodes] == ["hacert01", "hacert02"]
    assert derived.settings.node_ids == (1084753931, 1084753932)
    assert [str(one) for one in topology.overlays if one.version == 4] == ["192.168.201.116", "192.168.201.117"]
    assert (derived.profiles, derived.instance_tags) == (("cluster",), ("pacemaker",))
    tables = ",".join(one.route_table_id for one in topology.subnets)
    assert derived.values == {"rtb-table-name": tables}
    assert found.text == PUBLISHED.read_text(encoding="utf-8").replace("rtb-table-name", tables)
    assert found.aliases == ("suse:aws-vpc-move-ip",)


def test_what_the_file_names_is_there_by_that_name() -> None:
    """Region, instances, one table for two subnets, the name of the NIC."""
    derived = derive(of(data("hana-pcs.txt")))
    topology = derived.topology
    assert topology.region == "eu-west-1"
    assert [one.instance_id for one in topology.nodes] == ["i-0aaaaaaaaaaaaaaa1", "i-0aaaaaaaaaaaaaaa2"]
    assert {one.route_table_id for one in topology.subnets} == {"rtb-0aaaaaaaaaaaaaaa1"}
    assert {one.subnet.availability_zone for one in topology.nodes} == {"eu-west-1a", "eu-west-1b"}
    assert derived.settings.nic == "ens5"
    assert not derived.settings.fencing
    assert derived.values == {}


def test_a_private_address_decides_where_the_nodes_are() -> None:
    """All in its subnet; placeholders of instances stand for those of the nodes."""
    found = prepare(data("private-ip-pcs.txt"))
    nodes = found.derived.topology.nodes
    assert [str(one.address) for one in nodes] == ["10.5.10.11", "10.5.10.12"]
    assert len({one.subnet for one in nodes}) == 1
    assert str(found.derived.topology.private) == "10.5.10.13"
    (one,) = found.derived.resources
    assert (one.id, one.mode, one.by) == ("vip", "private-ip", "privip")
    assert found.derived.values["INSTANCE_ID_A"] == nodes[0].instance_id
    assert f"db-a:{nodes[0].instance_id};db-b:{nodes[1].instance_id}" in found.text


def test_tables_beyond_the_zones_belong_to_no_subnet() -> None:
    """As in a VPC with more tables than the nodes' subnets have."""
    topology = derive(of(data("db2-cib.xml"))).topology
    assert [one.route_table_id for one in topology.subnets] == ["rtb-0ccccccccccccccc1", "rtb-0ccccccccccccccc2"]
    assert topology.extra_route_tables == ("rtb-0ccccccccccccccc3",)


def test_an_overlay_address_is_outside_of_the_nodes_network() -> None:
    """Whatever address somebody has chosen, and wherever on-premises is by default."""
    topology = derive(of(IP.replace("192.168.1.1", "10.0.7.7"))).topology
    assert topology.overlay not in topology.cidr
    topology = derive(of(IP.replace("192.168.1.1", "172.31.0.7"))).topology
    assert topology.overlay not in topology.on_premises.cidr


def test_an_eni_that_moves_is_one_of_the_lab_s() -> None:
    """With its id, and an address that is told."""
    derived = derive(of("primitive e aws-ipfailover params mode=eni network_interface_id=eni-0123456789abcdef0"))
    assert derived.settings.mode == "eni"
    (interface,) = derived.topology.interfaces
    assert interface.network_interface_id == "eni-0123456789abcdef0"
    assert derived.resources[0].addresses == tuple(str(one) for one in interface.ipv4)
    assert any("eni-0123456789abcdef0 has the address" in sentence for sentence in derived.told)


COROSYNC = """totem {
    version: 2
    token: 30000
}
# nodes
nodelist {
    node {
        ring0_addr: 10.20.1.5
        nodeid: 11
        name: alpha
    }
    node {
        ring0_addr: 10.20.2.6
        nodeid: 12
        name: beta
    }
}
"""


def test_corosync_s_own_file_gives_names_ids_addresses_and_the_token() -> None:
    """They are the cluster's; --token has the last word."""
    facts = corosync_facts(COROSYNC)
    derived = derive(of(IP), corosync=facts)
    assert [(one.name, str(one.address)) for one in derived.topology.nodes] == [
        ("alpha", "10.20.1.5"),
        ("beta", "10.20.2.6"),
    ]
    assert derived.settings.node_ids == (11, 12)
    assert derived.settings.token_ms == 30000
    assert derive(of(IP), corosync=facts, token_ms=2000).settings.token_ms == 2000
    assert NOTHING_KNOWN.token_ms is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("totem {\n token: soon\n}", "corosync.conf, line 2: token is a number of milliseconds, not 'soon'"),
        ("totem {\n token 1\n}", "corosync.conf, line 2: neither a section nor NAME: VALUE"),
        ("}", "corosync.conf, line 1: a section ends that has not begun"),
        ("logging {\n debug: off\n}", "it has neither a nodelist nor a token"),
    ],
)
def test_a_wrong_corosync_conf_gets_a_sentence(text: str, sentence: str) -> None:
    """With the line."""
    with pytest.raises(LabError) as refused:
        corosync_facts(text)
    assert sentence in str(refused.value)


REFUSED = {
    "primitive a Dummy": "there is no resource in it that moves an address",
    f"{IP}\nprimitive w upstart:nginx": "line 2: w is of class 'upstart', which no lab can run or stand in for",
    f"{IP}\nprimitive f stonith:meatware": "line 2: f fences by meatware, which cannot reach an instance",
    f"{IP}\nprimitive f stonith:fence_nobody": "line 2: f fences by fence_nobody, which this machine does not have",
    f"{IP}\nnode a\nnode b\nnode c\nnode d\nnode e\nnode f": "it has 6 nodes, and a lab at most 5",
    "primitive e aws-ipfailover params mode=eni": "lacks a network interface",
    f"{IP}\n{IP.replace('primitive ip', 'primitive ip2').replace('heartbeat', 'suse')}": "it has the same agent as",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_no_lab_can_have_is_refused_with_a_sentence(text: str) -> None:
    """Before anything is made."""
    with pytest.raises(LabError) as refused:
        prepare(text)
    assert REFUSED[text] in str(refused.value)


def test_a_node_whose_name_is_none_for_a_host_gets_one_like_it() -> None:
    """Throughout the file, its fence device's map of hosts included; a name with a domain loses that."""
    text = f"{IP}\nnode my_node\nnode b.example.com\nlocation l ip 100: my_node\n"
    text += "primitive f stonith:fence_aws params pcmk_host_map=my_node:i-xxx;b.example.com:i-xxx region=eu-west-1"
    found = prepare(text)
    nodes = found.derived.topology.nodes
    assert [one.name for one in nodes] == ["my-node", "b"]
    assert "location l ip 100: my-node" in found.text
    assert f"pcmk_host_map=my-node:{nodes[0].instance_id};b:{nodes[1].instance_id} region" in found.text
    assert "'my_node' cannot be the host name of an instance: the node is called my-node" in found.derived.told


def test_a_majority_maker_is_one_node_more() -> None:
    """The only node that is named, and from which resources are kept."""
    text = f"{IP}\nlocation l ip -inf: maker"
    assert [one.name for one in derive(of(text)).topology.nodes] == ["node1", "node2", "maker"]
    assert [one.name for one in derive(of(text.replace("-inf", "100"))).topology.nodes] == ["maker", "node1"]


def test_a_number_that_is_left_open_is_that_of_the_nodes() -> None:
    """Of instances of a clone."""
    text = f"{IP}\nprimitive d Dummy\nclone c d meta clone-max=<number-of-nodes>"
    assert prepare(text).text.endswith("clone c d meta clone-max=2")


@pytest.mark.parametrize(
    ("agent", "sentence"),
    [
        (
            "IPaddr2 params ip=10.0.0.9",
            "line 1: a (IPaddr2) holds an address, and nothing in it moves one within a VPC",
        ),
        ("awseip params elastic_ip=1.2.3.4", "line 1: a (awseip) holds an address"),
        ("awsvip params secondary_private_ip=10.0.0.9", "line 1: a (awsvip) assigns an address in EC2, and no IPaddr2"),
    ],
)
def test_half_of_an_address_is_told_with_what_is_missing(agent: str, sentence: str) -> None:
    """What holds it without moving it, and what moves it without holding it."""
    with pytest.raises(LabError) as refused:
        prepare(f"primitive a {agent}\n")
    assert sentence in str(refused.value)


def test_a_placeholder_can_be_given_a_value() -> None:
    """One that the file does not have is a mistake."""
    text = IP.replace("192.168.1.1", "MY-IP")
    assert prepare(text, values={"MY-IP": "192.168.9.9"}).derived.resources[0].addresses == ("192.168.9.9",)
    assert prepare(text).derived.values == {"MY-IP": "192.168.10.10"}
    with pytest.raises(LabError, match=r"--set MY_IP=\.\.\.: the file has no word 'MY_IP'"):
        prepare(text, values={"MY_IP": "192.168.9.9"})


def test_the_role_of_a_shared_vpc_is_one_of_the_lab_s() -> None:
    """The account in its ARN owns the route tables; a placeholder stands for the lab's own role."""
    role = "arn:aws:iam::111122223333:role/tables"
    derived = derive(of(f"{IP} routing_table_role={role}"))
    assert (derived.roles, derived.topology.shared_vpc_owner) == ((role,), "111122223333")
    derived = derive(of(f"{IP} routing_table_role=arn:aws:iam::<account>:role/<role>"))
    assert derived.roles == (NETWORK_ROLE_ARN,)
    assert derived.values == {"arn:aws:iam::account:role/role-value": NETWORK_ROLE_ARN}


def test_without_a_fence_device_the_lab_s_own_fences() -> None:
    """Unless the configuration says that nobody is fenced."""
    assert derive(of(IP)).settings.fencing
    assert not derive(of(f"{IP}\nproperty stonith-enabled=false")).settings.fencing


# -- stand-ins ---------------------------------------------------------------------------------------------------------


def by_name(text: str) -> Dict[str, StandIn]:
    """The stand-ins of a configuration."""
    return {one.name: one for one in stand_ins(of(text))}


def test_stand_ins_have_the_parameters_that_the_file_uses() -> None:
    """All that resources of the agent have, whoever of them; Pacemaker's own are not a plugin's."""
    found = by_name(data("hana-controller.crm"))
    assert found["ocf:suse:SAPHanaController"].kind == "hana"
    assert "HANA_CALL_TIMEOUT" in found["ocf:suse:SAPHanaController"].parameters
    assert found["stonith:external/ec2"].parameters == ("tag", "profile")
    assert found["ocf:suse:SAPHanaFilesystem"].kind == "plain"
    db2 = by_name(data("db2-cib.xml"))["ocf:heartbeat:db2"]
    assert (db2.kind, db2.promotable) == ("promotable", True)
    assert not any("aws-vpc-move-ip" in name for name in found)


def test_what_needs_nothing_but_the_kernel_runs_as_it_is(tmp_path: Path) -> None:
    """Where it is installed; fence_aws reaches the lab's EC2."""
    place = tmp_path / "usr/lib/ocf/resource.d"
    for name in ("heartbeat/IPaddr2", "heartbeat/Filesystem", "acme/widget"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    text = f"{IP}\nprimitive a IPaddr2\nprimitive b Filesystem\nprimitive c ocf:acme:widget\n"
    text += "primitive d ocf:acme:gadget\nprimitive f stonith:fence_aws"
    assert {one.name: one.why for one in stand_ins(of(text), root=tmp_path)} == {
        "ocf:heartbeat:Filesystem": "its software is not in the lab",
        "ocf:acme:gadget": "it is not installed here",
    }
    assert aliases(of(text)) == ("heartbeat:aws-vpc-move-ip",)


def test_every_stand_in_has_metadata_that_its_resources_fit(tmp_path: Path) -> None:
    """XML; each parameter that the file has, none required; promotion where something is promoted."""
    found = stand_ins(of(data("hana-controller.crm")))
    write(found, tmp_path, first="blue", region="eu-central-1")
    program = tmp_path / "usr/lib/ocf/resource.d/suse/SAPHanaController"
    assert program.read_text(encoding="utf-8").startswith("#!/usr/bin/python3 -I\n")
    assert program.stat().st_mode & 0o111
    done = subprocess.run([sys.executable, "-I", str(program), "meta-data"], capture_output=True, text=True, check=True)
    tree = ET.fromstring(done.stdout)
    names = {one.get("name"): one.get("required") for one in tree.iter("parameter")}
    assert names == dict.fromkeys(
        (
            "SID",
            "InstanceNumber",
            "PREFER_SITE_TAKEOVER",
            "DUPLICATE_PRIMARY_TIMEOUT",
            "AUTOMATED_REGISTER",
            "HANA_CALL_TIMEOUT",
        ),
        "0",
    )
    assert {"promote", "demote", "monitor"} <= {one.get("name") for one in tree.iter("action")}
    plugin = tmp_path / "usr/lib/stonith/plugins/external/ec2"
    done = subprocess.run(
        [sys.executable, "-I", str(plugin), "getconfignames"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "tag\nprofile\n"
    about = json.loads((plugin.parent / ".ec2.json").read_text(encoding="utf-8"))
    assert about["region"] == "eu-central-1"


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*_*.py")), ids=lambda path: path.name)
def test_what_runs_on_the_nodes_imports_nothing_of_the_lab(program: Path) -> None:
    """The nodes' Python is the system's."""
    tree = ast.parse(program.read_text(encoding="utf-8"))
    imported = {one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
    assert not {name for name in imported if name and name.startswith(("vpc_lab", "aws_ipfailover"))}


def test_every_operation_of_the_file_is_one_of_the_stand_in(tmp_path: Path) -> None:
    """pcs refuses attributes of an operation that the metadata does not have, such as SAPInstance's `methods`."""
    text = f"{IP}\nprimitive s SAPInstance params InstanceName=A op methods interval=0 timeout=5 op reload timeout=9"
    (found,) = stand_ins(of(text))
    assert (found.operations, found.kind, found.promotable) == (("methods", "reload"), "enqueue", False)
    write([found], tmp_path, first="a", region="x")
    program = tmp_path / "usr/lib/ocf/resource.d/heartbeat/SAPInstance"
    done = subprocess.run([sys.executable, "-I", str(program), "meta-data"], capture_output=True, text=True, check=True)
    assert {"methods", "reload"} <= {one.get("name") for one in ET.fromstring(done.stdout).iter("action")}


def test_services_of_other_classes_are_stood_in_for_by_what_pacemaker_asks(tmp_path: Path) -> None:
    """Units of systemd by a system bus, init scripts by init scripts, fence agents by a fence agent of their name."""
    text = f"{IP}\nprimitive w systemd:nginx.service\nprimitive e systemd:exporter@HA1\nprimitive l lsb:haproxy"
    text += "\nprimitive s service:tomcat\nprimitive f stonith:fence_ipmilan params ip=10.0.0.1 pcmk_host_list=a"
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/fence_ipmilan").touch()
    found = stand_ins(of(text), root=tmp_path)
    assert [one.kind for one in found] == ["unit", "unit", "script", "script", "fencing"]
    write(found, tmp_path, first="a", region="eu-central-1")
    own = tmp_path / "usr/lib/ocf/resource.d/.lab"
    units = json.loads((own / ".system_bus.json").read_text(encoding="utf-8"))["units"]
    assert units == {"nginx": "w", "exporter@HA1": "e"}
    assert (own / "system_bus").stat().st_mode & 0o111
    for name, resource in (("haproxy", "l"), ("tomcat", "s")):
        assert json.loads((tmp_path / f"etc/init.d/.{name}.json").read_text(encoding="utf-8")) == {"resource": resource}
    agent = tmp_path / "usr/sbin/fence_ipmilan"
    done = subprocess.run(
        [sys.executable, "-I", str(agent), "-o", "metadata"], capture_output=True, text=True, check=True
    )
    names = {one.get("name") for one in ET.fromstring(done.stdout).iter("parameter")}
    assert names == {"action", "plug", "ip"}


def test_a_fence_agent_of_a_newer_version_is_the_machine_s_own(tmp_path: Path) -> None:
    """crm and pcs find the parameter in its metadata, and it is run without it."""
    agent = tmp_path / "machine/usr/sbin/fence_aws"
    agent.parent.mkdir(parents=True)
    agent.write_text(
        "#!/bin/sh\n# region\n[ \"$2\" = metadata ] && echo '<x><parameters></parameters></x>' && exit 0\ncat\n",
        encoding="utf-8",
    )
    agent.chmod(0o755)
    text = f"{IP}\nprimitive f stonith:fence_aws params region=eu-west-1 skip_os_shutdown=true pcmk_delay_max=5"
    assert [one.name for one in stand_ins(of(text), root=tmp_path / "machine")] == ["stonith:fence_aws"]
    (found,) = stand_ins(of(text), root=tmp_path / "machine")
    assert (found.kind, found.parameters) == ("newer", ("skip_os_shutdown",))
    assert stand_ins(of(text.replace("skip_os_shutdown=true", "")), root=tmp_path / "machine") == ()
    write([found], tmp_path, first="a", region="x", root=tmp_path / "machine")
    program = [sys.executable, "-I", str(tmp_path / "usr/sbin/fence_aws")]
    done = subprocess.run([*program, "-o", "metadata"], capture_output=True, text=True, check=True)
    assert [one.get("name") for one in ET.fromstring(done.stdout).iter("parameter")] == ["skip_os_shutdown"]
    asked = "action=off\nskip_os_shutdown=true\nplug=i-1\n"
    done = subprocess.run(program, input=asked, capture_output=True, text=True, check=True)
    assert done.stdout == "action=off\nplug=i-1\n"


# -- the plan ----------------------------------------------------------------------------------------------------------


def planned(text: str, *wanted: str) -> Plan:
    """The plan of a configuration, as if the cluster had loaded it so."""
    configuration = of(text)
    return plan(configuration, derive(configuration), stand_ins(configuration), wanted)


def test_what_is_moved_is_what_decides_where_the_address_is() -> None:
    """The promoted instance, where the address runs with that; else its group, or itself."""
    hana = planned(data("hana-pcs.txt")).service
    assert hana.mover is not None
    assert (hana.mover.resource, hana.mover.promoted, hana.behind) == ("hana_PR1_00-clone", True, "hana_PR1_00")
    ascs = planned(data("ascs-ers-pcs.txt")).service
    assert ascs.mover is not None
    assert (ascs.resource, ascs.mover.resource, ascs.mover.promoted) == ("vip_ascs", "grp_ascs", False)
    assert (ascs.behind, dict(ascs.others)) == ("sap_ascs", {"vip_ers": ("172.16.50.21",)})
    alone = planned(IP).service
    assert alone.mover is not None
    assert (alone.mover.resource, alone.behind) == ("ip", "")


def test_scenarios_that_do_not_fit_are_left_out_with_a_reason() -> None:
    """A monitor that never asks EC2 does not find a changed route; who is not fenced is not fenced."""
    why = dict(planned(data("hana-pcs.txt")).left_out)
    assert "neither OCF_CHECK_LEVEL=10 nor monapi=true" in why["route-changed"]
    assert why["crash-of-the-active-node"] == "played as crash-of-each-primary-in-turn"
    played = {one.name for one in planned(data("hana-controller.crm")).scenarios}
    assert {"route-changed", "failure-of-each-primary-in-turn", "split-brain"} <= played
    why = dict(planned(data("nfs.crm")).left_out)
    assert why["split-brain"] == "the configuration fences nobody"
    assert why["failure-of-the-secondary"] == "there is no pair of databases that SAPHana manages"
    assert "route-changed" in {one.name for one in planned(data("db2-cib.xml")).scenarios}


def test_a_slow_cluster_is_given_its_time() -> None:
    """The limits follow corosync's token, and delays of fencing that the file asks for."""
    configuration = of(data("hana-pcs.txt"))
    quick = planned(data("hana-pcs.txt")).service.patience
    slow = plan(configuration, derive(configuration, token_ms=30000), stand_ins(configuration)).service.patience
    assert quick == 15.0
    assert slow - quick == pytest.approx(29 * 2.2)


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("10s", 10), ("2min", 120), ("500ms", 0.5), ("1h", 3600), ("x", 0)]
)
def test_times_are_read_as_pacemaker_writes_them(text: str, value: float) -> None:
    """With a unit or without."""
    assert seconds(text) == value


def test_a_scenario_that_there_is_not_is_refused() -> None:
    """With those that there are; every one in the order of playing exists."""
    refuse_unknown(ORDER)
    with pytest.raises(LabError, match="there is no scenario 'nope' to rehearse; there are planned-move, crash"):
        refuse_unknown(["planned-move", "nope"])
