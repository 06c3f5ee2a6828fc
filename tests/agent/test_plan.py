"""`aws-ipfailover plan`: what it says is what a start then does, and it changes nothing itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.plan import plan_for
from aws_ipfailover.steps import Need
from commands import AnyNode, Request, Told, allowing, document, planned_requests, request, run, typed
from sandbox import EniNode, Node, addresses, ip
from vpc_lab.ec2 import Call, Fault, Timing
from vpc_lab.topology import topology_for


def plan_of(node: AnyNode, code: int = 0) -> Dict[str, Any]:
    """The only plan of `plan --json`."""
    done = run(node, "plan", *typed(node), "--json")
    assert done.returncode == code, done
    (plan,) = document("plan", done)["plans"]
    return dict(plan)


def made_requests(calls: Sequence[Call]) -> List[Request]:
    """The calls that change something, by EC2's log, in order."""
    writes = [one for one in calls if one.service == "ec2" and not one.action.startswith("Describe")]
    return [
        request(one.action, [value for name, value in one.parameters.items() if name not in ("Action", "Version")])
        for one in writes
    ]


def commands_in(plan: Dict[str, Any]) -> List[str]:
    """The commands of `ip` that a plan says a start gives, in order."""
    return [" ".join(one["command"]) for one in plan["steps"] if one["command"] and one["command"][0] == "ip"]


def agreed(node: AnyNode, directory: Path, *, ordered: bool = False) -> Dict[str, Any]:
    """Plan, then start: the plan, after it has changed nothing and the start has done what it says."""
    told = Told(node, directory)
    world, kernel = node.aws.account.world, addresses()
    plan = plan_of(node)
    assert node.aws.account.world is world
    assert (told(), addresses(), list(node.directory.iterdir())) == ([], kernel, [])
    assert plan["end"] is None
    ran = node.agent.run("start", environ={"PATH": node.agent.environ["PATH"]})
    assert ran.code == 0, ran
    planned, made = planned_requests(plan), made_requests(ran.calls)
    assert (planned == made) if ordered else (Counter(planned) == Counter(made)), ran
    expected = [one.replace("NEW-INTERFACE", nic_of(node)) for one in commands_in(plan)]
    assert told() == expected
    return plan


def nic_of(node: AnyNode) -> str:
    """The name of the ENI's interface here, where there is one."""
    return node.nic if isinstance(node, EniNode) else ""


def needs(plan: Dict[str, Any]) -> List[Tuple[str, str]]:
    """The calls of a plan, each with its need."""
    return [(one["operation"], one["need"]) for one in plan["steps"] if one["place"] == "ec2"]


def kernel_needs(plan: Dict[str, Any]) -> List[str]:
    """The needs of a plan's steps in the kernel."""
    return [one["need"] for one in plan["steps"] if one["place"] == "kernel"]


# -- overlay-ip --------------------------------------------------------------------------------------------------------


def test_overlay_ip_from_another_node(node: Node, tmp_path: Path) -> None:
    """The address is added, and each table's route is replaced, away from the ENI that it leads to; all permitted."""
    other = node.aws.account.instance("node2").network_interface_id
    plan = agreed(node, tmp_path)
    first, check, *routes = plan["steps"]
    assert (first["command"], first["need"]) == (
        ["ip", "address", "replace", node.destination, "dev", "eth0"],
        "needed",
    )
    assert (check["operation"], check["need"], check["made"]) == (
        "ModifyNetworkInterfaceAttribute",
        "already so",
        False,
    )
    assert [one["parameters"]["RouteTableId"] for one in routes] == node.tables
    for one in routes:
        assert (one["before"], one["after"]) == (other, node.me.network_interface_id)
        assert (one["need"], one["verdict"]["answer"]) == ("needed", "permitted")


def test_overlay_ip_with_a_route_missing(node: Node, tmp_path: Path) -> None:
    """Where a table has no route, ReplaceRoute is tried, refused, and CreateRoute follows."""
    node.aws.api.administer("DeleteRoute", RouteTableId=node.tables[1], DestinationCidrBlock=node.destination)
    plan = agreed(node, tmp_path)
    assert needs(plan)[1:] == [("ReplaceRoute", "needed"), ("ReplaceRoute", "refused"), ("CreateRoute", "needed")]


