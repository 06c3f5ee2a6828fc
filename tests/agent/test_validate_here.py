"""The contract's row for `validate-all` at level 10: the parameters against this node, its ENI, and the VPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from sandbox import Node, Ran, addresses, ip, with_files, without_packages
from vpc_lab.ec2 import Fault, Policy, Statement
from vpc_lab.topology import topology_for

UNKNOWN_TABLE = "rtb-0123456789abcdef0"


def validate(node: Node, **parameters: str) -> Ran:
    """validate-all at level 10."""
    before, routes = addresses(), node.aws.account.routes_to(node.destination)
    ran = node.agent.run("validate-all", parameters, level=10)
    assert addresses() == before
    assert node.aws.account.routes_to(node.destination) == routes
    return ran


def test_all_is_well(node: Node) -> None:
    """validate-all, level 10: 0; it reads, and asks for permissions by EC2's DryRun, which changes nothing."""
    ran = validate(node)
    assert ran.code == 0, ran
    writes = [call for call in ran.calls if call.service == "ec2" and not call.action.startswith("Describe")]
    assert [call.action for call in writes] == ["ReplaceRoute", "ReplaceRoute"]
    assert {call.parameters["RouteTableId"] for call in writes} == set(node.tables)
    assert {call.outcome for call in writes} == {"DryRunOperation"}


READS = ("ec2:DescribeRouteTables", "ec2:DescribeNetworkInterfaces")


def test_a_write_that_is_denied(node: Node) -> None:
    """validate-all, level 10: also each permission that a start here needs, by EC2's DryRun: 4 naming it and every
    table that it is missing for."""
    node.aws.account.identities.restrict_instances(Policy((Statement(READS),)))
    ran = validate(node)
    assert ran.code == 4, ran
    assert "ReplaceRoute: UnauthorizedOperation" in ran.reason[:110]
    assert all(table in ran.reason for table in node.tables)


def test_a_write_that_is_denied_for_one_table(node: Node) -> None:
    """validate-all, level 10: each permission that a start needs, for every table: the one that is missing is named."""
    good, bad = node.tables
    may = Statement(("ec2:ReplaceRoute",), (f"*:route-table/{good}",))
    node.aws.account.identities.restrict_instances(Policy((Statement(READS), may)))
    ran = validate(node)
    assert ran.code == 4, ran
    assert bad in ran.reason
    assert good not in ran.reason


def test_the_permission_to_create_where_a_route_is_missing(node: Node) -> None:
    """validate-all, level 10: CreateRoute is asked for only for a table without the route, which a start would make."""
    node.aws.account.identities.restrict_instances(Policy((Statement((*READS, "ec2:ReplaceRoute")),)))
    assert validate(node).code == 0
    lacking, having = node.tables
    node.aws.account.delete_route(node.destination, lacking)
    ran = validate(node)
    assert ran.code == 4, ran
    assert "CreateRoute: UnauthorizedOperation" in ran.reason[:110]
    assert lacking in ran.reason
    assert having not in ran.reason
    assert [call.parameters["RouteTableId"] for call in ran.calls if call.action == "CreateRoute"] == [lacking]


def test_it_works_before_the_routes_exist(node: Node) -> None:
    """validate-all, level 10: before the first start there are no routes yet; that is no error."""
    node.aws.account.delete_route(node.destination)
    assert validate(node).code == 0


def test_an_unknown_table(node: Node) -> None:
    """validate-all, level 10: every table; one that EC2 does not know is 2, and named."""
    ran = validate(node, routing_table=f"{node.tables[0]},{UNKNOWN_TABLE}")
    assert ran.code == 2, ran
    assert UNKNOWN_TABLE in ran.reason


def test_a_filtered_read_that_comes_back_empty_once(node: Node) -> None:
    """An empty answer to a filtered read is UNKNOWN until a second read agrees: beside a table that is unknown no other
    one is called so."""
    node.aws.faults.add(Fault("empty_set", action="DescribeRouteTables", times=1))
    ran = validate(node, routing_table=f"{node.tables[0]},{UNKNOWN_TABLE}")
    assert ran.code == 2, ran
    assert UNKNOWN_TABLE in ran.reason
    assert node.tables[0] not in ran.reason


def test_every_table_is_looked_at(make_node: Callable[..., Node]) -> None:
    """validate-all, level 10: every table, also the last of more than a hundred."""
    node = make_node(topology=topology_for(extra_route_tables=118))
    assert validate(node).code == 0
    ran = validate(node, routing_table=",".join([*node.tables, UNKNOWN_TABLE]))
    assert ran.code == 2, ran


