"""Instances stop, start, reboot and terminate through their states, and the lab's power follows."""

from __future__ import annotations

import threading
from threading import Event
from typing import Any

import pytest

from vpc_lab.ec2 import RunningAws, running_aws
from vpc_lab.ec2.account import Timing
from vpc_lab.waiting import eventually
from vpc_lab.world import World

from .conftest import EC2Client, client, refused


class PowerSwitch:
    """The real thing behind an instance; `off` and `on` last until they are released."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.release = Event()

    def __call__(self, instance_id: str, power: str) -> None:
        self.asked.append((instance_id, power))
        assert self.release.wait(20)


def state(ec2: EC2Client, instance_id: str) -> str:
    """The state that DescribeInstances shows."""
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return str(reservation["Instances"][0]["State"]["Name"])


def test_stop_and_start() -> None:
    """Stopping and starting are final only when the power switch is through."""
    switch = PowerSwitch()
    with running_aws(on_power=switch) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        answer = ec2.stop_instances(InstanceIds=[node], Force=True, SkipOsShutdown=True)
        (change,) = answer["StoppingInstances"]
        assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
        assert state(ec2, node) == "stopping"
        with refused("IncorrectInstanceState"):
            ec2.start_instances(InstanceIds=[node])
        switch.release.set()
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        switch.release.clear()
        (change,) = ec2.start_instances(InstanceIds=[node])["StartingInstances"]
        assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
        assert state(ec2, node) == "pending"
        switch.release.set()
        aws.account.wait_for(lambda world: world.instances[node].state == "running")
        assert switch.asked == [(node, "off"), (node, "on")]
        call = aws.calls("StopInstances")[0]
        assert call.parameters["Force"] == "true"
        assert call.parameters["SkipOsShutdown"] == "true"
        ec2.close()


def test_reboot_and_terminate() -> None:
    """A reboot switches off and on without showing it; termination is final."""
    switch = PowerSwitch()
    switch.release.set()
    with running_aws(on_power=switch) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.reboot_instances(InstanceIds=[node])
        assert state(ec2, node) == "running"
        ec2.terminate_instances(InstanceIds=[node])
        aws.account.wait_for(lambda world: world.instances[node].state == "terminated")
        assert switch.asked[-1] == (node, "off")
        with refused("IncorrectInstanceState"):
            ec2.start_instances(InstanceIds=[node])
        ec2.close()


def test_unknown_instances(aws: RunningAws, ec2: EC2Client) -> None:
    """One unknown instance fails the whole call and nothing is stopped."""
    node = aws.account.instance("node1").instance_id
    with refused("InvalidInstanceID.NotFound"):
        ec2.stop_instances(InstanceIds=[node, "i-0123456789abcdef0"])
    with refused("InvalidInstanceID.Malformed"):
        ec2.describe_instances(InstanceIds=["node1"])
    assert state(ec2, node) == "running"


def test_described_instance(aws: RunningAws, ec2: EC2Client) -> None:
    """DescribeInstances finds by tag and by private address, and shows tags, placement, addresses and ENI."""
    node = aws.account.instance("node1")
    for name, value in (("tag:Name", "node1"), ("private-ip-address", "10.0.1.11"), ("instance-id", node.instance_id)):
        (reservation,) = ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        (found,) = reservation["Instances"]
        assert found["InstanceId"] == node.instance_id
        assert found["PrivateIpAddress"] == "10.0.1.11"
        assert found["Placement"]["AvailabilityZone"] == "eu-central-1a"
        assert {"Key": "Name", "Value": "node1"} in found["Tags"]
        assert found["NetworkInterfaces"][0]["NetworkInterfaceId"] == node.network_interface_id
    assert ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["nobody"]}])["Reservations"] == []


def test_found_by_interface(aws: RunningAws, ec2: EC2Client) -> None:
    """DescribeInstances finds an instance by its VPC, and by the MAC address and the attachment of its ENI."""
    node = aws.account.instance("node1")
    attachment = aws.account.world.interfaces[node.network_interface_id].attachment
    assert attachment is not None
    for name, value in (
        ("network-interface.mac-address", node.mac),
        ("network-interface.attachment.attachment-id", attachment.attachment_id),
        ("network-interface.network-interface-id", node.network_interface_id),
    ):
        (reservation,) = ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        assert [one["InstanceId"] for one in reservation["Instances"]] == [node.instance_id], name
    everyone = ec2.describe_instances(Filters=[{"Name": "vpc-id", "Values": [aws.account.vpc_id]}])["Reservations"]
    assert len(everyone) == len(aws.account.instances())


def test_status(aws: RunningAws, ec2: EC2Client) -> None:
    """DescribeInstanceStatus shows running instances, the others on request."""
    node = aws.account.instance("node1").instance_id
    ec2.stop_instances(InstanceIds=[node])
    aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
    assert node not in [one["InstanceId"] for one in ec2.describe_instance_status()["InstanceStatuses"]]
    every = ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    assert node in [one["InstanceId"] for one in every]


def test_fabric_is_told() -> None:
    """The fabric gets the world after each change, in order, and ends with the truth; refused calls tell nothing."""
    told: list[World] = []
    with running_aws(on_network=told.append) as aws:
        ec2 = client(aws)
        node1, node2 = aws.account.instance("node1"), aws.account.instance("node2")
        table = node1.subnet.route_table_id
        targets: list[Any] = []
        for call, eni in (
            (ec2.create_route, node1.network_interface_id),
            (ec2.replace_route, node2.network_interface_id),
        ):
            call(RouteTableId=table, DestinationCidrBlock="192.168.10.10/32", NetworkInterfaceId=eni)
            aws.account.settle()
            targets.append(told[-1].route_tables[table].routes[-1].target)
        assert targets == [node1.network_interface_id, node2.network_interface_id]
        assert told[-1] is aws.account.world
        before = len(told)
        with refused("RouteAlreadyExists"):
            ec2.create_route(
                RouteTableId=table,
                DestinationCidrBlock="192.168.10.10/32",
                NetworkInterfaceId=node1.network_interface_id,
            )
        aws.account.settle()
        assert len(told) == before
        ec2.close()


def test_failing_fabric() -> None:
    """A fabric that raises does not stop the account; the error is kept."""

    def broken(world: World) -> None:
        raise RuntimeError("no fabric")

    with running_aws(on_network=broken) as aws:
        aws.account.put_route("192.168.10.10/32", "node1")
        aws.account.settle()
        assert [str(error) for error in aws.account.callback_errors] == ["no fabric"]


def test_failing_power_switch() -> None:
    """Where the power switch fails, the instance stays `stopping`: nobody is told that it is off."""

    def broken(instance_id: str, power: str) -> None:
        raise RuntimeError("still on")

    with running_aws(on_power=broken) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.stop_instances(InstanceIds=[node])
        eventually("the error of the callback", lambda: bool(aws.account.callback_errors))
        assert state(ec2, node) == "stopping"
        ec2.close()


def test_later_stop_takes_over() -> None:
    """A forced stop takes over from a reboot that hangs: the instance is not switched on again behind its back."""
    switch = PowerSwitch()
    with running_aws(on_power=switch) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.reboot_instances(InstanceIds=[node])
        eventually("the end of its power", lambda: switch.asked == [(node, "off")])
        ec2.stop_instances(InstanceIds=[node], Force=True)
        eventually("a second end of its power", lambda: len(switch.asked) == 2)
        switch.release.set()
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        assert (node, "on") not in switch.asked
        ec2.close()


@pytest.mark.parametrize("force", [False, True])
def test_the_system_shuts_down_before_the_power_goes(force: bool) -> None:
    """With graceful stops, also forced ones, the system is asked first, and EC2 says `stopping` until it is down."""
    switch = PowerSwitch()
    with running_aws(on_power=switch, timing=Timing(shutdown_limit=60)) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.stop_instances(InstanceIds=[node], Force=force)
        eventually("the question to the system", lambda: bool(switch.asked))
        assert switch.asked == [(node, "shutdown")]
        assert state(ec2, node) == "stopping"
        switch.release.set()
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        assert switch.asked == [(node, "shutdown"), (node, "off")]
        ec2.close()


def test_skipping_the_shutdown_takes_the_power_at_once() -> None:
    """SkipOsShutdown never asks the system, and takes over from a shutdown that is under way."""
    down = Event()
    asked: list[str] = []

    def switch(instance_id: str, power: str) -> None:
        asked.append(power)
        if power == "shutdown":
            assert down.wait(20)

    with running_aws(on_power=switch, timing=Timing(shutdown_limit=60)) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.stop_instances(InstanceIds=[node])
        eventually("the question to the system", lambda: asked == ["shutdown"])
        ec2.stop_instances(InstanceIds=[node], SkipOsShutdown=True)
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        down.set()
        ec2.start_instances(InstanceIds=[node])
        aws.account.wait_for(lambda world: world.instances[node].state == "running")
        ec2.terminate_instances(InstanceIds=[node], SkipOsShutdown=True)
        aws.account.wait_for(lambda world: world.instances[node].state == "terminated")
        assert asked == ["shutdown", "off", "on", "off"]
        ec2.close()


def test_the_power_goes_when_the_shutdown_does_not_end() -> None:
    """A system that ignores the request, or fails at it, loses its power when the limit is over."""
    down = Event()
    asked: list[str] = []

    def switch(instance_id: str, power: str) -> None:
        asked.append(power)
        if power == "shutdown":
            # Longer than `wait_for` waits.
            down.wait(120)

    with running_aws(on_power=switch, timing=Timing(shutdown_limit=0.05)) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.stop_instances(InstanceIds=[node], Force=True)
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        assert asked == ["shutdown", "off"]
        down.set()
        ec2.close()


def test_superseded_reboot_has_no_say() -> None:
    """A reboot that ends after a stop has ended does not make the instance `running` again."""
    switching_on, release = Event(), Event()

    def switch(instance_id: str, power: str) -> None:
        if power == "on":
            switching_on.set()
            assert release.wait(20)

    with running_aws(on_power=switch) as aws:
        ec2 = client(aws)
        node = aws.account.instance("node1").instance_id
        ec2.reboot_instances(InstanceIds=[node])
        assert switching_on.wait(20)
        ec2.stop_instances(InstanceIds=[node])
        aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("aws-power"):
                thread.join(20)
        assert state(ec2, node) == "stopped"
        ec2.close()
