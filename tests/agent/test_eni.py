"""The contract's rows for mode=eni: a network interface that moves, from every state it can be in."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from sandbox import (
    EniNode,
    HotPlug,
    addresses,
    answers_on,
    attach,
    create_eni,
    ip,
    secrets_of,
    silent_address,
    with_profile,
    without_packages,
)
from vpc_lab.ec2 import Consistency, Fault, Timing
from vpc_lab.waiting import eventually

NOT_RUNNING = 7
DEGRADED = 190
SHORT = 6.0  # seconds of timeout, where a run is to reach its end
ALL = ("10.0.1.60", "10.0.1.61", "10.0.1.62", "2001:db8:1000:1::60", "2001:db8:1000:1::61")
MakeEniNode = Callable[..., EniNode]


def power_off(node: EniNode, instance_id: str) -> None:
    """Stop an instance; it is off afterwards, and keeps its ENIs."""
    node.aws.api.administer("StopInstances", InstanceId=instance_id, Force="true")
    node.aws.account.wait_for(lambda world: world.instances[instance_id].state == "stopped")


def let_reads_lag(node: EniNode, eni: str, *, alternating: bool = False) -> None:
    """From now on reads lag behind writes, but everything that there is can be seen."""
    node.aws.account.consistency = Consistency(lag=4.0, alternating=alternating)
    eventually(f"{eni} is seen", lambda: all(eni in node.aws.account.view().interfaces for _ in range(2)))


def detachments(node: EniNode) -> list[str]:
    """`Force` of every detachment that the agent has asked for."""
    calls = node.aws.calls("DetachNetworkInterface")
    return [call.parameters.get("Force", "false") for call in calls if call.caller != "administrator"]


# -- start, from every state ------------------------------------------------------------------------------------------


def test_start_from_available(eni_node: EniNode) -> None:
    """Available: it is attached at the lowest free index, and all of it is here; nothing is detached."""
    ran = eni_node.started()
    assert ran.reasons == []
    attachment = eni_node.interface().attachment
    assert attachment is not None
    assert (attachment.instance_id, attachment.device_index) == (eni_node.me.instance_id, 1)
    assert "DetachNetworkInterface" not in ran.ec2
    assert ran.ec2.count("AttachNetworkInterface") == 1


def test_an_interface_that_is_named_beforehand(eni_node: EniNode) -> None:
    """`interface` in eni is the NIC whose MAC is the ENI's, whatever is named: before the attachment it is not here."""
    eni_node.agent.parameters |= {"interface": "enp0s31f6", "iflabel": "ten-letter"}
    eni_node.started()
    assert eni_node.agent.run("monitor", level=10, interval=10).code == 0
    assert eni_node.agent.run("stop").code == 0


def test_start_with_durations(make_eni_node: MakeEniNode) -> None:
    """Attached elsewhere, detaching and attaching take their time, the NIC comes later still: start waits for all."""
    node = make_eni_node(
        hot_plug=HotPlug(delay=0.3), timing=Timing(attach=0.3, detach=0.4, imds_interface_lag=math.inf)
    )
    node.attach(node.other)
    node.aws.account.wait_for(lambda _: node.status() == "attached")
    node.started()
    assert node.holder() == node.me.instance_id
    assert detachments(node) == ["false"]


def test_start_from_a_stopped_holder(make_eni_node: MakeEniNode) -> None:
    """A holder that is stopped keeps its ENI and cannot take part: it is taken away by force, at once."""
    node = make_eni_node(timing=Timing(detach=math.inf))
    node.attach(node.other)
    power_off(node, node.other.instance_id)
    node.started()
    assert detachments(node) == ["true"]


def test_start_while_it_is_detached_elsewhere(make_eni_node: MakeEniNode) -> None:
    """Detaching from another instance, by that one's stop: start waits for the end, and asks for nothing more."""
    node = make_eni_node(timing=Timing(detach=0.5))
    node.attach(node.other)
    node.detach()
    assert node.status() == "detaching"
    node.started()
    assert detachments(node) == []


def test_start_while_it_is_attached_elsewhere(make_eni_node: MakeEniNode) -> None:
    """Attaching to another instance: it can be detached only afterwards, and then is."""
    node = make_eni_node(timing=Timing(attach=0.4))
    node.attach(node.other)
    assert node.status() == "attaching"
    node.started()
    assert node.holder() == node.me.instance_id


def test_start_while_it_is_attached_here(make_eni_node: MakeEniNode) -> None:
    """Attaching to this instance already (a start that was killed): start waits, and attaches nothing itself."""
    node = make_eni_node(timing=Timing(attach=0.4))
    node.attach(node.me, 2)
    ran = node.started()
    assert "AttachNetworkInterface" not in ran.ec2


def test_start_while_it_is_detached_here(make_eni_node: MakeEniNode) -> None:
    """Detaching from this instance (its own stop a moment ago): start waits for the end, and attaches it anew."""
    node = make_eni_node(timing=Timing(detach=0.5))
    node.attach(node.me)
    first = node.nic
    node.detach()
    node.started()
    assert node.nic != first


