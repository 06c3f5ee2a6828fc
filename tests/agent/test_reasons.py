"""What an administrator reads: exit reasons as `crm_mon` cuts them, and the log by its levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import pytest

from sandbox import Node, addresses, answers_on, crm_resource_stub, without_packages
from vpc_lab.ec2 import Fault, Policy, Statement

# Where Pacemaker cuts an exit reason.
SHOWN = 110
LEVEL_10 = {"level": 10, "interval": 10}


def deny_all(node: Node) -> None:
    """The instances' role may do nothing."""
    node.aws.account.identities.restrict_instances(Policy(()))


def deny_writes(node: Node) -> None:
    """The instances' role may read."""
    may = Statement(("ec2:DescribeRouteTables", "ec2:DescribeNetworkInterfaces"))
    node.aws.account.identities.restrict_instances(Policy((may,)))


def lead_elsewhere(node: Node) -> None:
    """The active node, whose routes somebody has led to the other one."""
    node.hold()
    node.point_routes_at("node2")


def drift_and_deny(node: Node) -> None:
    """Drift that cannot be repaired."""
    lead_elsewhere(node)
    deny_writes(node)


def delete_routes_and_deny(node: Node) -> None:
    """No table has the route, and it may not be made."""
    node.aws.account.delete_route(node.destination)
    deny_writes(node)


def hold_and_deny(node: Node) -> None:
    """The active node, that may not even read."""
    node.hold()
    deny_all(node)


def hold_without_api(node: Node) -> None:
    """The active node, that EC2 does not answer."""
    node.hold()
    node.aws.faults.add(Fault("reset", service="ec2"))


def throttle(node: Node) -> None:
    """EC2 refuses every call as one too many."""
    node.aws.faults.add(Fault("error", service="ec2", code="RequestLimitExceeded", status=503))


def without_credentials(node: Node) -> None:
    """The instance has no role."""
    node.aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None


def without_metadata(node: Node) -> None:
    """IMDS is switched off for this instance."""
    node.aws.imds.disabled.add("node1")


def without_metadata_but_with_a_region(node: Node) -> None:
    """The same, and only the region is a parameter."""
    without_metadata(node)
    node.agent.parameters["region"] = node.aws.account.topology.region


def check_on_and_deny(node: Node) -> None:
    """The source/destination check is on and may not be switched off."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    may = Statement(("ec2:DescribeNetworkInterfaces", "ec2:ReplaceRoute"))
    node.aws.account.identities.restrict_instances(Policy((may,)))


def vanished(node: Node) -> None:
    """Something has removed the address."""


class Case(NamedTuple):
    """A failure, its exit code, and what the first characters of its reason say: what it means, and what to do."""

    arrange: Callable[[Node], object]
    action: str
    options: Dict[str, Any]
    code: int
    said: List[str]


CASES: Dict[str, Case] = {
    "a bad parameter": Case(
        lambda node: node.agent.parameters.update(ip="10.99.0.500"),
        *("start", {}, 6),
        ["parameter ip: '10.99.0.500' is wrong", "expected an IPv4"],
    ),
    "no interface": Case(
        lambda node: node.agent.parameters.update(interface="eth7"),
        *("start", {}, 2),
        ["parameter interface: this node has no network interface 'eth7'"],
    ),
    "unknown tables": Case(
        lambda node: node.agent.parameters.update(routing_table="rtb-0123456789abcdef0"),
        *("start", {}, 2),
        ["rtb-0123456789abcdef0: does not exist: remove it from routing_table"],
    ),
    "no permission to write": Case(
        deny_all, "start", {}, 4, ["ReplaceRoute: UnauthorizedOperation", "allow it in this node's IAM"]
    ),
    "no route and none may be made": Case(
        delete_routes_and_deny, "start", {}, 4, ["ReplaceRoute: UnauthorizedOperation", "allow it"]
    ),
    "the check is on": Case(
        check_on_and_deny,
        *("start", {}, 2),
        ["source/destination check of eni-", "is on, so EC2 drops all packets", "switch it off: aws ec2"],
    ),
    "throttled": Case(throttle, "start", {"timeout": 3}, 1, ["ReplaceRoute: RequestLimitExceeded"]),
    "no credentials": Case(
        without_credentials, "start", {}, 1, ["no AWS credentials found", "no role of the instance"]
    ),
    "no region": Case(
        without_metadata, "start", {}, 1, ["AWS region not known, set parameter region", "IMDS is switched off (403"]
    ),
    "no credentials without IMDS": Case(
        *(without_metadata_but_with_a_region, "start", {}, 1),
        ["no AWS credentials, set parameter profile", "IMDS is switched off (403"],
    ),
    "the address is gone": Case(
        vanished, "monitor", {"interval": 10}, 7, ["192.168.10.10 is on no network interface", "something other than"]
    ),
    "may not read": Case(
        hold_and_deny,
        *("monitor", LEVEL_10, 190),
        ["Address up, nothing moved", "DescribeRouteTables: UnauthorizedOperation", 'allow it on Resource "*"'],
    ),
    "no answer": Case(
        hold_without_api,
        *("monitor", {**LEVEL_10, "timeout": 6}, 190),
        ["Address up, nothing moved", "DescribeRouteTables: no usable answer"],
    ),
    "drift that cannot be repaired": Case(
        drift_and_deny, "monitor", LEVEL_10, 1, ["ReplaceRoute: UnauthorizedOperation", "allow it in this node's"]
    ),
    "validate without permission": Case(
        deny_writes, "validate-all", {"level": 10}, 4, ["ReplaceRoute: UnauthorizedOperation", "allow it"]
    ),
    "validate with an unknown table": Case(
        lambda node: node.agent.parameters.update(routing_table="rtb-0123456789abcdef0"),
        *("validate-all", {"level": 10}, 2),
        ["rtb-0123456789abcdef0", "no such route table, remove it from routing_table"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_it_means_comes_first(node: Node, name: str) -> None:
    """At most one exit reason per run: what it means and what to do in the first 110 characters, where Pacemaker cuts.
    Failures are logged at ERROR; what is only degraded is a warning."""
    case = CASES[name]
    crm_resource_stub(node, "managed")
    case.arrange(node)
    ran = node.agent.run(case.action, **case.options)
    assert ran.code == case.code, ran
    for expected in case.said:
        assert expected in ran.reason[:SHOWN], ran.reason
    level = "WARNING" if ran.code == 190 else "ERROR"
    assert f"{level}: {case.action}: {ran.reason}" in ran.stderr.splitlines()


def test_success_is_no_error(node: Node) -> None:
    """Failures are logged at ERROR: an action that did what it should logs nothing above INFO, and no reason."""
    for action, options in (
        ("start", {}),
        ("monitor", {"interval": 10}),
        ("monitor", LEVEL_10),
        ("validate-all", {"level": 10}),
        ("stop", {}),
    ):
        ran = node.agent.run(action, **options)
        assert ran.code == 0, ran
        assert [line for line in ran.stderr.splitlines() if not line.startswith("INFO:")] == []


def test_errors_in_the_log_file(node: Node, tmp_path: Path) -> None:
    """Failures are logged at ERROR: also in HA_LOGFILE, where alerting looks."""
    file = tmp_path / "ha.log"
    deny_all(node)
    ran = node.agent.run("start", environ={"HA_LOGFILE": str(file)})
    assert ran.code == 4, ran
    assert f"ERROR: start: {ran.reason}" in file.read_text()


@pytest.mark.parametrize("name", ["boto3", "requests"])
def test_missing_software_is_an_error(node: Node, tmp_path: Path, name: str) -> None:
    """Failures are logged at ERROR: also 5."""
    ran = node.agent.run("start", environ=without_packages(tmp_path / "shim", name))
    assert ran.code == 5, ran
    assert [line for line in ran.stderr.splitlines() if line.startswith("ERROR: start:") and name in line]


# -- a refused `ip` names nothing --------------------------------------------------------------------------------------

REFUSED = [
    "192.168.10.10/32",
    "192.168.010.010",
    "192.168.10.10,garbage",
    "192.168.10.10 192.168.10.11",
    "::ffff:192.168.10.10",
]


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("name", ["ip", "address"])
def test_a_refused_address_is_nobodys(node: Node, name: str, text: str) -> None:
    """A refused `ip` names nothing: what another resource may have is left alone. A probe says 7, stop 0, and the
    other resource's address stays."""
    parameters: Dict[str, Optional[str]] = {"ip": None, name: text}
    node.hold()
    before = addresses()
    ran = node.agent.run("monitor", parameters)
    assert (ran.code, ran.reasons) == (7, []), ran
    assert node.agent.run("monitor", parameters, interval=10).code == 7
    ran = node.agent.run("stop", parameters)
    assert ran.code == 0, ran
    assert "WARNING: parameter " in ran.stderr
    assert addresses() == before
    assert answers_on(node.address)


