"""CreateRoute, ReplaceRoute, DeleteRoute and DescribeRouteTables, as EC2 does them."""

from __future__ import annotations

from typing import Any

import pytest

from vpc_lab.ec2 import RunningAws, running_aws
from vpc_lab.topology import topology_for

from .conftest import OVERLAY, OVERLAY6, EC2Client, client, refused

DESTINATIONS = [{"DestinationCidrBlock": OVERLAY}, {"DestinationIpv6CidrBlock": OVERLAY6}]
NODE1 = "node1"


def eni(aws: RunningAws, name: str = NODE1) -> str:
    """The id of an instance's primary ENI."""
    return aws.account.instance(name).network_interface_id


def route(ec2: EC2Client, table: str, destination: dict[str, Any]) -> dict[str, Any] | None:
    """A route of a table as described, by its destination."""
    (described,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    found: Any = [one for one in described["Routes"] if destination.items() <= dict(one).items()]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_replace_without_route(aws: RunningAws, ec2: EC2Client, destination: dict[str, Any]) -> None:
    """ReplaceRoute for a destination the table does not have is InvalidParameterValue and names CreateRoute."""
    with refused("InvalidParameterValue", "Use CreateRoute instead."):
        ec2.replace_route(RouteTableId=aws.account.route_table_ids[0], NetworkInterfaceId=eni(aws), **destination)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_create_twice(aws: RunningAws, ec2: EC2Client, destination: dict[str, Any]) -> None:
    """CreateRoute for a destination the table has is RouteAlreadyExists and changes nothing."""
    table = aws.account.route_table_ids[0]
    ec2.create_route(RouteTableId=table, NetworkInterfaceId=eni(aws), **destination)
    with refused("RouteAlreadyExists"):
        ec2.create_route(RouteTableId=table, NetworkInterfaceId=eni(aws, "node2"), **destination)
    found = route(ec2, table, destination)
    assert found is not None
    assert found["NetworkInterfaceId"] == eni(aws)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_replace(aws: RunningAws, ec2: EC2Client, destination: dict[str, Any]) -> None:
    """ReplaceRoute leads IPv4 and IPv6 destinations to another ENI, in that one table."""
    first, second = aws.account.route_table_ids[:2]
    for table in (first, second):
        ec2.create_route(RouteTableId=table, NetworkInterfaceId=eni(aws), **destination)
    answer: Any = ec2.replace_route(RouteTableId=first, NetworkInterfaceId=eni(aws, "node2"), **destination)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    changed, same = route(ec2, first, destination), route(ec2, second, destination)
    assert changed is not None
    assert same is not None
    assert changed["NetworkInterfaceId"] == eni(aws, "node2")
    assert same["NetworkInterfaceId"] == eni(aws)


def test_described_route(aws: RunningAws, ec2: EC2Client) -> None:
    """A route to an attached ENI shows ENI, instance, owner, origin and state."""
    node = aws.account.instance(NODE1)
    ec2.create_route(
        RouteTableId=aws.account.route_table_ids[0], DestinationCidrBlock=OVERLAY, InstanceId=node.instance_id
    )
    assert route(ec2, aws.account.route_table_ids[0], DESTINATIONS[0]) == {
        "DestinationCidrBlock": OVERLAY,
        "NetworkInterfaceId": node.network_interface_id,
        "InstanceId": node.instance_id,
        "InstanceOwnerId": aws.account.topology.account_id,
        "Origin": "CreateRoute",
        "State": "active",
    }


def test_blackhole(aws: RunningAws, ec2: EC2Client) -> None:
    """A route is a blackhole while its instance is stopped and after its ENI was detached or deleted."""
    table, node = aws.account.route_table_ids[0], aws.account.instance(NODE1)

    def state() -> str:
        found = route(ec2, table, DESTINATIONS[0])
        assert found is not None
        return str(found["State"])

    made = ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=made)
    assert state() == "blackhole"
    attachment = ec2.attach_network_interface(DeviceIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=made)
    assert state() == "active"
    aws.api.administer("StopInstances", InstanceId=node.instance_id)
    aws.account.wait_for(lambda world: world.instances[node.instance_id].state == "stopped")
    assert state() == "blackhole"
    aws.api.administer("StartInstances", InstanceId=node.instance_id)
    aws.account.wait_for(lambda world: world.instances[node.instance_id].state == "running")
    assert state() == "active"
    ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    assert state() == "blackhole"
    ec2.delete_network_interface(NetworkInterfaceId=made)
    assert state() == "blackhole"


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_unknown_ids(aws: RunningAws, ec2: EC2Client, call: str) -> None:
    """Unknown tables, ENIs and instances have error codes of their own."""
    table = aws.account.route_table_ids[0]
    perform: Any = getattr(ec2, call)
    unknown = "0123456789abcdef0"
    with refused("InvalidRouteTableID.NotFound", f"The routeTable ID 'rtb-{unknown}' does not exist"):
        perform(RouteTableId=f"rtb-{unknown}", DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws))
    with refused("InvalidRouteTableId.Malformed"):
        perform(RouteTableId="table", DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws))
    with refused("InvalidNetworkInterfaceID.NotFound"):
        perform(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=f"eni-{unknown}")
    with refused("InvalidInstanceID.NotFound"):
        perform(RouteTableId=table, DestinationCidrBlock=OVERLAY, InstanceId=f"i-{unknown}")


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_targets(aws: RunningAws, ec2: EC2Client, call: str) -> None:
    """A route has exactly one target and one well-formed destination."""
    table, node = aws.account.route_table_ids[0], aws.account.instance(NODE1)
    perform: Any = getattr(ec2, call)
    with refused("MissingParameter", "exactly one of"):
        perform(RouteTableId=table, DestinationCidrBlock=OVERLAY)
    with refused("InvalidParameterCombination", "exactly one of"):
        perform(
            RouteTableId=table,
            DestinationCidrBlock=OVERLAY,
            NetworkInterfaceId=eni(aws),
            InstanceId=node.instance_id,
        )
    for wrong in ("192.168.10.10", "300.1.1.1/32", "fd00::1/128"):
        with refused("InvalidParameterValue", f"Value ({wrong}) for parameter destinationCidrBlock is invalid"):
            perform(RouteTableId=table, DestinationCidrBlock=wrong, NetworkInterfaceId=eni(aws))
    with refused("MissingParameter"):
        perform(RouteTableId=table, NetworkInterfaceId=eni(aws))