@pytest.mark.parametrize(
    ("holder", "asked"), [("consumer-a", "by this start"), ("consumer-a", "before"), ("node1", "before")]
)
def test_a_stuck_detachment(eni_node: EniNode, holder: str, asked: str) -> None:
    """A plain detachment that never ends becomes one by force after a grace period, within the deadline."""
    eni_node.aws.account.stuck_detach.add(eni_node.eni)
    eni_node.attach(eni_node.aws.account.instance(holder))
    if asked == "before":
        eni_node.detach()
    ran = eni_node.agent.run("start", timeout=15)
    assert ran.code == 0, ran
    assert ran.elapsed < 15
    assert eni_node.served()
    assert detachments(eni_node) == (["true"] if asked == "before" else ["false", "true"])


def test_a_holder_that_is_fenced_meanwhile(make_eni_node: MakeEniNode) -> None:
    """The holder is powered off while its detachment hangs: force follows at once, not after the grace period."""
    node = make_eni_node()
    node.aws.account.stuck_detach.add(node.eni)
    node.attach(node.other)
    with node.agent.begin("start", timeout=300) as running:
        eventually("a plain detachment is asked for", lambda: detachments(node) == ["false"])
        power_off(node, node.other.instance_id)
        ran = running.end()
    assert ran.code == 0, ran
    assert detachments(node) == ["false", "true"]


def test_force_does_not_help_either(make_eni_node: MakeEniNode) -> None:
    """An ENI that nothing detaches: 1 within the deadline, with the state it is in; asked for twice, not for ever."""
    node = make_eni_node(timing=Timing(detach=math.inf, forced_detach=math.inf))
    node.attach(node.other)
    ran = node.agent.run("start", timeout=SHORT)
    assert ran.code == 1, ran
    assert ran.elapsed < SHORT
    assert "detaching" in ran.reason
    assert detachments(node) == ["false", "true"]
    assert node.quiesced()


@pytest.mark.parametrize("index", [1, 2])
def test_start_attached_but_not_configured(eni_node: EniNode, index: int) -> None:
    """Attached here, at whatever index, and nothing is configured: everything is, with no write to EC2."""
    eni_node.attach(eni_node.me, index)
    ran = eni_node.started()
    assert set(ran.ec2) <= {"DescribeNetworkInterfaces", "DescribeInstances", "DescribeSubnets"}


def test_start_twice(eni_node: EniNode) -> None:
    """A second start changes nothing, and writes nothing to EC2."""
    eni_node.started()
    before = ip("link", "show", "dev", eni_node.nic), addresses(), eni_node.routes(), eni_node.rules()
    ran = eni_node.started()
    assert not {"AttachNetworkInterface", "DetachNetworkInterface"} & set(ran.ec2)
    assert (ip("link", "show", "dev", eni_node.nic), addresses(), eni_node.routes(), eni_node.rules()) == before


def test_start_under_another_name(eni_node: EniNode) -> None:
    """Renamed, or attached again under another name: the interface is found by its MAC address."""
    eni_node.started()
    first = eni_node.nic
    eni_node.detach()
    eventually("the NIC goes", lambda: not eni_node.hot_plug.plugged)
    assert eni_node.agent.run("monitor").code == NOT_RUNNING
    eni_node.started()
    assert eni_node.nic != first
    ip("link", "set", "dev", eni_node.nic, "down")
    ip("link", "set", "dev", eni_node.nic, "name", "service0")
    eni_node.hot_plug.plugged[eni_node.eni] = "service0"
    eni_node.started()


def test_the_index_is_taken_meanwhile(make_eni_node: MakeEniNode) -> None:
    """An index that no read shows as taken is refused by EC2: the next one is used."""
    node = make_eni_node()
    other = create_eni(node.aws, node.me.subnet.subnet_id, "10.0.1.70")
    let_reads_lag(node, other)
    attach(node.aws, other, node.me, 1)
    ran = node.started()
    assert ran.stderr.count("taken meanwhile") == 1
    attachment = node.interface().attachment
    assert attachment is not None
    assert attachment.device_index == 2


def test_an_old_read_says_available(make_eni_node: MakeEniNode) -> None:
    """Reads that lag say available while it is in use: EC2's refusal is no end, it is looked at again."""
    node = make_eni_node()
    let_reads_lag(node, node.eni)
    node.attach(node.other)
    ran = node.started()
    assert ran.ec2.count("AttachNetworkInterface") >= 2
    assert detachments(node) == ["false"]


def test_reads_that_alternate(make_eni_node: MakeEniNode) -> None:
    """Right answers and old ones by turns: start reaches its goal."""
    node = make_eni_node(timing=Timing(attach=0.2, detach=0.2))
    let_reads_lag(node, node.eni, alternating=True)
    node.attach(node.other)
    node.started()
    assert node.holder() == node.me.instance_id


# -- what is wrong on this node ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_another_zone(eni_node: EniNode, action: str) -> None:
    """2: an ENI of another availability zone, with a sentence that names overlay-ip; nothing is changed."""
    far = create_eni(eni_node.aws, eni_node.aws.account.instance("node2").subnet.subnet_id, "10.0.2.60")
    ran = eni_node.agent.run(action, {"network_interface_id": far}, level=10)
    assert ran.code == 2, ran
    assert "eu-central-1b" in ran.reason
    assert "mode=overlay-ip" in ran.reason
    assert not {"AttachNetworkInterface", "DetachNetworkInterface"} & set(ran.ec2)


