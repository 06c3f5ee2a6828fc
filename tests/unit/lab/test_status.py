"""What there is in a lab, as values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vpc_lab.errors import LabError
from vpc_lab.faults import Freeze, InForce
from vpc_lab.status import InstanceStatus, ServiceStatus, Status

NODE = InstanceStatus("node1", "node", "i-1", "running", "10.0.1.11", 12, False, {"PATH": "/bin"})
STATUS = Status(
    name="mine",
    region="eu-central-1",
    mode="eni",
    layout="same-subnet",
    instances=(NODE,),
    route_tables=("rtb-1",),
    every_route_table=("rtb-1", "rtb-2"),
    network_interfaces={"node1": "eni-1"},
    overlay="192.168.10.10",
    overlay_ipv6="fd00:10::10",
    routes={"192.168.10.10": {"rtb-1": None, "rtb-2": "node1"}},
    route_lag=0.5,
    routes_under_way=(("consumer-a", "192.168.10.10/32"),),
    service=ServiceStatus(("10.0.3.60",), "node1", {"10.0.3.60": "203.0.113.1"}, "eni-9", "02:00", "attached"),
    cuts=(("node1", "api"),),
    places=("api", "node1", "eu-central-1a"),
    zones=("eu-central-1a",),
    faults=(InForce(7, Freeze("node1", kernel=False), 1.5, None),),
    errors=("ValueError: no",),
)


def test_a_status_survives_its_way_from_the_supervisor() -> None:
    """As JSON and back it is the same."""
    assert Status.from_json(json.loads(json.dumps(STATUS.to_json()))) == STATUS


def test_an_instance_is_found_by_its_name() -> None:
    """One that there is not is a sentence with those that there are."""
    assert STATUS.instance("node1") == NODE
    with pytest.raises(LabError, match="there is no instance 'node9' in lab 'mine'; there are node1"):
        STATUS.instance("node9")


def test_an_address_is_torn_where_its_tables_lead_to_different_instances() -> None:
    """And where one of them leads nowhere; not where all lead to one, nor where there is no route table."""
    assert STATUS.torn(["10.0.3.60", "192.168.10.10"])
    assert not STATUS.torn(["10.0.3.60"])
    assert not replace(STATUS, routes={"192.168.10.10": {"rtb-1": "node1", "rtb-2": "node1"}}).torn(["192.168.10.10"])