def test_instance_with_two_interfaces(aws: RunningAws, ec2: EC2Client) -> None:
    """An instance with several ENIs is no target: InvalidInstanceID."""
    node = aws.account.instance(NODE1)
    made = ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(DeviceIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=made)
    with refused("InvalidInstanceID", "Please specify an interface ID"):
        ec2.create_route(
            RouteTableId=aws.account.route_table_ids[0], DestinationCidrBlock=OVERLAY, InstanceId=node.instance_id
        )


@pytest.mark.parametrize("inside", ["10.0.1.200/32", "10.0.77.1/32"])
def test_overlay_inside_the_vpc(aws: RunningAws, ec2: EC2Client, inside: str) -> None:
    """An overlay address inside the VPC's CIDR is refused, also inside a CIDR associated later; so is IPv6."""
    table = aws.account.route_table_ids[0]
    with refused("InvalidParameterValue"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=inside, NetworkInterfaceId=eni(aws))
    with refused("InvalidParameterValue"):
        ec2.create_route(
            RouteTableId=table, DestinationIpv6CidrBlock="2001:db8:1000:1::99/128", NetworkInterfaceId=eni(aws)
        )
    ec2.associate_vpc_cidr_block(VpcId=aws.account.vpc_id, CidrBlock="192.168.0.0/16")
    with refused("InvalidParameterValue"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws))


def test_dry_run(aws: RunningAws, ec2: EC2Client) -> None:
    """With DryRun nothing changes, and the answer is DryRunOperation with status 412."""
    table = aws.account.route_table_ids[0]
    before = aws.account.world
    with refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set."):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws), DryRun=True)
    with refused("DryRunOperation"):
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws), DryRun=True)
    with refused("DryRunOperation"):
        ec2.describe_route_tables(DryRun=True)
    with refused("InvalidRouteTableID.NotFound"):
        ec2.replace_route(
            RouteTableId="rtb-0123456789abcdef0",
            DestinationCidrBlock=OVERLAY,
            NetworkInterfaceId=eni(aws),
            DryRun=True,
        )
    assert aws.account.world == before
    assert aws.calls("CreateRoute")[0].status == 412