def test_overlay_ip_already_here(node: Node, tmp_path: Path) -> None:
    """All is so already: no command, and the routes are written all the same."""
    node.hold()
    plan = agreed(node, tmp_path)
    assert [one["need"] for one in plan["steps"]] == ["already so"] * (2 + len(node.tables))
    assert len(planned_requests(plan)) == len(node.tables)


def test_overlay_ip_with_the_check_on_and_more(make_node: Callable[..., Node], tmp_path: Path) -> None:
    """The check is switched off, a link set up, a wrong copy removed, tables looked up, and a wide route written."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    node.aws.api.administer(
        "ModifyNetworkInterfaceAttribute",
        NetworkInterfaceId=node.me.network_interface_id,
        **{"SourceDestCheck.Value": "true"},
    )
    node.agent.parameters.update(routing_table="auto", ip=f"{node.address},192.168.10.11")
    ip("address", "add", "192.168.10.11/24", "dev", "eth0")
    node.agent.environ["HA_RSCTMP"] = str(node.directory)
    plan = agreed(node, tmp_path)
    assert needs(plan)[0] == ("ModifyNetworkInterfaceAttribute", "needed")


def test_overlay_ip_with_a_check_that_is_not_told(node: Node) -> None:
    """An answer without it is neither on nor off: what its call would change is not known, and the exit code is 3."""
    node.leave_out_the_check()
    plan = plan_of(node, 3)
    (check,) = [one for one in plan["steps"] if one["operation"] == "ModifyNetworkInterfaceAttribute"]
    assert (check["need"], check["made"]) == ("could not find out", None)
    assert "does not tell the source/destination check" in check["note"]


def test_an_address_that_the_resource_had_before(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed when the new one is here, as by a start that follows one which was killed."""
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-vip"
    node.started()
    before = node.destination
    node.agent.parameters["ip"] = "192.168.10.11"
    for name, value in node.agent.environ.items():
        monkeypatch.setenv(name, value)
    found = plan_for(node.agent.parameters, Deadline(30), "the-vip")
    assert found.end is None
    assert found.steps[-1].step.text == f"{before} removed from eth0"
    assert found.steps[-1].step.need is Need.NEEDED
    node.started()
    assert [one.address for one in addresses() if one.address.startswith("192.")] == ["192.168.10.11/32"]


def test_an_ipv6_address(node: Node, tmp_path: Path) -> None:
    """Its destination, and its options, are those of the start."""
    node.agent.parameters["ip"] = "fd00:10::10"
    plan = agreed(node, tmp_path)
    assert plan["steps"][0]["command"][-3:] == ["nodad", "preferred_lft", "0"]


def test_an_elastic_ip_follows(node: Node, tmp_path: Path) -> None:
    """It is associated with this node's ENI; the plan names who has it."""
    allocation = allocate(node)
    plan = agreed(node, tmp_path)
    last = plan["steps"][-1]
    assert (last["operation"], last["need"], last["before"]) == ("AssociateAddress", "needed", None)
    assert last["parameters"]["AllocationId"] == allocation
    assert last["verdict"]["answer"] == "permitted"
    (now,) = [one for one in plan_of(node)["steps"] if one["operation"] == "AssociateAddress"]
    assert (now["need"], now["before"]) == ("already so", node.me.network_interface_id)


def allocate(node: AnyNode) -> str:
    """Allocate an Elastic IP, and give it to the resource."""
    before = set(node.aws.account.world.elastic_ips)
    node.aws.api.administer("AllocateAddress", Domain="vpc")
    (made,) = set(node.aws.account.world.elastic_ips) - before
    node.agent.parameters["allocation_id"] = made
    return made