@pytest.mark.parametrize("action", ["start", "validate-all"])
@pytest.mark.parametrize("name", ["node1", "consumer-a"])
def test_a_primary_interface(eni_node: EniNode, action: str, name: str) -> None:
    """2: the primary ENI of an instance, be it this one's or another's."""
    primary = eni_node.aws.account.instance(name).network_interface_id
    ran = eni_node.agent.run(action, {"network_interface_id": primary}, level=10)
    assert ran.code == 2, ran
    assert "primary" in ran.reason
    assert answers_on(str(eni_node.me.address))


def test_stop_of_a_primary_interface(eni_node: EniNode) -> None:
    """stop, by a parameter that names the node's own primary ENI: 0, and the node keeps its network."""
    eni_node.attach(eni_node.me)  # so that there are two NICs to choose from
    before = ip("link", "show", "dev", "eth0"), addresses(), ip("route", "show")
    ran = eni_node.agent.run("stop", {"network_interface_id": eni_node.me.network_interface_id})
    assert ran.code == 0, ran
    assert (ip("link", "show", "dev", "eth0"), addresses(), ip("route", "show")) == before


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_an_unknown_interface(eni_node: EniNode, action: str) -> None:
    """2: EC2 does not know it."""
    ran = eni_node.agent.run(action, {"network_interface_id": "eni-0123456789abcdef0"}, level=10)
    assert ran.code == 2, ran
    assert "eni-0123456789abcdef0" in ran.reason


def test_too_many_interfaces(eni_node: EniNode) -> None:
    """2: AttachmentLimitExceeded. The ENI has left its holder by then, and is free for another node; stop is 0."""
    for number in (1, 2):
        other = create_eni(eni_node.aws, eni_node.me.subnet.subnet_id, f"10.0.1.{70 + number}")
        attach(eni_node.aws, other, eni_node.me, number)
    eni_node.attach(eni_node.other)
    ran = eni_node.agent.run("start")
    assert ran.code == 2, ran
    assert "AttachNetworkInterface: AttachmentLimitExceeded" in ran.reason
    assert eni_node.holder() is None
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    eni_node.attach(eni_node.other)


def test_device_index(eni_node: EniNode) -> None:
    """device_index is where it is attached; 2 where another ENI has it."""
    other = create_eni(eni_node.aws, eni_node.me.subnet.subnet_id, "10.0.1.70")
    attach(eni_node.aws, other, eni_node.me, 1)
    ran = eni_node.agent.run("start", {"device_index": "1"})
    assert ran.code == 2, ran
    assert "device_index" in ran.reason
    ran = eni_node.agent.run("start", {"device_index": "5"})
    assert ran.code == 0, ran
    attachment = eni_node.interface().attachment
    assert attachment is not None
    assert attachment.device_index == 5


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeNetworkInterfaces",
        "DescribeInstances",
        "DescribeSubnets",
        "AttachNetworkInterface",
        "DetachNetworkInterface",
    ],
)
def test_denied(eni_node: EniNode, operation: str) -> None:
    """4: AWS does not allow an operation that start needs; the reason names it."""
    eni_node.attach(eni_node.other)
    eni_node.aws.faults.add(Fault("error", action=operation, code="UnauthorizedOperation", status=403))
    ran = eni_node.agent.run("start")
    assert ran.code == 4, ran
    assert f"{operation}: UnauthorizedOperation" in ran.reason
    assert eni_node.quiesced()


def test_an_interface_of_a_service(eni_node: EniNode) -> None:
    """2: an ENI that EC2 lets nobody detach."""
    eni_node.attach(eni_node.other)
    eni_node.aws.faults.add(Fault("error", action="DetachNetworkInterface", code="OperationNotPermitted", status=400))
    ran = eni_node.agent.run("start")
    assert ran.code == 2, ran
    assert "OperationNotPermitted" in ran.reason


def test_a_nic_that_never_appears(eni_node: EniNode) -> None:
    """EC2 says attached and the kernel shows nothing: 1 within the deadline, with the MAC address to look for.

    The stop that follows a failed start lets go of the ENI; a later start takes it from wherever it is.
    """
    eni_node.hot_plug.never = True
    ran = eni_node.agent.run("start", timeout=SHORT)
    assert ran.code == 1, ran
    assert ran.elapsed < SHORT
    assert eni_node.interface().mac in ran.reason
    assert eni_node.quiesced()
    assert eni_node.holder() == eni_node.me.instance_id
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.holder() is None
    eni_node.attach(eni_node.other)
    eni_node.hot_plug.never = False
    eni_node.started()


def test_an_api_that_fails_once(eni_node: EniNode) -> None:
    """One throttled call of each operation: start gets through."""
    eni_node.attach(eni_node.other)
    for operation in ("DescribeNetworkInterfaces", "DescribeInstances", "DescribeSubnets", "Attach*", "Detach*"):
        eni_node.aws.faults.add(Fault("error", action=operation, times=1, code="RequestLimitExceeded", status=503))
    eni_node.started()


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_an_answer_that_is_lost(eni_node: EniNode, operation: str) -> None:
    """The call takes effect and its answer is lost: start reaches its goal."""
    eni_node.attach(eni_node.other)
    eni_node.aws.faults.add(Fault("reset", action=operation, after=True, times=1))
    eni_node.started()