def test_delete(aws: RunningAws, ec2: EC2Client) -> None:
    """DeleteRoute takes a route away; a missing one is InvalidRoute.NotFound, a local one stays."""
    table = aws.account.route_table_ids[0]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws))
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=OVERLAY)
    assert route(ec2, table, DESTINATIONS[0]) is None
    with refused("InvalidRoute.NotFound"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=OVERLAY)
    with refused("InvalidParameterValue", "cannot remove local route"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=str(aws.account.topology.cidr))


def test_route_quota(aws: RunningAws, ec2: EC2Client) -> None:
    """A full table takes no further route: RouteLimitExceeded."""
    aws.account.route_quota = 4
    with refused("RouteLimitExceeded"):
        ec2.create_route(
            RouteTableId=aws.account.route_table_ids[0], DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws)
        )


def test_describe_by_id(aws: RunningAws, ec2: EC2Client) -> None:
    """Ids choose tables; one unknown id fails the whole call."""
    wanted = list(aws.account.route_table_ids[1:3])
    assert [table["RouteTableId"] for table in ec2.describe_route_tables(RouteTableIds=wanted)["RouteTables"]] == wanted
    with refused("InvalidRouteTableID.NotFound"):
        ec2.describe_route_tables(RouteTableIds=[*wanted, "rtb-0123456789abcdef0"])


def test_describe_by_filter(aws: RunningAws, ec2: EC2Client) -> None:
    """Filters choose tables: id, VPC, subnet, main, tag, destination, target; all filters have to match."""
    node = aws.account.instance(NODE1)
    aws.account.put_route(OVERLAY, NODE1, aws.account.route_table_id("extra-1"))

    def chosen(**filters: list[str]) -> list[str]:
        listed: Any = [{"Name": name.replace("__", ".").replace("_", "-"), "Values": v} for name, v in filters.items()]
        return [table["RouteTableId"] for table in ec2.describe_route_tables(Filters=listed)["RouteTables"]]

    every = [*aws.account.route_table_ids, aws.account.route_table_id("main")]
    assert chosen(vpc_id=[aws.account.vpc_id]) == every
    assert chosen(vpc_id=["vpc-0123456789abcdef0"]) == []
    assert chosen(route_table_id=every[:2]) == every[:2]
    assert chosen(association__subnet_id=[node.subnet.subnet_id]) == [node.subnet.route_table_id]
    assert chosen(association__main=["true"]) == [aws.account.route_table_id("main")]
    assert chosen(route__destination_cidr_block=[OVERLAY]) == [aws.account.route_table_id("extra-1")]
    assert chosen(route__destination_cidr_block=[OVERLAY], association__main=["true"]) == []
    assert chosen(**{"tag:Name": ["extra-*"]}) == every[2:4]
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        chosen(colour=["red"])


def test_pages() -> None:
    """A page holds 100 tables at most, and the token leads to the next."""
    with running_aws(topology_for(extra_route_tables=247)) as aws:
        ec2 = client(aws)
        sizes = [len(page["RouteTables"]) for page in ec2.get_paginator("describe_route_tables").paginate()]
        assert sizes == [100, 100, 50]
        small = ec2.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 50})
        assert [len(page["RouteTables"]) for page in small] == [50] * 5
        ec2.close()


def test_main_table_serves_subnets_without_their_own(aws: RunningAws, ec2: EC2Client) -> None:
    """A subnet whose association is taken away uses the VPC's main table; it can get another one."""
    node = aws.account.instance(NODE1)

    def used() -> str:
        return aws.account.world.route_table_of(node.subnet.subnet_id).route_table_id

    (table,) = ec2.describe_route_tables(RouteTableIds=[node.subnet.route_table_id])["RouteTables"]
    ec2.disassociate_route_table(AssociationId=table["Associations"][0]["RouteTableAssociationId"])
    assert used() == aws.account.route_table_id("main")
    other = aws.account.route_table_id("extra-1")
    ec2.associate_route_table(RouteTableId=other, SubnetId=node.subnet.subnet_id)
    assert used() == other


