"""What the checks of one resource look at: its parameters, this node, and EC2, of which everything is read once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, cast

from aws_ipfailover.address import Cidr
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.connections import Connections
from aws_ipfailover.diagnosis.finding import NotAskedError
from aws_ipfailover.diagnosis.reads import Reads
from aws_ipfailover.errors import DeniedError, Error, NodeError
from aws_ipfailover.holdings.chosen_tables import ChosenTables
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Link
from aws_ipfailover.modes import destinations_of, elastic_ip
from aws_ipfailover.node import Node, named_link
from aws_ipfailover.parameters import Values, held

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import Instance, NetworkInterface, RouteTable, RouteTables, Subnet
    from aws_ipfailover.aws.survey import Survey
    from aws_ipfailover.aws.survey_models import (
        InterfaceLimits,
        NetworkAcl,
        Peering,
        SecurityGroup,
        TransitAttachment,
        TransitRoute,
        TransitTable,
    )
    from aws_ipfailover.holdings.destinations import Destinations
    from aws_ipfailover.holdings.elastic_ip import ElasticIpAssociation

# Seconds by which the SDK gives up before the read that waits for it, and that before the check that has asked for it,
# so that each error reaches the check.
_TO_TELL = 0.3


class Surroundings:
    """One resource on this node; safe to use from many threads.

    `resource_id`: empty where the parameters were typed. `given`: the parameters as Pacemaker would give them.
    `agents`: the directory of OCF's agents. `access`: the way to AWS. Every method raises `errors.Error` where it does
    not know, and `NotAskedError` where another check has to pass first. `reads`: those of a resource that reaches AWS
    in the same way; what is read for one of them is not read again.
    """

    def __init__(
        self,
        resource_id: str,
        given: Mapping[str, str],
        deadline: Deadline,
        agents: Path,
        reads: Optional[Reads] = None,
    ) -> None:
        self.resource_id = resource_id
        self.given = given
        self.agents = agents
        self.deadline = deadline
        self.mode = held(given).mode
        self._reads = reads or Reads(deadline.earlier(_TO_TELL))
        self._until = deadline.earlier(2 * _TO_TELL)
        self.access = Connections(resource_id, given, self._until, self._reads)
        self.kernel = Kernel(self._until)

    def values(self) -> Values:
        """The parameters."""
        return self.access.values()

    def known_values(self) -> Optional[Values]:
        """The parameters, `None` where one is wrong; never raises."""
        try:
            return self.values()
        except Error:
            return None

    def destinations(self) -> Destinations:
        """The destinations of the routes."""
        return destinations_of(self.values())

    # -- this node -------------------------------------------------------------------------------------------------

    def links(self) -> List[Link]:
        """The network interfaces of the kernel."""
        return self._reads.after("iproute2", "the network interfaces of this node", self.kernel.links.all)

    def link(self) -> Link:
        """The interface that gets the address.

        Raises:
            NodeError: there is none.  UnknownError: neither IMDS nor EC2 tells which one that is.
        """
        return self._reads.get("the interface that gets the address", lambda: self._node().link())

    def node(self) -> Node:
        """This node's identity."""
        self._reads.after("interface", "the interface that gets the address", lambda: self._node().link())
        return self._node()

    def _node(self) -> Node:
        return self._reads.get("this node", self._find_node)

    def _find_node(self) -> Node:
        self.links()
        values = self.values()
        chosen = named_link(self.kernel.links, values.interface) if values.interface else None
        # Connects to EC2 only where metadata does not answer.
        later = cast("Ec2", _Later(self.ec2))
        return Node(self.kernel.links, self.access.metadata(), later, chosen, self._until)

    def own_id(self) -> str:
        """The ENI that routes have to point to."""
        return self._reads.get("this node's network interface", lambda: self.node().network_interface_id())

    def instance_id(self) -> str:
        """The id of this instance."""
        return self._reads.get("this instance's id", lambda: self._node().instance_id())

    def vpc_id(self) -> str:
        """The VPC of this node."""
        return self._reads.get("this node's VPC", lambda: self.node().vpc_id())

    # -- what EC2 has ----------------------------------------------------------------------------------------------

    def ec2(self) -> Ec2:
        """EC2 with this node's own credentials."""
        return self.access.clients().ec2

    def role_ec2(self) -> Ec2:
        """EC2 with the credentials of `routing_table_role`, or this node's own without one."""
        return self.access.role_clients().ec2

    def role_survey(self) -> Survey:
        """The same for the operations of commands: what belongs to the VPC is the role's account's."""
        return self.access.role_clients().survey

    def context(self) -> Context:
        """What the holdings of the agent need."""
        return Context(self.kernel, self.node(), self.ec2(), self.role_ec2(), self._until, self.access.progress)

    def own(self) -> NetworkInterface:
        """This node's ENI."""
        return self._reads.get("DescribeNetworkInterfaces", lambda: self.ec2().network_interface(self.own_id()))

    def moving(self) -> NetworkInterface:
        """The ENI that moves."""
        eni = self.values().required_network_interface_id
        return self._reads.get(f"DescribeNetworkInterfaces of {eni}", lambda: self.ec2().network_interface(eni))

    def moving_subnet_cidrs(self) -> Sequence[Cidr]:
        """The CIDRs of the subnet of the ENI that moves."""
        name = "DescribeSubnets of the moving ENI's"
        return self._reads.get(name, lambda: self.ec2().subnet_cidrs(self.moving().subnet_id))

    def serving(self) -> NetworkInterface:
        """The ENI that the address's traffic comes through."""
        return self.moving() if self.mode == "eni" else self.own()

    def instance(self) -> Instance:
        """This instance."""
        return self._reads.get("DescribeInstances", lambda: self.ec2().instance(self.instance_id()))

    def tables(self) -> Tuple[RouteTable, ...]:
        """Every route table of the VPC."""
        return self._reads.get("DescribeRouteTables", lambda: self.role_ec2().route_tables_of(self.vpc_id()))

    def chosen(self) -> Tuple[RouteTables, Tuple[str, ...]]:
        """The tables that `routing_table` names, and the names that no table has."""
        name = f"the tables {self.given.get('routing_table', '')} for {self.destinations()}"
        return self._reads.get(name, lambda: self._chooser().described())

    def why_unmatched(self, unmatched: Sequence[str]) -> NodeError:
        """The error for names in `routing_table` that no table has."""
        return self._chooser().none_found(unmatched)

    def _chooser(self) -> ChosenTables:
        values = self.values()
        read = cast("Ec2", _KnownTables(self))
        memory = Context.tables_memory(values)
        return ChosenTables(values.routing_table, self.destinations(), read, self.vpc_id, memory, self._until)

    def usable_tables(self) -> Tuple[RouteTable, ...]:
        """The tables that `routing_table` names and that are of this VPC: at least one."""
        found, _ = self.chosen()
        usable = tuple(one for one in found.found if one.vpc_id == self.vpc_id())
        if not usable:
            raise NotAskedError("tables")
        return usable

    def subnets(self) -> List[Subnet]:
        """Every subnet of the VPC."""
        return self._reads.get("DescribeSubnets", lambda: self.role_ec2().subnets_of(self.vpc_id()))

    def subnet_cidrs(self) -> Sequence[Cidr]:
        """The CIDRs of the subnet that this node's ENI is in."""
        versions = sorted({address.version for address in self.values().ip})
        name = f"the subnet's CIDRs of IPv{' and IPv'.join(map(str, versions))}"
        return self._reads.get(name, lambda: self.context().node_subnet_cidrs(versions))

    def vpc_cidrs(self) -> List[Cidr]:
        """Every CIDR of the VPC: by DescribeVpcs where that is permitted, else by its tables' local routes and IMDS."""
        return self._reads.get("DescribeVpcs", self._vpc_cidrs)

    def _vpc_cidrs(self) -> List[Cidr]:
        try:
            return self.ec2().vpc_cidrs(self.vpc_id())
        except DeniedError:
            local = {route.destination for table in self.tables() for route in table.routes if route.local}
            return sorted(local.union(self.node().vpc_cidrs()), key=str)

    def neighbours(self) -> List[NetworkInterface]:
        """The ENIs of the subnet of this node's ENI."""
        name = "DescribeNetworkInterfaces of the subnet"
        return self._reads.get(name, lambda: self.ec2().network_interfaces_in(self.own().subnet_id))

    def security_groups(self) -> List[SecurityGroup]:
        """The security groups of this account in the VPC."""
        survey = self.access.clients().survey
        return self._reads.get("DescribeSecurityGroups", lambda: survey.security_groups(self.vpc_id()))

    def network_acls(self) -> List[NetworkAcl]:
        """The network ACLs of the VPC."""
        return self._reads.get("DescribeNetworkAcls", lambda: self.role_survey().network_acls(self.vpc_id()))

    def peerings(self) -> List[Peering]:
        """The active peering connections of the VPC."""
        return self._reads.get("DescribeVpcPeeringConnections", lambda: self.role_survey().peerings(self.vpc_id()))

    def transit_attachments(self) -> List[TransitAttachment]:
        """The attachments of the VPC to transit gateways."""
        name = "DescribeTransitGatewayVpcAttachments"
        return self._reads.get(name, lambda: self.role_survey().transit_attachments(self.vpc_id()))

    def transit_tables(self, gateway_id: str) -> List[TransitTable]:
        """The route tables of a transit gateway."""
        name = f"DescribeTransitGatewayRouteTables of {gateway_id}"
        return self._reads.get(name, lambda: self.role_survey().transit_tables(gateway_id))

    def transit_route(self, table_id: str, cidr: Cidr) -> Optional[TransitRoute]:
        """The route that a transit gateway's table uses for a CIDR of one address; `None` if it has none."""
        name = f"SearchTransitGatewayRoutes in {table_id} for {cidr}"
        return self._reads.get(name, lambda: self.role_survey().transit_route(table_id, cidr))

    def vpn_gateways(self) -> List[str]:
        """The virtual private gateways of the VPC."""
        return self._reads.get("DescribeVpnGateways", lambda: self.role_survey().vpn_gateways(self.vpc_id()))

    def interface_limits(self) -> InterfaceLimits:
        """How many ENIs and addresses this instance takes."""
        survey, kind = self.access.clients().survey, self.instance().instance_type
        return self._reads.get("DescribeInstanceTypes", lambda: survey.interface_limits(kind))

    def attachment(self) -> EniAttachment:
        """The attachment of the ENI that moves to this instance, which reads what is known here already."""
        values, context = self.values(), self.context()
        read, eni = cast("Ec2", _KnownInterface(self)), values.required_network_interface_id
        index, card, me = values.device_index, values.network_card_index, self.instance_id()
        return EniAttachment(eni, index, card, me, read, context.memory(eni), self._until)

    def elastic_ip(self) -> Optional[ElasticIpAssociation]:
        """The association of the Elastic IP, `None` without one."""
        values = self.values()
        eni = values.required_network_interface_id if self.mode == "eni" else self.own_id()
        return elastic_ip(self.context(), values, eni)