# -- what is configured -----------------------------------------------------------------------------------------------


def test_all_addresses(make_eni_node: MakeEniNode) -> None:
    """Every address of the ENI, IPv4 and IPv6, primary and secondary, and `ip` on top: each with its own rule."""
    node = make_eni_node(*ALL)
    node.agent.parameters["ip"] = "192.168.10.10"
    node.started()
    everything = sorted([*ALL, "192.168.10.10"])
    assert sorted(address.split("/")[0] for address in node.on_nic()) == everything
    assert {address.split("/")[1] for address in node.on_nic()} == {"32", "128"}
    assert node.rules() == everything
    assert all(answers_on(address) for address in everything)


def main_table() -> Any:
    """IPv4 as it was, and IPv6's default routes."""
    ours = [rule for rule in ip("rule", "show") if rule["table"] in ("local", "main", "default")]
    return ip("-4", "route", "show"), ip("-6", "route", "show", "default"), ours


@pytest.mark.parametrize("service_subnet", [False, True])
def test_routes(make_eni_node: MakeEniNode, service_subnet: bool) -> None:
    """Replies leave by the ENI, in both layouts: the node's own default route and its main table stay as they are."""
    third = 3 if service_subnet else 1
    service = (f"10.0.{third}.60", f"2001:db8:1000:{third}::60")
    node = make_eni_node(*service, service_subnet=service_subnet)
    before = main_table()
    node.started()
    assert main_table() == before
    assert node.routes() == {"default": (node.nic, f"10.0.{third}.1"), f"10.0.{third}.0/24": (node.nic, None)}
    assert node.routes(6)["default"] == (node.nic, "fe80:ec2::1")
    assert node.routes(6)[f"2001:db8:1000:{third}::/64"] == (node.nic, None)
    for destination in ("10.0.1.101", f"10.0.{third}.77", "10.0.2.12", "8.8.8.8"):
        assert ip("route", "get", destination, "from", service[0])[0]["dev"] == node.nic
        # What the node sends of its own accord does not.
        assert ip("route", "get", destination)[0]["dev"] == "eth0"
        assert ip("route", "get", destination, "from", str(node.me.address))[0]["dev"] == "eth0"
    assert ip("-6", "route", "get", "2001:db8:31::10", "from", service[1])[0]["dev"] == node.nic


def test_no_route_by_advertisement(eni_node: EniNode) -> None:
    """The router's advertisements give the node no second default route, and the reverse path filter is loose."""
    eni_node.started()
    assert Path(f"/proc/sys/net/ipv6/conf/{eni_node.nic}/accept_ra").read_text().strip() == "0"
    assert Path(f"/proc/sys/net/ipv4/conf/{eni_node.nic}/rp_filter").read_text().strip() == "2"


def test_an_address_that_was_taken_away_from_the_eni(make_eni_node: MakeEniNode) -> None:
    """A secondary address that the ENI has no longer loses its rule at the next start."""
    node = make_eni_node("10.0.1.60", "10.0.1.61")
    node.started()
    node.aws.api.administer(
        "UnassignPrivateIpAddresses", NetworkInterfaceId=node.eni, **{"PrivateIpAddress.1": "10.0.1.61"}
    )
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert node.rules() == ["10.0.1.60"]
    assert not answers_on("10.0.1.61")


def test_an_address_elsewhere_on_the_node(eni_node: EniNode) -> None:
    """An address of the ENI that somebody put on another interface is there no longer."""
    ip("address", "add", "10.0.1.60/24", "dev", "eth0")
    eni_node.started()
    assert eni_node.on_nic() == ["10.0.1.60/32"]
    assert not [one for one in ip("address", "show", "dev", "eth0")[0]["addr_info"] if one["local"] == "10.0.1.60"]


# -- stop -------------------------------------------------------------------------------------------------------------


def test_stop(make_eni_node: MakeEniNode) -> None:
    """stop: nothing answers here any more, and the detachment is asked for, plainly; its end is not waited for."""
    node = make_eni_node(*ALL, timing=Timing(detach=math.inf))
    node.agent.parameters["ip"] = "192.168.10.10"
    node.started()
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert node.quiesced()
    assert not answers_on("192.168.10.10")
    assert node.status() == "detaching"
    assert detachments(node) == ["false"]
    assert node.agent.run("monitor").code == NOT_RUNNING
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert "DetachNetworkInterface" not in ran.ec2


def test_stop_start_stop(eni_node: EniNode) -> None:
    """Round and round: nothing is left behind that the next one trips over."""
    for _ in range(2):
        eni_node.started()
        assert eni_node.agent.run("stop").code == 0
        eventually("it is detached", lambda: eni_node.status() == "available" and not eni_node.hot_plug.plugged)
        assert eni_node.quiesced()


@pytest.mark.parametrize("detach", [0.0, 1.0])
def test_restart_while_reads_lag(make_eni_node: MakeEniNode, detach: float) -> None:
    """A start right after a stop, while reads still show the old attachment: it is attached anew, and served."""
    node = make_eni_node(timing=Timing(detach=detach))
    node.started()
    let_reads_lag(node, node.eni)
    eventually("reads have caught up", lambda: node.aws.account.view() is node.aws.account.world)
    assert node.agent.run("stop").code == 0
    ran = node.agent.run("start", timeout=20)
    assert ran.code == 0, ran
    node.aws.account.settle()
    assert node.status() == "attached"
    assert node.served()