def test_a_permission_that_is_missing(node: Node) -> None:
    """Each call that is denied is told with EC2's code, by 1; the others are asked about all the same."""
    allowed = ["DescribeRouteTables", "DescribeNetworkInterfaces"]
    node.aws.account.identities.restrict_instances(allowing(allowed))
    plan = plan_of(node, 1)
    verdicts = [one["verdict"] for one in plan["steps"] if one["operation"] == "ReplaceRoute"]
    assert [one["answer"] for one in verdicts] == ["denied"] * len(node.tables)
    assert all("UnauthorizedOperation" in one["why"] for one in verdicts)


def test_a_table_that_cannot_be_read(node: Node) -> None:
    """A start writes it without a read: the calls are there, what they change is not known, and the exit code is 3."""
    node.aws.account.identities.restrict_instances(allowing(["ReplaceRoute", "DescribeNetworkInterfaces"]))
    plan = plan_of(node, 3)
    routes = [one for one in plan["steps"] if one["operation"] == "ReplaceRoute"]
    assert [one["need"] for one in routes] == ["could not find out"] * len(node.tables)
    assert [one["verdict"]["answer"] for one in routes] == ["permitted"] * len(node.tables)


def test_ec2_does_not_answer(node: Node) -> None:
    """Nothing is a `no`: the exit code is 3, and the plan says what could not be found out."""
    node.aws.faults.add(Fault("hang", service="ec2"))
    done = run(node, "plan", *typed(node), "--timeout", "3", "--json")
    assert done.returncode == 3, done
    (plan,) = document("plan", done)["plans"]
    assert not any(one["verdict"] and one["verdict"]["answer"] == "denied" for one in plan["steps"])


def test_a_table_that_does_not_exist(node: Node) -> None:
    """EC2 refuses it, and the plan says so with 1."""
    node.agent.parameters["routing_table"] += ",rtb-0123456789abcdef0"
    plan = plan_of(node, 1)
    assert (plan["steps"][-1]["need"], plan["steps"][-1]["verdict"]["answer"]) == ("refused", "refused")


def test_plain_lines(node: Node) -> None:
    """Where standard output is no terminal: one line a step that can be searched, then the command or parameters."""
    done = run(node, "plan", *typed(node))
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert f" 1  kernel: {node.destination} added to eth0; needed" in lines
    assert f"    ip address replace {node.destination} dev eth0" in lines
    (route,) = [one for one in lines if "EC2 ReplaceRoute" in one and node.tables[0] in one]
    assert route.endswith("; needed; permitted")
    assert "\x1b" not in done.stdout