def test_delete_table(aws: RunningAws, ec2: EC2Client) -> None:
    """A table is deleted only once no subnet is associated with it; the main table never is."""
    node = aws.account.instance(NODE1)
    message = f"The routeTable '{node.subnet.route_table_id}' has dependencies and cannot be deleted."
    with refused("DependencyViolation", message):
        ec2.delete_route_table(RouteTableId=node.subnet.route_table_id)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=aws.account.route_table_id("main"))
    (table,) = ec2.describe_route_tables(RouteTableIds=[node.subnet.route_table_id])["RouteTables"]
    ec2.disassociate_route_table(AssociationId=table["Associations"][0]["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=node.subnet.route_table_id)
    with refused("InvalidRouteTableID.NotFound"):
        ec2.describe_route_tables(RouteTableIds=[node.subnet.route_table_id])
    with refused("InvalidRouteTableID.NotFound"):
        ec2.delete_route_table(RouteTableId=node.subnet.route_table_id)


def test_table_deleted_behind_the_back(aws: RunningAws, ec2: EC2Client) -> None:
    """`delete_route_table` takes a table away with its association; its subnet uses the main table then."""
    node = aws.account.instance(NODE1)
    aws.account.put_route(OVERLAY, NODE1)
    aws.account.delete_route_table(node.subnet.route_table_id)
    assert node.subnet.route_table_id not in aws.account.world.route_tables
    assert aws.account.world.route_table_of(node.subnet.subnet_id).route_table_id == aws.account.route_table_id("main")
    assert node.subnet.route_table_id not in aws.account.route_table_ids
    assert list(aws.account.routes_to(OVERLAY)) == list(aws.account.route_table_ids)
    with refused("InvalidRouteTableID.NotFound"):
        ec2.replace_route(
            RouteTableId=node.subnet.route_table_id,
            DestinationCidrBlock=OVERLAY,
            NetworkInterfaceId=node.network_interface_id,
        )
    with pytest.raises(ValueError, match="main"):
        aws.account.delete_route_table(aws.account.route_table_id("main"))


def test_main_table_without_association(aws: RunningAws, ec2: EC2Client) -> None:
    """A filter on `association.main` leaves tables without any association out, whatever its value."""

    def chosen(value: str) -> list[str]:
        filters = [{"Name": "association.main", "Values": [value]}]
        return [table["RouteTableId"] for table in ec2.describe_route_tables(Filters=filters)["RouteTables"]]

    assert aws.account.route_table_id("extra-1") not in chosen("true") + chosen("false")
    assert aws.account.instance(NODE1).subnet.route_table_id in chosen("false")


VGW = "vgw-0123456789abcdef0"
OTHER_ORIGINS: Any = ["EnableVgwRoutePropagation", "Advertisement"]


def shown(ec2: EC2Client, table: str) -> list[tuple[str, str]]:
    """Origin and state of each route for the overlay address, in the order EC2 shows them."""
    (described,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return [
        (str(one["Origin"]), str(one["State"]))
        for one in described["Routes"]
        if one.get("DestinationCidrBlock") == OVERLAY
    ]


def used(aws: RunningAws, table: str) -> list[tuple[str, str]]:
    """Target and state of what the network uses for the overlay address."""
    world = aws.account.world
    found = world.route_tables[table].routes_in_use()
    return [(one.target, world.state_of(one)) for one in found if str(one.destination) == OVERLAY]


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_static_before_propagated(aws: RunningAws, ec2: EC2Client, origin: Any) -> None:
    """A propagated route stands beside a static one for the same destination; the static one is used, in any order."""
    table = aws.account.route_table_ids[0]
    aws.account.put_route(OVERLAY, VGW, table, origin=origin)
    aws.account.put_route(OVERLAY, NODE1, table)
    assert shown(ec2, table) == [(origin, "active"), ("CreateRoute", "active")]
    assert used(aws, table) == [(eni(aws), "active")]
    assert aws.account.routes_to(OVERLAY)[table] == eni(aws)
    aws.account.put_route(OVERLAY, "node2", table)
    assert shown(ec2, table) == [(origin, "active"), ("CreateRoute", "active")]
    assert used(aws, table) == [(eni(aws, "node2"), "active")]
    aws.account.delete_route(OVERLAY, table, origin="CreateRoute")
    assert used(aws, table) == [(VGW, "active")]
    aws.account.delete_route(OVERLAY, table)
    assert shown(ec2, table) == used(aws, table) == []


def test_static_blackhole_before_propagated(aws: RunningAws, ec2: EC2Client) -> None:
    """A static route that is a blackhole still comes before a propagated one: what it leads to is dropped."""
    table = aws.account.route_table_ids[0]
    aws.account.put_route(OVERLAY, VGW, table, origin="EnableVgwRoutePropagation")
    aws.account.put_route(OVERLAY, NODE1, table, state="blackhole")
    assert shown(ec2, table) == [("EnableVgwRoutePropagation", "active"), ("CreateRoute", "blackhole")]
    assert used(aws, table) == [(eni(aws), "blackhole")]


def test_filtered(aws: RunningAws, ec2: EC2Client) -> None:
    """A route whose state is `filtered` is shown and not used."""
    table = aws.account.route_table_ids[0]
    aws.account.put_route(OVERLAY, NODE1, table, origin="Advertisement", state="filtered")
    assert shown(ec2, table) == [("Advertisement", "filtered")]
    assert used(aws, table) == []
    assert aws.account.routes_to(OVERLAY)[table] is None
    filters = [{"Name": "route.state", "Values": ["filtered"]}]
    assert [one["RouteTableId"] for one in ec2.describe_route_tables(Filters=filters)["RouteTables"]] == [table]


def test_replace_propagated(aws: RunningAws, ec2: EC2Client) -> None:
    """ReplaceRoute and DeleteRoute find no propagated route; CreateRoute makes a static one beside it."""
    table = aws.account.route_table_ids[0]
    aws.account.put_route(OVERLAY, VGW, table, origin="EnableVgwRoutePropagation")
    call = {"RouteTableId": table, "DestinationCidrBlock": OVERLAY}
    message = f"There is no route defined for '{OVERLAY}' in the route table. Use CreateRoute instead."
    with refused("InvalidParameterValue", message):
        ec2.replace_route(NetworkInterfaceId=eni(aws), **call)
    with refused("InvalidRoute.NotFound"):
        ec2.delete_route(**call)
    ec2.create_route(NetworkInterfaceId=eni(aws), **call)
    assert used(aws, table) == [(eni(aws), "active")]
    ec2.replace_route(NetworkInterfaceId=eni(aws, "node2"), **call)
    ec2.delete_route(**call)
    assert used(aws, table) == [(VGW, "active")]


def test_replace_ends_a_set_state(aws: RunningAws, ec2: EC2Client) -> None:
    """A route that was replaced has the state that follows from its new target, also where that is the old one."""
    table = aws.account.route_table_ids[0]
    aws.account.put_route(OVERLAY, NODE1, table, state="blackhole")
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=eni(aws))
    assert shown(ec2, table) == [("CreateRoute", "active")]


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_target_of_other_vpc(aws: RunningAws, ec2: EC2Client, call: str) -> None:
    """An ENI of another VPC is no target: InvalidParameterValue. DescribeNetworkInterfaces knows its VPC."""
    table, foreign = aws.account.route_table_ids[0], aws.account.add_interface_of_other_vpc()
    with refused("InvalidParameterValue", f"route table {table} and interface {foreign} belong to different networks"):
        getattr(ec2, call)(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=foreign)
    (described,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[foreign])["NetworkInterfaces"]
    assert described["VpcId"] != aws.account.vpc_id
    assert foreign not in [one.network_interface_id for one in aws.account.world.interfaces_in_network()]


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_target_does_not_run(aws: RunningAws, ec2: EC2Client, call: str) -> None:
    """An instance that does not run is no target; its ENI is one, and the route a blackhole."""
    table, node = aws.account.route_table_ids[0], aws.account.instance(NODE1)
    if call == "replace_route":
        aws.account.put_route(OVERLAY, "node2", table)
    aws.api.administer("StopInstances", InstanceId=node.instance_id)
    aws.account.wait_for(lambda world: world.instances[node.instance_id].state == "stopped")
    perform: Any = getattr(ec2, call)
    with refused("IncorrectInstanceState", "Instance with state 'stopped' is not valid for this operation."):
        perform(RouteTableId=table, DestinationCidrBlock=OVERLAY, InstanceId=node.instance_id)
    perform(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=node.network_interface_id)
    assert shown(ec2, table) == [("CreateRoute", "blackhole")]