def unreachable(node: EniNode, tmp_path: Path, what: str) -> Dict[str, str]:
    """Environment for a stop during trouble."""
    if what == "boto3 is missing":
        return without_packages(tmp_path / "shim", "boto3", "botocore", "requests", "urllib3")
    if what == "IMDS is switched off":
        node.aws.imds.disabled.add("node1")
        return {}
    if what == "the address is refused":
        return {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}
    kind, service = what.split()
    node.aws.faults.add(Fault(kind, service=service))  # type: ignore[arg-type]
    return {}


TROUBLES = [
    *("hang ec2", "error ec2", "reset ec2", "hang imds", "error imds", "hang *"),
    *("boto3 is missing", "IMDS is switched off", "the address is refused"),
]


@pytest.mark.parametrize("what", TROUBLES)
def test_stop_in_trouble(eni_node: EniNode, tmp_path: Path, what: str) -> None:
    """API or IMDS unreachable, boto3 missing: 0, quiesced, in time; the ENI stays attached for the next node."""
    eni_node.started()
    environ = unreachable(eni_node, tmp_path, what)
    ran = eni_node.agent.run("stop", environ=environ, timeout=5)
    assert ran.code == 0, ran
    assert ran.elapsed < 5
    assert eni_node.quiesced()
    assert ran.reasons == []
    assert eni_node.holder() == eni_node.me.instance_id


REFUSED = ["10.0.1.11/24", "192.168.10.10/32", "nonsense", "10.0.0.500"]


@pytest.mark.parametrize("text", REFUSED)
def test_stop_with_a_refused_address(eni_node: EniNode, text: str) -> None:
    """stop: a refused `ip` names nothing: the ENI is quiesced, and what another resource may have stays."""
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    before = addresses()
    eni_node.started()
    ran = eni_node.agent.run("stop", {"ip": text})
    assert ran.code == 0, ran
    assert eni_node.quiesced()
    assert addresses() == before


def test_stop_with_everything_missing(eni_node: EniNode, tmp_path: Path) -> None:
    """stop: no SDK, no IMDS, no region, no credentials, the NIC renamed: 0, quiesced, and the ENI stays attached."""
    eni_node.started()
    ip("link", "set", "dev", eni_node.nic, "down")
    ip("link", "set", "dev", eni_node.nic, "name", "renamed0")
    ip("link", "set", "dev", "renamed0", "up")
    eni_node.hot_plug.plugged[eni_node.eni] = "renamed0"
    eni_node.agent.environ = without_packages(tmp_path / "shim", "boto3", "botocore", "requests", "urllib3")
    eni_node.agent.environ["HA_RSCTMP"] = "/dev/null/nowhere"
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert ran.reasons == []
    assert eni_node.quiesced()
    assert eni_node.holder() == eni_node.me.instance_id


def test_stop_with_packets_dropped(eni_node: EniNode) -> None:
    """Nobody answers and nobody refuses: 0 and quiesced, within a timeout that is long and one that is short."""
    eni_node.started()
    with silent_address() as (host, port):
        url = f"http://{host}:{port}"
        ran = eni_node.agent.run("stop", environ={"AWS_ENDPOINT_URL": url}, timeout=5)
    assert ran.code == 0, ran
    assert ran.elapsed < 5
    assert eni_node.quiesced()


def test_stop_on_a_clean_node(eni_node: EniNode) -> None:
    """A node that never had it: 0; the ENI stays with the node that has it."""
    eni_node.attach(eni_node.other)
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert detachments(eni_node) == []
    assert eni_node.holder() == eni_node.other.instance_id


@pytest.mark.parametrize("never", [True, False])
def test_stop_attached_but_not_configured(eni_node: EniNode, never: bool) -> None:
    """Attached here by a start that died, with or without a NIC: 0, and it is detached."""
    eni_node.hot_plug.never = never
    eni_node.attach(eni_node.me)
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.holder() is None


def test_stop_of_an_unmarked_interface(eni_node: EniNode) -> None:
    """An interface that this agent has not configured, but a daemon has: IMDS says which one it is."""
    eni_node.aws.account.stuck_detach.add(eni_node.eni)
    eni_node.attach(eni_node.me)
    ip("link", "set", "dev", eni_node.nic, "up")
    ip("address", "add", "10.0.1.60/24", "dev", eni_node.nic)
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.quiesced()


def test_stop_after_the_nic_vanished(eni_node: EniNode) -> None:
    """The NIC is gone behind the agent's back, its rules are not: 0, and they are gone too."""
    eni_node.started()
    eni_node.detach()
    eventually("the NIC goes", lambda: not eni_node.hot_plug.plugged)
    assert eni_node.rules() == ["10.0.1.60"]
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.rules() == []


MALFORMED: list[Dict[str, str | None]] = [
    {"device_index": "nonsense"},
    {"ip": "10.0.0.500"},
    {"region": "nowhere"},
    {"mode": "teleport"},
    {"routing_table": "nonsense"},
]


