"""Every operation of AWS that this package calls, with what IAM has to allow for it: the only list. No I/O.

The policies of `policy`, the checks of `doctor` and the documentation are made from `PERMISSIONS`.

Source of resource types: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2" and
"... AWS Security Token Service". EC2 knows no resources for any Describe: a statement with an ARN never matches one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple

from aws_ipfailover.modes import MODES

if TYPE_CHECKING:
    from aws_ipfailover.parameters import Values


class User(enum.Enum):
    """Who calls an operation."""

    AGENT = "the resource agent"
    HEALTH = "the health agent"
    FENCE_AWS = "fence_aws"
    EXTERNAL_EC2 = "external/ec2"
    DOCTOR = "aws-ipfailover doctor"


class Kind(enum.Enum):
    """A type of resources as it is called in ARNs of EC2; the last one is IAM's."""

    ROUTE_TABLE = "route-table"
    INTERFACE = "network-interface"
    INSTANCE = "instance"
    ELASTIC_IP = "elastic-ip"
    ROLE = "role"


class Permission(NamedTuple):
    """One operation that one or more users call.

    `sid`: the statement of a policy that it belongs to. `kinds`: the types of resources whose ARNs IAM compares, all of
    them; empty for what only reads, which is allowed on `*`: EC2 has no resources for a Describe. `modes`: the
    modes in which the agent calls it. `applies`: whether it is called with these parameters, in one of the modes;
    `None` for always. `by_role`: with the credentials of `routing_table_role` where there is one. `purpose`: what calls
    it. `without`: what happens where it is not allowed. `dry_run`: whether EC2 tells by a DryRun if it is allowed.
    """

    action: str
    sid: str
    users: Tuple[User, ...]
    purpose: str
    without: str
    modes: Tuple[str, ...]
    kinds: Tuple[Kind, ...] = ()
    applies: Optional[Callable[[Values], bool]] = None
    by_role: bool = False
    dry_run: bool = False

    @property
    def operation(self) -> str:
        """Its name in the API: `ReplaceRoute` of `ec2:ReplaceRoute`."""
        return self.action.partition(":")[2]

    @property
    def is_read(self) -> bool:
        """Whether it only reads: IAM compares no resources."""
        return not self.kinds


def permissions_for(values: Values, users: Tuple[User, ...] = (User.AGENT,)) -> List[Permission]:
    """The operations that `users` call for a resource with these parameters, in the order of `PERMISSIONS`."""
    return [
        one
        for one in PERMISSIONS
        if any(user in users for user in one.users)
        and values.mode in one.modes
        and (one.applies is None or one.applies(values))
    ]


def _has_ipv4(values: Values) -> bool:
    return any(address.version == 4 for address in values.ip)


def _has_ipv6(values: Values) -> bool:
    return any(address.version == 6 for address in values.ip)


def _has_elastic_ip(values: Values) -> bool:
    return values.allocation_id is not None


def _has_role(values: Values) -> bool:
    return values.routing_table_role is not None


ALL_MODES = tuple(mode.name for mode in MODES)
_OVERLAY, _ENI, _PRIVATE = ("overlay-ip",), ("eni",), ("private-ip",)
_AGENTS = (User.AGENT, User.HEALTH, User.DOCTOR)
_FENCING = (User.FENCE_AWS, User.EXTERNAL_EC2)

# The ids of statements.
DESCRIBE = "Describe"
REPLACE_ROUTES = "ReplaceRoutes"
CREATE_ROUTES = "CreateRoutes"
SOURCE_DEST_CHECK = "SwitchOffSourceDestCheck"
MOVE_INTERFACE = "MoveInterface"
ASSIGN_IPV4 = "AssignIpv4Addresses"
ASSIGN_IPV6 = "AssignIpv6Addresses"
ELASTIC_IP = "AssociateElasticIp"
ASSUME_ROLE = "AssumeRole"
FENCING = "Fencing"


def _looks_only(action: str, purpose: str) -> Permission:
    """An operation of doctor alone, which goes on without it."""
    without = "doctor cannot find it out, and says so"
    return Permission(f"ec2:{action}", DESCRIBE, (User.DOCTOR,), purpose, without, ALL_MODES)


