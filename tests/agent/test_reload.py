"""reload-agent with other addresses and destinations: what stays is not touched (contract: action `reload-agent`)."""

from __future__ import annotations

from functools import partial
from typing import Dict, List, Optional

import pytest

from sandbox import EniNode, Node, Ran, addresses, ip
from vpc_lab.ec2 import Fault
from vpc_lab.waiting import eventually

KEPT, ADDED, THIRD = "192.168.10.10", "192.168.10.11", "192.168.10.12"
OWNED = "192.168.10.0/24"


def here() -> List[str]:
    """The service addresses on this node."""
    return [one.address.split("/")[0] for one in addresses() if one.address.startswith("192.168.10.")]


def is_here(address: str) -> bool:
    """Whether that service address is on this node."""
    return address in here()


def to(node: Node, destination: str) -> List[Optional[str]]:
    """Where the tables lead a destination."""
    everywhere = node.aws.account.routes_to(destination)
    return [everywhere.get(table) for table in node.tables]


def reload(node: Node, **parameters: str) -> Ran:
    """A reload with new values, which from then on are the resource's."""
    node.agent.parameters.update(parameters)
    return node.agent.run("reload-agent", timeout=20)


def touched(ran: Ran) -> List[str]:
    """What a run did to the kernel's addresses, by its log."""
    return [line for line in ran.stderr.splitlines() if "added " in line or "removed " in line]


@pytest.fixture
def served(node: Node) -> Node:
    """The resource runs here with one address."""
    node.agent.environ.update(OCF_RESOURCE_INSTANCE="the-vip", HA_debug="1")
    node.started()
    return node


def test_an_address_is_added(served: Node) -> None:
    """It comes up and is routed; the one that stays is not touched."""
    ran = reload(served, ip=f"{KEPT},{ADDED}")
    assert ran.code == 0, ran
    assert here() == [KEPT, ADDED]
    assert not [line for line in touched(ran) if KEPT in line]
    assert set(to(served, f"{ADDED}/32")) == {served.me.network_interface_id}
    assert served.agent.run("monitor", level=10, interval=10).code == 0


def test_an_address_is_left_out(served: Node) -> None:
    """It goes from this node: nothing that the parameters no longer name answers; the other is not touched."""
    reload(served, ip=f"{KEPT},{ADDED}")
    ran = reload(served, ip=KEPT)
    assert ran.code == 0, ran
    assert here() == [KEPT]
    assert not [line for line in touched(ran) if KEPT in line]
    assert served.agent.run("monitor").code == 0


def test_all_of_them_change(served: Node) -> None:
    """The new one is there before the old one goes."""
    ran = reload(served, ip=ADDED)
    assert ran.code == 0, ran
    assert here() == [ADDED]
    did = touched(ran)
    assert [ADDED in line for line in did] == [True, False], ran


def test_from_forty_routes_to_one(served: Node) -> None:
    """The move from an address's own routes to one destination: written beside them, nothing local is touched."""
    many = ",".join(f"192.168.10.{number}" for number in range(10, 50))
    reload(served, ip=many)
    ran = reload(served, destination=OWNED)
    assert ran.code == 0, ran
    assert touched(ran) == []
    assert sorted(ran.ec2) == [*["CreateRoute"] * 2, "DescribeNetworkInterfaces", *["ReplaceRoute"] * 2]
    assert f"WARNING: the routes to {KEPT}/32 stay, and go before those to {OWNED}: delete them" in ran.stderr
    assert set(to(served, OWNED)) == {served.me.network_interface_id}
    assert set(to(served, f"{THIRD}/32")) == {served.me.network_interface_id}
    for number in range(10, 50):
        served.aws.account.delete_route(f"192.168.10.{number}/32")
    served.forget_writes()
    assert served.agent.run("monitor", level=10, interval=10).stderr == ""


def test_new_tables(served: Node) -> None:
    """A table that is added to routing_table is written."""
    reload(served, routing_table=served.tables[0])
    for table in served.aws.account.route_table_ids:
        served.aws.account.put_route(f"{KEPT}/32", "node2", table)
    ran = reload(served, routing_table=",".join(served.aws.account.route_table_ids))
    assert ran.code == 0, ran
    assert set(to(served, f"{KEPT}/32")) == {served.me.network_interface_id}


@pytest.mark.parametrize(
    "parameters",
    [{"monapi": "true"}, {"on_drift": "report"}, {"drain": "3"}, {"ip": f" {KEPT} "}],
)
def test_other_parameters_ask_nobody(served: Node, parameters: Dict[str, str]) -> None:
    """What changes neither addresses nor routes needs no call."""
    ran = reload(served, **parameters)
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert touched(ran) == []