@pytest.mark.parametrize("wrong", MALFORMED)
def test_stop_with_malformed_parameters(eni_node: EniNode, wrong: Dict[str, str | None]) -> None:
    """Any parameter but the ENI's id is wrong: 0 and quiesced."""
    eni_node.started()
    ran = eni_node.agent.run("stop", wrong)
    assert ran.code == 0, ran
    assert eni_node.quiesced()


@pytest.mark.parametrize("eni", [None, "", "eni", "rtb-0123456789abcdef0", "eni-0123456789abcdef0"])
def test_stop_without_a_proper_id(eni_node: EniNode, eni: str | None) -> None:
    """No ENI is named, or one that nobody knows: 0."""
    ran = eni_node.agent.run("stop", {"network_interface_id": eni})
    assert ran.code == 0, ran


@pytest.mark.parametrize("eni", [None, "eni-0123"])
def test_stop_without_a_proper_id_after_a_start(eni_node: EniNode, eni: str | None) -> None:
    """The start has recorded which ENI it is: a probe says 0, and stop takes its addresses away."""
    eni_node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-eni"
    eni_node.started()
    assert eni_node.agent.run("monitor", {"network_interface_id": eni}).code == 0
    ran = eni_node.agent.run("stop", {"network_interface_id": eni})
    assert ran.code == 0, ran
    assert eni_node.quiesced()


def test_stop_of_an_interface_that_nothing_tells(eni_node: EniNode) -> None:
    """Mark and records are gone, neither IMDS nor EC2 answers: the routing rules still name the addresses."""
    eni_node.started()
    ip("link", "set", "dev", eni_node.nic, "alias", "")
    for record in eni_node.directory.iterdir():
        record.unlink()
    for service in ("imds", "ec2"):
        eni_node.aws.faults.add(Fault("reset", service=service))
    ran = eni_node.agent.run("stop", timeout=20)
    assert ran.code == 0, ran
    assert not answers_on("10.0.1.60")


@pytest.mark.parametrize("eni", [None, "eni", "rtb-0123456789abcdef0", "eni-0123", "eni-0123456789ABCDEF0"])
def test_start_without_a_proper_id(eni_node: EniNode, eni: str | None) -> None:
    """start and validate-all: 6, for what is wrong in the text; nothing is asked."""
    for action in ("start", "validate-all"):
        ran = eni_node.agent.run(action, {"network_interface_id": eni})
        assert ran.code == 6, ran
        assert "network_interface_id" in ran.reason
        assert ran.calls == ()


@pytest.mark.parametrize("index", ["0", "-1", "x", "1.5"])
def test_a_wrong_device_index(eni_node: EniNode, index: str) -> None:
    """device_index is never 0: 6."""
    ran = eni_node.agent.run("validate-all", {"device_index": index})
    assert ran.code == 6, ran


# -- probe and monitor ------------------------------------------------------------------------------------------------


def imported(stderr: str) -> set[str]:
    """Top-level packages that a run imported, by -X importtime."""
    lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("interval", [0, 10])
def test_local_only(eni_node: EniNode, interval: int) -> None:
    """probe and monitor level 0: 7 without it, 0 with it; no call, neither boto3 nor requests imported."""
    eni_node.agent.interpreter = (sys.executable, "-X", "importtime")
    for code in (NOT_RUNNING, 0):
        if code == 0:
            eni_node.started()
        ran = eni_node.agent.run("monitor", interval=interval)
        assert ran.code == code, ran
        assert ran.calls == ()
        found = imported(ran.stderr)
        assert "aws_ipfailover" in found
        assert not found & {"boto3", "botocore", "requests", "urllib3", "ssl"}


def detached(node: EniNode) -> None:
    """Somebody detaches the ENI, and its NIC goes."""
    node.detach()
    eventually("the NIC goes", lambda: not node.hot_plug.plugged)


BREAKAGES: Dict[str, Callable[[EniNode], Any]] = {
    "the rules are flushed": lambda node: [ip("-4", "rule", "del", "from", source) for source in node.rules()],
    "an address is removed": lambda node: ip("address", "del", "10.0.1.60/32", "dev", node.nic),
    "the extra address is removed": lambda node: ip("address", "del", "192.168.10.10/32", "dev", node.nic),
    "the link is down": lambda node: ip("link", "set", "dev", node.nic, "down"),
    "the link was down for a moment": lambda node: [
        ip("link", "set", "dev", node.nic, state) for state in ("down", "up")
    ],
    "the routes are flushed": lambda node: ip("route", "flush", "table", str(int(node.eni[-6:], 16) + 1_000_000)),
    "it is detached": detached,
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_monitor_finds(eni_node: EniNode, what: str) -> None:
    """Something else has changed it: 7 with a reason, at each level; a start repairs it."""
    eni_node.agent.parameters["ip"] = "192.168.10.10"
    ran = eni_node.agent.run("start")
    assert ran.code == 0, ran
    BREAKAGES[what](eni_node)
    for level in (0, 10):
        ran = eni_node.agent.run("monitor", level=level, interval=10)
        assert ran.code == NOT_RUNNING, ran
        assert ran.reason
    ran = eni_node.agent.run("start")
    assert ran.code == 0, ran
    ran = eni_node.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran


def test_monitor_level_10(eni_node: EniNode) -> None:
    """HERE by one read: 0, with one call to EC2."""
    eni_node.started()
    ran = eni_node.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert ran.ec2 == ["DescribeNetworkInterfaces"]


def elsewhere(node: EniNode) -> None:
    """EC2 has given the ENI to another instance, while the NIC is still there."""
    node.hot_plug.never = True
    nic = node.hot_plug.plugged.pop(node.eni)
    assert nic
    node.detach()
    eventually("it is detached", lambda: node.status() == "available")
    node.attach(node.other)


def test_monitor_after_its_own_write(eni_node: EniNode) -> None:
    """A read that contradicts a write of a moment ago: 190."""
    eni_node.started()
    elsewhere(eni_node)
    ran = eni_node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran


@pytest.mark.parametrize("monapi", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", code="RequestLimitExceeded", status=503),
        Fault("error", code="UnauthorizedOperation", status=403),
        Fault("hang"),
    ],
    ids=lambda fault: fault.kind + fault.code,
)
def test_monitor_unknown(eni_node: EniNode, fault: Fault, monapi: bool) -> None:
    """UNKNOWN: 190, with the operation; the resource stays as it is."""
    eni_node.started()
    eni_node.aws.faults.add(fault)
    more = {"monapi": "true"} if monapi else {}
    ran = eni_node.agent.run("monitor", more, level=0 if monapi else 10, interval=10, timeout=5)
    assert ran.code == DEGRADED, ran
    assert ran.reason
    assert eni_node.served()