def test_one_of_two_is_refused(node: Node) -> None:
    """A refused `ip` names nothing: an `address` beside it that is well formed is still this resource's."""
    node.hold()
    ran = node.agent.run("stop", {"ip": "192.168.10.99/32", "address": node.address})
    assert ran.code == 0, ran
    assert not answers_on(node.address)


# -- what is still being changed, and the cut-down models --------------------------------------------------------------


@pytest.mark.parametrize("action", ["ReplaceRoute", "ModifyNetworkInterfaceAttribute"])
def test_incorrect_state_is_waited_for(node: Node, action: str) -> None:
    """IncorrectState while something changes is waited for."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    node.aws.faults.add(Fault("error", action=action, code="IncorrectState", lasting=5.0))
    ran = node.agent.run("start", timeout=30)
    assert ran.code == 0, ran
    assert "IncorrectState" in {call.outcome.rpartition(":")[2] for call in ran.calls}
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_incorrect_state_to_the_end(node: Node) -> None:
    """IncorrectState is waited for until the deadline, and then told with AWS's own words."""
    message = "The instance is not in a valid state for this operation."
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="IncorrectState", message=message))
    ran = node.agent.run("start", timeout=5)
    assert ran.code == 1, ran
    assert f"ReplaceRoute: IncorrectState: {message}" in ran.reason
    assert node.held() == []


def test_the_cut_down_models_have_every_operation(node: Node) -> None:
    """Every operation of overlay-ip is in the models that the package brings: nothing falls back to the SDK's own,
    which take longer to load than the rest of a start."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    node.aws.account.delete_route(node.destination, node.tables[0])
    crm_resource_stub(node, "managed")
    asked = set()
    for action, options in (("start", {}), ("monitor", LEVEL_10), ("validate-all", {"level": 10})):
        ran = node.agent.run(action, environ={"HA_debug": "1"}, **options)
        assert ran.code == 0, ran
        assert "without trimmed models" not in ran.stderr
        asked |= set(ran.ec2)
        node.forget_writes()
        node.aws.account.put_route(node.destination, "node2", node.tables[1])
    assert {"CreateRoute", "ModifyNetworkInterfaceAttribute", "DescribeRouteTables", "DescribeVpcs"} <= asked