def test_source_dest_check(node: Node) -> None:
    """validate-all, level 10: source/destination check off; where it is on, 2 and the command that switches it off."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    ran = validate(node)
    assert ran.code == 2, ran
    assert "--no-source-dest-check" in ran.reason
    assert node.me.network_interface_id in ran.reason


@pytest.mark.parametrize("address", ["10.0.1.77", "10.0.200.1", "2001:db8:1000:1::77"])
def test_an_address_inside_the_vpc(node: Node, address: str) -> None:
    """validate-all, level 10: an overlay address inside a CIDR of the VPC is wrong here: 2 and not 6, as only an API
    told so."""
    ran = validate(node, ip=address)
    assert ran.code == 2, ran
    assert address in ran.reason


def test_a_secondary_cidr(node: Node) -> None:
    """validate-all, level 10: outside every CIDR of the VPC, also one that was associated later."""
    node.aws.api.administer("AssociateVpcCidrBlock", VpcId=node.aws.account.vpc_id, CidrBlock="192.168.10.0/24")
    ran = validate(node)
    assert ran.code == 2, ran
    assert "192.168.10.0/24" in ran.reason


def test_without_permission_to_describe_the_vpc(node: Node) -> None:
    """validate-all, level 10: DescribeVpcs is not needed: the tables' own local routes tell the VPC's CIDRs."""
    may = Statement((*READS, "ec2:ReplaceRoute"))
    node.aws.account.identities.restrict_instances(Policy((may,)))
    assert validate(node).code == 0
    assert validate(node, ip="10.0.1.77").code == 2


def test_permission_denied(node: Node) -> None:
    """validate-all, level 10: 4 where AWS says the credentials may not do this, with operation and code."""
    node.aws.account.identities.restrict_instances(Policy(()))
    ran = validate(node)
    assert ran.code == 4, ran
    assert "DescribeRouteTables: UnauthorizedOperation" in ran.reason


def test_no_root(node: Node) -> None:
    """validate-all, level 10: also root; 4 without."""
    ran = node.agent.begin("validate-all", level=10, command=["unshare", "--user"]).end()
    assert ran.code == 4, ran
    assert "root" in ran.reason
    assert ran.calls == ()


def test_no_interface(node: Node) -> None:
    """validate-all, level 10: 2 for an interface that is not there."""
    ran = validate(node, interface="eth7")
    assert ran.code == 2, ran
    assert "eth7" in ran.reason


def test_an_interface_without_an_eni(node: Node) -> None:
    """validate-all, level 10: an interface made on this node (lo, a bridge) gets its traffic by the primary ENI."""
    ip("link", "add", "name", "br0", "type", "bridge")
    assert validate(node, interface="lo").code == 0
    assert validate(node, interface="br0").code == 0


@pytest.mark.parametrize("name", ["boto3", "requests"])
def test_missing_packages(node: Node, tmp_path: Path, name: str) -> None:
    """validate-all, level 10: 5 where boto3 or requests is missing, and which."""
    ran = node.agent.run("validate-all", environ=without_packages(tmp_path / "shim", name), level=10)
    assert ran.code == 5, ran
    assert name in ran.reason


def test_malformed_first(node: Node) -> None:
    """validate-all, level 10: 6 for what is wrong in the text, before anybody is asked."""
    ran = validate(node, routing_table="nonsense")
    assert ran.code == 6, ran
    assert ran.calls == ()


FAULTS: list[tuple[dict[str, Any], int]] = [
    ({"kind": "error", "service": "imds", "status": 503}, 1),
    ({"kind": "error", "service": "imds", "status": 403}, 1),
    ({"kind": "hang", "service": "imds"}, 1),
    ({"kind": "hang", "service": "ec2"}, 1),
    ({"kind": "reset", "service": "ec2"}, 1),
    ({"kind": "error", "service": "ec2", "code": "RequestLimitExceeded", "status": 503}, 1),
    ({"kind": "error", "service": "ec2", "code": "AuthFailure", "status": 401}, 4),
    ({"kind": "error", "service": "ec2", "code": "InvalidParameterValue", "status": 400}, 1),
]


@pytest.mark.parametrize(("fault", "code"), FAULTS, ids=str)
def test_what_cannot_be_found_out(node: Node, fault: dict[str, Any], code: int) -> None:
    """validate-all, level 10: IMDS, credentials; what cannot be found out is 1, a refusal 4. Never 6: that is said only
    of text."""
    node.aws.faults.add(Fault(**fault))
    ran = node.agent.run("validate-all", level=10, timeout=5)
    assert ran.code == code, ran
    assert ran.reason


def test_no_credentials(node: Node) -> None:
    """validate-all, level 10: credentials; 1 where there are none at all."""
    node.aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    ran = validate(node)
    assert ran.code == 1, ran
    assert "credentials" in ran.reason


def test_a_missing_profile(node: Node) -> None:
    """2: a profile that this node does not have."""
    ran = validate(node, profile="missing")
    assert ran.code == 2, ran
    assert "missing" in ran.reason


def test_an_address_on_the_wrong_side_is_no_matter(node: Node) -> None:
    """validate-all, level 10: the same answer on the active node and on a standby."""
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    assert validate(node).code == 0


def test_what_else_configures_interfaces(node: Node, tmp_path: Path) -> None:
    """validate-all, level 10: a program that removes what the agent makes is named in a warning, and the code stays."""
    wants = tmp_path / "system" / "timers.target.wants"
    wants.mkdir(parents=True)
    (wants / "nm-cloud-setup.timer").touch()
    ran = node.agent.run("validate-all", level=10, command=with_files({tmp_path / "system": "/etc/systemd/system"}))
    assert ran.code == 0, ran
    assert "nm-cloud-setup removes addresses" in ran.stderr
    assert ran.reason == ""
    assert "nm-cloud-setup" not in validate(node).stderr