def test_a_resource_that_does_not_run_here(node: Node) -> None:
    """Nothing is added and nobody is asked."""
    ran = reload(node, ip=f"{KEPT},{ADDED}")
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert here() == []


def test_without_a_memory_what_stays_is_safe(served: Node) -> None:
    """ "Unreadable or full, it is done without": new addresses come, old ones stay until stop, which removes both."""
    for path in served.directory.iterdir():
        path.unlink()
    ran = reload(served, ip=f"{KEPT},{ADDED}")
    assert ran.code == 0, ran
    assert here() == [KEPT, ADDED]
    assert served.agent.run("stop").code == 0
    assert here() == []


def test_a_full_disk(served: Node) -> None:
    """Nothing is recorded then: a stop removes nothing that the resource has given up, and another one may have."""
    served.agent.parameters["ip"] = ADDED
    ran = served.agent.begin("reload-agent", timeout=20, command=["prlimit", "--fsize=0"]).end()
    assert ran.code == 0, ran
    assert "cannot remember" in ran.stderr
    assert here() == [ADDED]
    ip("address", "add", f"{KEPT}/32", "dev", "eth0")
    assert served.agent.run("stop").code == 0
    assert here() == [KEPT]


def test_all_of_them_change_without_a_memory(served: Node) -> None:
    """Which address was there before is not known: a warning says that it has to be removed by hand."""
    served.agent.environ["HA_RSCTMP"] = "/dev/null"
    ran = reload(served, ip=ADDED)
    assert ran.code == 0, ran
    assert here() == [KEPT]
    (told,) = [line for line in ran.stderr.splitlines() if line.startswith("WARNING:")]
    assert "removed by hand" in told


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", service="ec2"),
        Fault("hang", service="ec2"),
        Fault("error", service="ec2", code="UnauthorizedOperation"),
    ],
)
def test_ec2_does_not_answer(served: Node, fault: Fault) -> None:
    """A failed reload would stop the service: 0, an error in the log, and the next monitor writes what is missing."""
    served.aws.faults.add(fault)
    ran = served.agent.run("reload-agent", {"ip": f"{KEPT},{ADDED}"}, timeout=10)
    assert ran.code == 0, ran
    assert here() == [KEPT, ADDED]
    assert [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
    served.aws.faults.clear()
    again = reload(served, ip=f"{KEPT},{ADDED}")
    assert again.code == 0, again
    assert set(to(served, f"{ADDED}/32")) == {served.me.network_interface_id}


def test_an_address_that_cannot_be_added(served: Node) -> None:
    """The node's own address: an error, and what was there is still there."""
    ip("route", "add", "default", "via", "10.0.1.1", "dev", "eth0")
    ran = served.agent.run("reload-agent", {"ip": f"{KEPT},{served.me.address}"}, timeout=10)
    assert ran.code == 1, ran
    assert str(served.me.address) in ran.reason
    assert here() == [KEPT]


def test_a_wrong_value_changes_nothing(served: Node) -> None:
    """6, and a stop with that value still removes what the last good one has brought."""
    reload(served, ip=f"{KEPT},{ADDED}")
    ran = served.agent.run("reload-agent", {"ip": "garbage"})
    assert ran.code == 6, ran
    assert here() == [KEPT, ADDED]
    assert served.agent.run("stop", {"ip": "garbage"}).code == 0
    assert here() == []


@pytest.mark.parametrize("given", ["garbage", f"{KEPT},{ADDED},garbage", ""])
def test_a_wrong_value_hides_nothing(served: Node, given: str) -> None:
    """Probe and monitor look for what the record has: 7 would leave it to nobody, and a typo interrupts no service."""
    reload(served, ip=f"{KEPT},{ADDED}")
    served.agent.parameters["ip"] = given
    assert served.agent.run("monitor").code == 0
    assert served.agent.run("monitor", interval=10).code == 0
    deep = served.agent.run("monitor", interval=10, level=10)
    assert deep.code == 190, deep
    assert "parameter ip" in deep.reason
    ip("address", "del", f"{KEPT}/32", "dev", "eth0")
    assert served.agent.run("monitor").code == 1
    assert served.agent.run("monitor", interval=10).code == 7
    assert served.agent.run("stop").code == 0
    assert here() == []
    assert served.agent.run("monitor").code == 7


def test_a_reload_that_was_killed(served: Node) -> None:
    """Whatever it had done, stop removes the old addresses and the new ones."""
    served.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    with served.agent.begin("reload-agent", {"ip": f"{ADDED},{THIRD}"}, timeout=20) as running:
        eventually("the new address is there", lambda: ADDED in here())
        running.process.kill()
        running.end()
    assert KEPT in here()
    assert served.agent.run("stop", {"ip": f"{ADDED},{THIRD}"}).code == 0
    assert here() == []


def test_stop_forgets(served: Node) -> None:
    """After a stop nothing is recorded that a later one could remove."""
    assert served.agent.run("stop").code == 0
    ip("address", "add", f"{KEPT}/32", "dev", "eth0")
    assert served.agent.run("stop", {"ip": ADDED}).code == 0
    assert here() == [KEPT]


def test_a_start_after_a_start_with_other_addresses(served: Node) -> None:
    """What an earlier start of the resource has brought, and no stop has removed, goes when another address starts."""
    ran = served.agent.run("start", {"ip": f"{ADDED},{THIRD}"})
    assert ran.code == 0, ran
    assert here() == [ADDED, THIRD]


@pytest.mark.parametrize("signal", ["kill", "terminate"])
def test_a_start_after_a_reload_that_was_killed(served: Node, signal: str) -> None:
    """Also where that start is ended itself: a stop with the last parameters removes all of them."""
    served.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    for action, given in (("reload-agent", ADDED), ("start", THIRD)):
        with served.agent.begin(action, {"ip": given}, timeout=20) as running:
            eventually("the new address is there", partial(is_here, given))
            getattr(running.process, "kill" if action == "reload-agent" else signal)()
            running.end()
    assert here() == ([KEPT, ADDED, THIRD] if signal == "kill" else [])
    assert served.agent.run("stop", {"ip": THIRD}).code == 0
    assert here() == []


def test_a_resource_with_a_similar_id(served: Node) -> None:
    """What a resource records is its own: the stop of `the_vip` takes nothing of `the-vip`, and leaves its record."""
    other = {"OCF_RESOURCE_INSTANCE": "the_vip"}
    assert served.agent.run("start", {"ip": THIRD}, other).code == 0
    assert served.agent.run("stop", {"ip": THIRD}, other).code == 0
    assert here() == [KEPT]
    assert reload(served, ip=ADDED).code == 0
    assert here() == [ADDED]


def test_private_addresses(node: Node) -> None:
    """private-ip: a new one is assigned and added, one that is left out goes."""
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-vip"
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50,10.0.1.51"}
    node.started()
    ran = reload(node, ip="10.0.1.51,10.0.1.52")
    assert ran.code == 0, ran
    assert {"10.0.1.51/24", "10.0.1.52/24"} <= {one.address for one in addresses()}
    assert "10.0.1.50/24" not in {one.address for one in addresses()}
    assert node.agent.run("monitor", level=10, interval=10).code == 0


OWN, EXTRA, FURTHER = "10.0.1.60", "10.0.1.77", "10.0.1.78"


def eni_started(node: EniNode, given: str) -> None:
    """The ENI is here, with these addresses besides its own one."""
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-eni"
    node.agent.parameters["ip"] = given
    assert node.agent.run("start").code == 0


@pytest.mark.parametrize(
    ("before", "after"), [("", EXTRA), (EXTRA, ""), (EXTRA, FURTHER), (OWN, ""), (f"{OWN},{EXTRA}", EXTRA)]
)
def test_an_eni(eni_node: EniNode, before: str, after: str) -> None:
    """eni: a further address comes and goes; the ENI's own ones stay, also where `ip` named one of them."""
    eni_started(eni_node, before)
    eni_node.agent.parameters["ip"] = after
    ran = eni_node.agent.run("reload-agent", timeout=20)
    assert ran.code == 0, ran
    there = sorted({OWN, *filter(None, [after])})
    assert eni_node.on_nic() == [f"{one}/32" for one in there]
    assert eni_node.rules() == there
    assert eni_node.agent.run("monitor", interval=10).code == 0


@pytest.mark.parametrize("fault", [Fault("error", service="ec2"), Fault("hang", service="ec2")])
def test_an_eni_and_ec2_does_not_answer(eni_node: EniNode, fault: Fault) -> None:
    """An address that is left out stays until it is known not to be the ENI's own: the service is not interrupted."""
    eni_started(eni_node, f"{OWN},{EXTRA}")
    number = eni_node.aws.faults.add(fault)
    eni_node.agent.parameters["ip"] = ""
    ran = eni_node.agent.run("reload-agent", timeout=10)
    assert ran.code == 0, ran
    assert eni_node.agent.run("monitor", interval=10).code == 0
    eni_node.aws.faults.remove(number)
    assert eni_node.agent.run("reload-agent", timeout=20).code == 0
    assert eni_node.on_nic() == [f"{OWN}/32"]
    assert eni_node.agent.run("monitor", interval=10).code == 0
