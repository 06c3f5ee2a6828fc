"""A lab that begins with an empty account: RunInstances boots instances, of which everything else of a lab knows."""

from __future__ import annotations

from typing import Iterator

import pytest

from vpc_lab.errors import LabError
from vpc_lab.faults import ZoneCut
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.vpc import identifier
from vpc_lab.waiting import eventually

from .conftest import NAME

pytestmark = pytest.mark.root
SUBNETS = {zone: identifier("subnet", "made", zone, "0") for zone in "ab"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A VPC with a subnet in each of two zones, made by an administrator."""
    with Lab.running(f"{NAME}-empty", Settings(empty=True)) as running:
        running.administer("CreateVpc", CidrBlock="10.0.0.0/16")
        for number, zone in enumerate(SUBNETS, 1):
            running.administer(
                "CreateSubnet",
                VpcId=identifier("vpc", "made", "", "0"),
                CidrBlock=f"10.0.{number}.0/24",
                AvailabilityZone="eu-central-1" + zone,
                **named("subnet", zone),
            )
        launch(running, "one", "a", "10.0.1.11")
        launch(running, "two", "b", "10.0.2.12")
        yield running


def named(kind: str, name: str) -> dict[str, str]:
    """The tag Name for what a call makes."""
    first = "TagSpecification.1."
    return {f"{first}ResourceType": kind, f"{first}Tag.1.Key": "Name", f"{first}Tag.1.Value": name}


def launch(lab: Lab, name: str, zone: str, address: str, known_as: str = "") -> None:
    """An instance, when it runs."""
    lab.administer(
        "RunInstances",
        ImageId="ami-0fedcba9876543210",
        MinCount="1",
        MaxCount="1",
        SubnetId=SUBNETS[zone],
        PrivateIpAddress=address,
        **named("instance", name),
    )
    eventually(f"{name} to run", lambda: state(lab, known_as or name) == "running", 20.0)


def state(lab: Lab, name: str) -> str:
    """What EC2 says of an instance; nothing while the lab does not know it."""
    return next((one.state for one in lab.status().instances if one.name == name), "")


def reaches(lab: Lab, name: str, address: str) -> bool:
    """Whether an instance gets an answer from an address."""
    return lab.exec(name, ["ping", "-c", "1", "-W", "1", address], check=False).returncode == 0


def test_an_instance_that_was_launched_is_one_of_the_lab(lab: Lab) -> None:
    """It has its name, a network, and the metadata of its own."""
    assert lab.status().instance("one").role == "consumer"
    assert lab.exec("one", ["hostname"]).stdout == "one\n"
    assert reaches(lab, "one", "10.0.2.12")
    ask = "import urllib.request as u; r = u.Request('http://169.254.169.254/latest/api/token', method='PUT', headers={"
    ask += (
        "'X-aws-ec2-metadata-token-ttl-seconds': '60'}); t = u.urlopen(r).read().decode(); print(u.urlopen(u.Request("
    )
    ask += "'http://169.254.169.254/latest/meta-data/local-ipv4', headers={'X-aws-ec2-metadata-token': t})).read())"
    assert "10.0.1.11" in lab.exec("one", ["python3", "-c", ask]).stdout


def test_nothing_runs_that_nobody_has_started(lab: Lab) -> None:
    """corosync and pacemaker are there, inactive and not enabled."""
    done = lab.exec("one", ["systemctl", "is-active", "corosync", "pacemaker"], check=False)
    assert (done.returncode, done.stdout) == (3, "inactive\ninactive\n")


def test_an_instance_without_a_public_address_does_not_reach_the_internet(lab: Lab) -> None:
    """The workstation is out there; AWS's endpoints, which have names, are reached all the same."""
    assert not reaches(lab, "one", lab.status().instance("workstation").address)
    connect = "import socket; socket.create_connection(('ec2.eu-central-1.amazonaws.com', 443), 5)"
    for place in ("one", "workstation"):
        lab.exec(place, ["python3", "-c", connect])


def test_its_zone_can_be_cut_off(lab: Lab) -> None:
    """Faults know what was launched."""
    with pytest.raises(LabError, match="eu-central-1c"):
        lab.inject(ZoneCut("eu-central-1c"))
    with lab.inject(ZoneCut("eu-central-1b")):
        assert not reaches(lab, "one", "10.0.2.12")
    assert reaches(lab, "one", "10.0.2.12")


def test_a_terminated_instance_has_no_power_and_its_name_is_not_given_again(lab: Lab) -> None:
    """The next one of that name is known by its address."""
    launch(lab, "three", "a", "10.0.1.13")
    lab.administer("TerminateInstances", InstanceId=lab.instance_ids()["three"])
    eventually("the end of three", lambda: state(lab, "three") == "terminated", 20.0)
    assert not lab.status().instance("three").powered
    launch(lab, "three", "a", "10.0.1.13", "ip-10-0-1-13")
    assert lab.exec("ip-10-0-1-13", ["hostname"]).stdout == "ip-10-0-1-13\n"
    assert lab.status().errors == ()