def side_by_side(
    resources: Sequence[Tuple[str, Mapping[str, str]]], deadline: Deadline, agents: Path
) -> List[Surroundings]:
    """Those of several resources, by their ids and parameters; what they read in the same way is read once."""
    found: List[Surroundings] = []
    shared: Dict[Tuple[object, ...], Reads] = {}
    for resource_id, given in resources:
        alone = Reads(deadline.earlier(_TO_TELL))
        try:
            way = Surroundings(resource_id, given, deadline, agents).access.way()
        except Error:
            reads = alone
        else:
            reads = shared.setdefault(way, alone)
        found.append(Surroundings(resource_id, given, deadline, agents, reads))
    return found


class _Later:
    """What `Node` asks EC2, which is connected to when it is asked first."""

    def __init__(self, connect: Callable[[], Ec2]) -> None:
        self._connect = connect

    def network_interfaces_with(self, macs: Sequence[str]) -> List[NetworkInterface]:
        """As `Ec2`."""
        return self._connect().network_interfaces_with(macs)

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        """As `Ec2`."""
        return self._connect().network_interface(network_interface_id)


class _KnownTables:
    """What `ChosenTables` asks EC2; a table of the VPC is not read again."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._all = surroundings.tables
        self._connect = surroundings.role_ec2

    def route_tables_of(self, _vpc_id: str, _tag: Optional[Tuple[str, str]] = None) -> Tuple[RouteTable, ...]:
        """As `Ec2`."""
        return self._all()

    def route_tables(self, route_table_ids: Sequence[str]) -> RouteTables:
        """As `Ec2`."""
        known = [one for one in self._all() if one.route_table_id in route_table_ids]
        others = [one for one in route_table_ids if one not in {table.route_table_id for table in known}]
        read = self._connect().route_tables(others)
        return read._replace(found=(*known, *read.found))


class _KnownInterface:
    """What `EniAttachment` asks EC2 before it changes anything; neither ENI nor instance is read again."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def network_interface(self, _network_interface_id: str) -> NetworkInterface:
        """As `Ec2`."""
        return self._surroundings.moving()

    def instance(self, _instance_id: str) -> Instance:
        """As `Ec2`."""
        return self._surroundings.instance()

    def may_attach(
        self, network_interface_id: str, instance_id: str, device_index: int, network_card_index: Optional[int]
    ) -> None:
        """As `Ec2`."""
        ec2 = self._surroundings.ec2()
        ec2.may_attach(network_interface_id, instance_id, device_index, network_card_index)
