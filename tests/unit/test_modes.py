"""What each mode holds, put together."""

from __future__ import annotations

import threading
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator, cast

import pytest

from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.modes import mode_named
from aws_ipfailover.parameters import parse

GOOD, SILENT = "rtb-0000000a", "rtb-0000000b"
ENI = "eni-00000000000000001"


class HalfSilentEc2:
    """EC2 whose answer about one table does not come before the test ends."""

    region = "eu-central-1"

    def __init__(self) -> None:
        self.end = threading.Event()

    def replace_route(self, route_table_id: str, destination: IPv4Network, network_interface_id: str) -> None:
        """Write, or wait."""
        if route_table_id == SILENT:
            self.end.wait(30)

    def associate_address(self, *_: object) -> None:
        """Wait."""
        self.end.wait(30)

    def network_interface(self, network_interface_id: str) -> SimpleNamespace:
        """An ENI as it should be."""
        return SimpleNamespace(source_dest_check=False)


@pytest.fixture
def ec2() -> Iterator[HalfSilentEc2]:
    """It answers everything when the test is over."""
    made = HalfSilentEc2()
    yield made
    made.end.set()


def test_a_table_without_an_answer_costs_itself(ec2: HalfSilentEc2, tmp_path: Path) -> None:
    """What became of the other tables is summed up before the deadline gives up all of it."""
    deadline, progress = Deadline(0.5), Progress("ReplaceRoute")
    link = SimpleNamespace(name="eth0", up=True)
    context = SimpleNamespace(
        kernel=None,
        node=SimpleNamespace(link=lambda: link, network_interface_id=lambda: ENI, vpc_id=lambda: "vpc-1"),
        ec2=ec2,
        role_ec2=ec2,
        deadline=deadline,
        progress=progress,
        memory_of=lambda addresses: WriteMemory({"HA_RSCTMP": str(tmp_path)}, str(addresses[0])),
        tables_memory=lambda addresses: None,
    )
    values = parse({"ip": "192.168.10.10", "routing_table": f"{GOOD},{SILENT}"})
    _, routes = mode_named("overlay-ip").holdings(cast("Context", context), values)
    routes.take()
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "192.168.10.10")
    assert memory.is_recent(ENI, GOOD)
    assert not memory.is_recent(ENI, SILENT)


@pytest.mark.parametrize("mode", ["overlay-ip", "eni", "private-ip"])
def test_an_elastic_ip_without_time_left(ec2: HalfSilentEc2, tmp_path: Path, mode: str) -> None:
    """It is taken last, and without any time left for its answer `take` returns: the address is served."""
    deadline, progress = Deadline(0.0), Progress("")
    link = SimpleNamespace(name="eth0", up=True, mtu=9001)
    context = SimpleNamespace(
        kernel=None,
        node=SimpleNamespace(
            link=lambda: link,
            primary_link=lambda: link,
            network_interface_id=lambda: ENI,
            instance_id=lambda: "i-1",
            vpc_id=lambda: "vpc-1",
            delegated_prefixes=lambda versions: [],
        ),
        ec2=ec2,
        role_ec2=ec2,
        deadline=deadline,
        progress=progress,
        memory=lambda key: WriteMemory({"HA_RSCTMP": str(tmp_path)}, key),
        memory_of=lambda addresses: WriteMemory({"HA_RSCTMP": str(tmp_path)}, "addresses"),
        node_subnet_cidrs=lambda versions: [IPv4Network("10.0.1.0/24")],
        tables_memory=lambda addresses: None,
    )
    given = {"mode": mode, "allocation_id": "eipalloc-0123456789abcdef0", "ip": "10.0.1.50"}
    given["network_interface_id" if mode == "eni" else "routing_table"] = ENI if mode == "eni" else GOOD
    values = parse({**given, "ip": "192.0.2.1"} if mode == "overlay-ip" else given)
    *_, last = mode_named(mode).holdings(cast(Context, context), values)
    last.take()