def test_a_parameter_that_is_wrong(node: Node) -> None:
    """Typed, it is the command line that is wrong."""
    done = run(node, "plan", "ip=192.168.10.300", "routing_table=rtb-0123456789abcdef0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "parameter ip" in done.stderr


# -- private-ip --------------------------------------------------------------------------------------------------------


def give_to(node: Node, name: str, address: str) -> str:
    """Assign an address to the ENI of an instance; the ENI's id."""
    eni = node.aws.account.instance(name).network_interface_id
    kind, parameter = (
        ("Ipv6Addresses", "Ipv6Addresses.1") if ":" in address else ("PrivateIpAddresses", "PrivateIpAddress.1")
    )
    node.aws.api.administer(f"Assign{kind}", NetworkInterfaceId=eni, **{parameter: address})
    return eni


@pytest.mark.parametrize("holder", ["consumer-a", "node1", None])
@pytest.mark.parametrize("address", ["10.0.1.50", "2001:db8:1000:1::50"])
def test_private_ip(node: Node, tmp_path: Path, address: str, holder: str | None) -> None:
    """From another ENI, from nobody, and where it is here already; EC2 has no dry run for it."""
    eni = give_to(node, holder, address) if holder else None
    node.agent.parameters = {"mode": "private-ip", "ip": address}
    plan = agreed(node, tmp_path)
    calls = [one for one in plan["steps"] if one["place"] == "ec2"]
    assert calls[-1]["need"] == ("already so" if holder == "node1" else "needed")
    assert calls[-1]["before"] == eni
    assert {one["verdict"]["answer"] for one in calls} == {"cannot be asked"}
    unassigned = [one["operation"] for one in calls[:-1]]
    assert unassigned == (["UnassignIpv6Addresses"] if ":" in address and holder == "consumer-a" else [])
    assert plan["steps"][-1]["text"].startswith(f"{address} announced on eth0")


def test_private_ip_with_both_versions_and_an_elastic_ip(node: Node, tmp_path: Path) -> None:
    """A call for each version, and the Elastic IP with the IPv4 address."""
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50,2001:db8:1000:1::50"}
    allocate(node)
    give_to(node, "consumer-a", "2001:db8:1000:1::50")
    plan = agreed(node, tmp_path)
    (association,) = [one for one in plan["steps"] if one["operation"] == "AssociateAddress"]
    assert association["parameters"]["PrivateIpAddress"] == "10.0.1.50"


# -- eni ---------------------------------------------------------------------------------------------------------------


def test_eni_that_is_free(eni_node: EniNode, tmp_path: Path) -> None:
    """It is attached, at the index that a start takes; then its interface, which has no name yet, is configured."""
    plan = agreed(eni_node, tmp_path, ordered=True)
    assert needs(plan) == [("AttachNetworkInterface", "needed")]
    assert {"needed"} == set(kernel_needs(plan))
    assert any("NEW-INTERFACE" in one for one in commands_in(plan))


@pytest.mark.parametrize("stopped", [False, True])
def test_eni_attached_elsewhere(make_eni_node: Callable[..., EniNode], tmp_path: Path, stopped: bool) -> None:
    """It is detached from its holder, by force if that is stopped, and attached here."""
    node = make_eni_node(timing=Timing(detach=0.3))
    node.attach(node.other)
    if stopped:
        node.aws.api.administer("StopInstances", InstanceId=node.other.instance_id)
        node.aws.account.wait_for(lambda world: world.instances[node.other.instance_id].state == "stopped")
    plan = agreed(node, tmp_path, ordered=True)
    assert needs(plan) == [("DetachNetworkInterface", "needed"), ("AttachNetworkInterface", "needed")]
    detach, attach = (one for one in plan["steps"] if one["place"] == "ec2")
    assert (detach["before"], detach["parameters"]["Force"]) == (node.other.instance_id, stopped)
    assert attach["after"] == node.me.instance_id
    assert {one["verdict"]["answer"] for one in (detach, attach)} <= {"permitted", "cannot be asked"}


def test_eni_already_here(eni_node: EniNode, tmp_path: Path) -> None:
    """After a start no call follows, and what its interface is given again is so already."""
    eni_node.started()
    for path in eni_node.directory.iterdir():
        path.unlink()
    plan = agreed(eni_node, tmp_path, ordered=True)
    (attached,) = [one for one in plan["steps"] if one["made"] is False]
    assert (attached["need"], attached["operation"]) == ("already so", None)
    *kernel, announced = (one["need"] for one in plan["steps"] if one is not attached)
    assert (set(kernel), announced) == ({"already so"}, "needed")


def test_eni_with_addresses_and_an_elastic_ip(make_eni_node: Callable[..., EniNode], tmp_path: Path) -> None:
    """Each of its addresses, and one of `ip`, has its command and its rule."""
    node = make_eni_node("10.0.1.60", "10.0.1.61", "2001:db8:1000:1::60")
    node.agent.parameters["ip"] = "192.168.10.10"
    allocate(node)
    plan = agreed(node, tmp_path, ordered=False)
    assert [one for one, _ in needs(plan)] == ["AttachNetworkInterface", "AssociateAddress"]


def test_eni_of_another_zone(eni_node: EniNode) -> None:
    """The start ends there, as it would: with 1 and the same sentence."""
    eni_node.agent.parameters["network_interface_id"] = eni_node.aws.account.instance("node2").network_interface_id
    plan = plan_of(eni_node, 1)
    ran = eni_node.agent.run("start")
    assert plan["end"] == {"known": True, "text": ran.reason}