# -- the other actions ------------------------------------------------------------------------------------------------


def test_validate(eni_node: EniNode) -> None:
    """validate-all: level 0 asks nothing, level 10 asks EC2 and changes nothing."""
    ran = eni_node.agent.run("validate-all")
    assert ran.code == 0, ran
    assert ran.calls == ()
    ran = eni_node.agent.run("validate-all", level=10)
    assert ran.code == 0, ran
    reads = {"DescribeNetworkInterfaces", "DescribeInstances", "DescribeSubnets"}
    writes = [call for call in ran.calls if call.service == "ec2" and call.action not in reads]
    assert reads < set(ran.ec2)
    assert writes
    assert all(call.parameters["DryRun"] == "true" for call in writes)
    assert eni_node.status() == "available"


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_validate_where_a_write_is_denied(eni_node: EniNode, operation: str) -> None:
    """validate-all, level 10, on a standby: each permission that a start needs to take the ENI from the active node, by
    EC2's DryRun: 4 naming the one that is missing, and nothing is changed."""
    eni_node.attach(eni_node.other)
    assert eni_node.agent.run("validate-all", level=10).code == 0
    eni_node.aws.faults.add(Fault("error", action=operation, code="UnauthorizedOperation", status=403))
    ran = eni_node.agent.run("validate-all", level=10)
    assert ran.code == 4, ran
    assert f"{operation}: UnauthorizedOperation" in ran.reason[:110]
    assert (eni_node.holder(), eni_node.status()) == (eni_node.other.instance_id, "attached")


def test_validate_where_the_device_index_is_taken(eni_node: EniNode) -> None:
    """validate-all, level 10: 2, as the start; EC2's DryRun looks at permissions only."""
    attach(eni_node.aws, create_eni(eni_node.aws, eni_node.me.subnet.subnet_id, "10.0.1.70"), eni_node.me, 1)
    eni_node.aws.account.settle()
    ran = eni_node.agent.run("validate-all", {"device_index": "1"}, level=10)
    assert ran.code == 2, ran
    assert "device_index: 1 is taken" in ran.reason
    assert eni_node.agent.run("validate-all", {"device_index": "2"}, level=10).code == 0


def test_validate_where_a_service_has_the_interface(eni_node: EniNode) -> None:
    """validate-all, level 10: it is in use, and EC2 shows no instance that has it: 1, not 0."""
    eni_node.aws.faults.add(
        Fault("error", action="AttachNetworkInterface", code="InvalidNetworkInterface.InUse", status=400)
    )
    ran = eni_node.agent.run("validate-all", level=10)
    assert ran.code == 1, ran
    assert "such as an AWS service" in ran.reason


def test_no_secret(eni_node: EniNode) -> None:
    """No secret in any output, at the highest log level, also when everything is refused."""
    eni_node.attach(eni_node.other)
    outputs = []
    throttled = Fault("error", service="ec2", times=1, code="RequestLimitExceeded", status=503)
    for fault in (throttled, Fault("error", service="ec2", code="UnauthorizedOperation", status=403)):
        eni_node.aws.faults.add(fault)
        for action, level in (("start", 0), ("monitor", 10), ("validate-all", 10), ("stop", 0)):
            ran = eni_node.agent.run(action, environ={"HA_debug": "1"}, level=level, interval=10)
            outputs.append(ran.stdout + ran.stderr)
    text = "".join(outputs)
    assert "DEBUG" in text
    secrets = secrets_of(eni_node.aws)
    assert len(secrets) >= 4
    assert not [secret for secret in secrets if secret in text]


# -- interrupted ------------------------------------------------------------------------------------------------------


def reach_the_goal(node: EniNode) -> None:
    """From any state: stop is 0 and quiesced; then start is 0 and everything is here."""
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert node.quiesced()
    node.started()


