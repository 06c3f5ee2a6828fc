"""Fixtures that more than one tier uses: a node in a box."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional
from zlib import crc32

import pytest

from sandbox import Agent, EniNode, HotPlug, Node, create_eni, instance, ip, need_commands, need_root
from vpc_lab.ec2 import Account, running_aws
from vpc_lab.topology import SubnetSpec, topology_for


def pytest_addoption(parser: pytest.Parser) -> None:
    """How scripts/pythons has each test run by one Python."""
    parser.addoption("--share", metavar="K[-L]/N", help="run the K-th (to L-th) of N shares of the tests")


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Leave out what is in other shares. A test's share follows from its name, so that it is the same everywhere."""
    share = config.getoption("--share")
    if share is None:
        return
    which, _, shares = share.partition("/")
    first, _, last = which.partition("-")
    wanted = range(int(first), int(last or first) + 1)
    ours = [item for item in items if crc32(item.nodeid.encode()) % int(shares) + 1 in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(ours)])
    items[:] = ours


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Make the box; its arguments are those of `running_aws`."""
    need_root()
    need_commands("ip")
    with ExitStack() as stack:

        def make(**options: Any) -> Node:
            topology = options.pop("topology", topology_for())
            # Ids and MAC addresses follow from the topology alone.
            account = Account(topology)
            me = account.instance("node1")
            account.close()
            stack.enter_context(instance(me))
            aws = stack.enter_context(running_aws(topology, **options))
            directory = tmp_path / "rsctmp"
            directory.mkdir()
            agent = Agent(
                parameters={"ip": str(topology.overlay), "routing_table": ",".join(aws.account.route_table_ids)},
                environ={**aws.environment(), "HA_RSCTMP": str(directory)},
                aws=aws,
            )
            node = Node(aws, agent, aws.account.instance("node1"), directory)
            # As most clusters are set up: the routes were made once, and lead to some other node.
            node.point_routes_at("node2")
            return node

        yield make


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """A node in a box with two route tables; the routes lead to the other node."""
    return make_node()


SERVICE_SUBNET = SubnetSpec("service", "eu-central-1a", IPv4Network("10.0.3.0/24"), IPv6Network("2001:db8:1000:3::/64"))


@pytest.fixture
def make_eni_node(tmp_path: Path) -> Iterator[Callable[..., EniNode]]:
    """Make the box with an ENI, available and not attached; its arguments are those of `running_aws`.

    `addresses` of the ENI, the primary one first. `service_subnet`: it is in a subnet of its own, else in node1's.
    """
    need_root()
    need_commands("ip")
    with ExitStack() as stack:

        def make(
            *addresses: str, service_subnet: bool = False, hot_plug: Optional[HotPlug] = None, **options: Any
        ) -> EniNode:
            topology = options.pop("topology", topology_for())
            if service_subnet:
                topology = replace(topology, subnets=(*topology.subnets, SERVICE_SUBNET))
            account = Account(topology)
            me = account.instance("node1")
            account.close()
            stack.enter_context(instance(me))
            if not me.subnet.ipv6_only:
                ip("route", "add", "default", "via", "10.0.1.1", "dev", "eth0")
            plug = hot_plug or HotPlug()
            aws = stack.enter_context(running_aws(topology, on_network=plug, **options))
            subnet = topology.subnet("service" if service_subnet else "a")
            addresses = addresses or (("10.0.3.60",) if service_subnet else ("10.0.1.60",))
            eni = create_eni(aws, subnet.subnet_id, *addresses)
            directory = tmp_path / "rsctmp"
            directory.mkdir()
            agent = Agent(
                parameters={"mode": "eni", "network_interface_id": eni},
                environ={**aws.environment(), "HA_RSCTMP": str(directory)},
                aws=aws,
            )
            return EniNode(aws, agent, me, directory, eni, plug, addresses)

        yield make


@pytest.fixture
def eni_node(make_eni_node: Callable[..., EniNode]) -> EniNode:
    """A node in a box, and an ENI of the same subnet that is available."""
    return make_eni_node()