PERMISSIONS: Tuple[Permission, ...] = (
    Permission(
        "ec2:ReplaceRoute",
        REPLACE_ROUTES,
        _AGENTS,
        "start, and a repair by monitor at level 10",
        "start ends with 4",
        _OVERLAY,
        (Kind.ROUTE_TABLE,),
        by_role=True,
        dry_run=True,
    ),
    Permission(
        "ec2:CreateRoute",
        CREATE_ROUTES,
        _AGENTS,
        "start and a repair, where a table has no route for the address yet",
        "the route has to be made once by hand: start names the command",
        _OVERLAY,
        (Kind.ROUTE_TABLE,),
        by_role=True,
        dry_run=True,
    ),
    Permission(
        "ec2:DescribeRouteTables",
        DESCRIBE,
        _AGENTS,
        "monitor at level 10, and start with tag: or auto",
        "monitor at level 10 answers 190",
        _OVERLAY,
        by_role=True,
    ),
    Permission(
        "ec2:DescribeNetworkInterfaces",
        DESCRIBE,
        _AGENTS,
        "start and monitor at level 10: is the source/destination check off?",
        "start and monitor at level 10 warn, and do not look",
        _OVERLAY,
    ),
    Permission(
        "ec2:ModifyNetworkInterfaceAttribute",
        SOURCE_DEST_CHECK,
        _AGENTS,
        "start and a repair, where the source/destination check is on",
        "it has to be switched off once by hand: start ends with 2 and names the command",
        _OVERLAY,
        (Kind.INTERFACE,),
        dry_run=True,
    ),
    Permission(
        "ec2:DescribeVpcs",
        DESCRIBE,
        _AGENTS,
        "validate-all at level 10 and the health agent: is the address outside the VPC?",
        "the VPC's CIDRs are taken from its route tables",
        _OVERLAY,
    ),
    Permission(
        "ec2:DescribeSubnets",
        DESCRIBE,
        (User.AGENT, User.DOCTOR),
        "validate-all at level 10: which subnets do not reach the address?",
        "validate-all does not warn of them",
        _OVERLAY,
        by_role=True,
    ),
    Permission(
        "sts:AssumeRole",
        ASSUME_ROLE,
        _AGENTS,
        "each action that asks for the route tables",
        "start ends with 4",
        _OVERLAY,
        (Kind.ROLE,),
        applies=_has_role,
    ),
    Permission(
        "sts:TagSession",
        ASSUME_ROLE,
        _AGENTS,
        "each action that assumes the role",
        "CloudTrail does not tell which resource has assumed the role",
        _OVERLAY,
        (Kind.ROLE,),
        applies=_has_role,
    ),
    Permission(
        "ec2:AttachNetworkInterface",
        MOVE_INTERFACE,
        _AGENTS,
        "start",
        "start ends with 4",
        _ENI,
        (Kind.INTERFACE, Kind.INSTANCE),
        dry_run=True,
    ),
    Permission(
        "ec2:DetachNetworkInterface",
        MOVE_INTERFACE,
        _AGENTS,
        "start, of the interface that another node has; stop",
        "start ends with 4 while another node has the interface",
        _ENI,
        (Kind.INTERFACE, Kind.INSTANCE),
        dry_run=True,
    ),
    Permission(
        "ec2:DescribeNetworkInterfaces",
        DESCRIBE,
        _AGENTS,
        "start and monitor at level 10: where is the interface attached?",
        "start ends with 4",
        _ENI,
    ),
    Permission(
        "ec2:DescribeInstances",
        DESCRIBE,
        _AGENTS,
        "start: the zone of this node, its free device indexes, the state of the node that has the interface",
        "start ends with 4",
        _ENI,
    ),
    Permission(
        "ec2:DescribeSubnets",
        DESCRIBE,
        _AGENTS,
        "start: the CIDRs of the interface's subnet",
        "start ends with 4",
        _ENI,
    ),
    Permission(
        "ec2:AssignPrivateIpAddresses",
        ASSIGN_IPV4,
        (User.AGENT,),
        "start and a repair, IPv4",
        "start ends with 4",
        _PRIVATE,
        (Kind.INTERFACE,),
        applies=_has_ipv4,
    ),
    Permission(
        "ec2:AssignIpv6Addresses",
        ASSIGN_IPV6,
        (User.AGENT,),
        "start and a repair, IPv6",
        "start ends with 4",
        _PRIVATE,
        (Kind.INTERFACE,),
        applies=_has_ipv6,
    ),
    Permission(
        "ec2:UnassignIpv6Addresses",
        ASSIGN_IPV6,
        (User.AGENT,),
        "start, IPv6: EC2 does not reassign an address that another interface has",
        "start ends with 4 while another node has the address",
        _PRIVATE,
        (Kind.INTERFACE,),
        applies=_has_ipv6,
    ),
    Permission(
        "ec2:DescribeNetworkInterfaces",
        DESCRIBE,
        _AGENTS,
        "monitor at level 10, start with IPv6, and start where EC2 has refused to assign an address",
        "monitor at level 10 answers 190; start with IPv6 ends with 4",
        _PRIVATE,
    ),
    Permission(
        "ec2:DescribeSubnets",
        DESCRIBE,
        (User.AGENT, User.DOCTOR),
        "start, where instance metadata does not tell the subnet's CIDRs",
        "start ends with 4 there",
        _PRIVATE,
    ),
    Permission(
        "ec2:AssociateAddress",
        ELASTIC_IP,
        _AGENTS,
        "start, and a repair by monitor at level 10",
        "the Elastic IP stays where it is: start logs an error, monitor at level 10 answers 190",
        ALL_MODES,
        (Kind.ELASTIC_IP, Kind.INTERFACE, Kind.INSTANCE),
        applies=_has_elastic_ip,
        dry_run=True,
    ),
    Permission(
        "ec2:DescribeAddresses",
        DESCRIBE,
        _AGENTS,
        "monitor at level 10: where does the Elastic IP lead?",
        "monitor at level 10 answers 190",
        ALL_MODES,
        applies=_has_elastic_ip,
    ),
    Permission(
        "ec2:DescribeInstances",
        DESCRIBE,
        _FENCING,
        "every action of the fence device",
        "no node can be fenced",
        ALL_MODES,
    ),
    Permission(
        "ec2:StopInstances",
        FENCING,
        _FENCING,
        "fencing by off and by reboot",
        "no node can be fenced",
        ALL_MODES,
        (Kind.INSTANCE,),
        dry_run=True,
    ),
    Permission(
        "ec2:StartInstances",
        FENCING,
        _FENCING,
        "fencing by on and by reboot",
        "a node that was fenced by reboot stays off",
        ALL_MODES,
        (Kind.INSTANCE,),
        dry_run=True,
    ),
    Permission(
        "ec2:RebootInstances",
        FENCING,
        (User.EXTERNAL_EC2,),
        "fencing by reboot, which external/ec2 does in one call",
        "no node can be fenced by reboot",
        ALL_MODES,
        (Kind.INSTANCE,),
        dry_run=True,
    ),
    Permission(
        "ec2:DescribeTags",
        DESCRIBE,
        (User.EXTERNAL_EC2,),
        "every action: which instance is which node",
        "no node can be fenced",
        ALL_MODES,
    ),
    _looks_only("DescribeInstances", "the nodes' zones, and their network interfaces"),
    _looks_only("DescribeInstanceTypes", "how many network interfaces and addresses a node may have"),
    _looks_only("DescribeSecurityGroups", "do security groups let the consumers' packets in?"),
    _looks_only("DescribeNetworkAcls", "do network ACLs let the consumers' packets in?"),
    _looks_only("DescribeVpcPeeringConnections", "from which other VPCs is the address reached?"),
    _looks_only("DescribeTransitGatewayVpcAttachments", "through which transit gateways is the address reached?"),
    _looks_only("DescribeTransitGatewayAttachments", "what else is attached to those transit gateways?"),
    _looks_only("DescribeTransitGatewayRouteTables", "the route tables of those transit gateways"),
    _looks_only("SearchTransitGatewayRoutes", "the routes of those transit gateways"),
    _looks_only("DescribeVpnGateways", "is there a way on premises by VPN or Direct Connect?"),
)