CALLS = [
    "DescribeNetworkInterfaces",
    "DescribeInstances",
    "DescribeSubnets",
    "DetachNetworkInterface",
    "AttachNetworkInterface",
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("again", ["stop", "start"])
def test_start_killed_at_a_call(eni_node: EniNode, operation: str, after: bool, again: str) -> None:
    """Start is killed (SIGKILL) while it waits for EC2, before or after the call took effect: the goal is reached."""
    eni_node.attach(eni_node.other)
    number = eni_node.aws.faults.add(Fault("hang", action=operation, after=after))
    with eni_node.agent.begin("start", timeout=60) as running:
        eventually(f"{operation} is asked", lambda: [c for c in eni_node.aws.calls() if c.outcome == "fault:hang"])
        running.process.kill()
    eni_node.aws.faults.remove(number)
    if again == "stop":
        reach_the_goal(eni_node)
    else:
        eni_node.started()


STEPS = [("start", step) for step in range(22)] + [("stop", step) for step in range(18)]


@pytest.mark.parametrize(("action", "step"), STEPS)
def test_killed_after_a_step(make_eni_node: MakeEniNode, tmp_path: Path, action: str, step: int) -> None:
    """Start and stop are killed after the k-th command they give to the kernel: then a stop stops, or a start starts.

    In turn: `test_start_killed_at_a_call` has both, one after the other.
    """
    node = make_eni_node("10.0.1.60", "2001:db8:1000:1::60")
    if action == "stop":
        node.started()
    shim = tmp_path / "bin" / "ip"
    shim.parent.mkdir()
    count = tmp_path / "count"
    run = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin ip "$@"'
    shim.write_text(
        "#!/bin/sh\n"
        f"echo x >>{count}\n"
        f'if [ "$(wc -l <{count})" -eq {max(1, step)} ]; then\n'
        f"  {run + ' >/dev/null 2>&1' if step else ':'}\n"
        "  kill -9 $PPID; exit 1\n"
        "fi\n"
        f"{run}\n"
    )
    shim.chmod(0o755)
    ran = node.agent.run(action, environ={"PATH": f"{shim.parent}:/usr/bin:/bin"})
    assert ran.code == (-9 if len(count.read_text().splitlines()) >= step > 0 or step == 0 else 0), ran
    if step % 2:
        ran = node.agent.run("stop")
        assert ran.code == 0, ran
        assert node.quiesced()
    else:
        node.started()


# -- an interface that carries no mark yet ----------------------------------------------------------------------------


def dhcp(node: EniNode) -> None:
    """Another program has configured the ENI's interface, as soon as it appeared."""
    ip("link", "set", "dev", node.nic, "up")
    ip("address", "add", "10.0.1.60/24", "dev", node.nic, "valid_lft", "3600", "preferred_lft", "3600")


@pytest.mark.parametrize("imds", ["lags", "error"])
def test_stop_finds_an_unmarked_interface_by_ec2(make_eni_node: MakeEniNode, tmp_path: Path, imds: str) -> None:
    """stop: "afterwards this node does not answer": where IMDS does not tell the interface, EC2 does."""
    node = make_eni_node(timing=Timing(detach=math.inf, imds_interface_lag=math.inf))
    if imds == "error":
        with_profile(node, tmp_path)
        node.aws.faults.add(Fault("error", service="imds", status=503))
    node.attach(node.me)
    dhcp(node)
    ran = node.agent.run("stop", timeout=20)
    assert ran.code == 0, ran
    assert not answers_on("10.0.1.60")


def test_stop_finds_the_interface_of_a_start_that_did_not_see_it(make_eni_node: MakeEniNode) -> None:
    """It appears after the start has given up, and something configures it: neither IMDS nor EC2 answers the stop."""
    node = make_eni_node(hot_plug=HotPlug(delay=8.0))
    ran = node.agent.run("start", timeout=SHORT)
    assert ran.code == 1, ran
    eventually("the NIC", lambda: node.hot_plug.plugged, 20.0)
    dhcp(node)
    node.aws.faults.add(Fault("reset", service="imds"))
    node.aws.faults.add(Fault("reset", service="ec2"))
    ran = node.agent.run("stop", timeout=20)
    assert ran.code == 0, ran
    assert not answers_on("10.0.1.60")


def test_a_probe_of_a_part(make_eni_node: MakeEniNode) -> None:
    """Of two addresses one still answers: with 7 to a probe Pacemaker would stop nothing."""
    node = make_eni_node("10.0.1.60", "10.0.1.61")
    node.started()
    ip("address", "delete", "10.0.1.61/32", "dev", node.nic)
    assert node.agent.run("monitor").code == 1
    assert node.agent.run("monitor", interval=10).code == NOT_RUNNING
    ip("address", "delete", "10.0.1.60/32", "dev", node.nic)
    assert node.agent.run("monitor").code == NOT_RUNNING


def test_a_kernel_without_ipv6(make_eni_node: MakeEniNode) -> None:
    """start: 2: an ENI with an IPv6 address is wrong on this node; at once, with the sysctl."""
    node = make_eni_node("10.0.1.60", "2001:db8:1000:1::60")
    for where in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{where}/disable_ipv6").write_text("1")
    ran = node.agent.run("start", timeout=60)
    assert ran.code == 2, ran
    assert "disable_ipv6" in ran.reason[:110]
    assert ran.elapsed < 30
    assert node.agent.run("stop").code == 0
    assert node.quiesced()
