"""What EC2's answers mean for one resource: where its routes, ENI, private addresses and Elastic IP are. Pure.

Facts: Amazon VPC User Guide, "Route table concepts" (a subnet without an association uses the main table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error
from aws_ipfailover.holdings.overlay_routes import CHECK_UNTOLD
from aws_ipfailover.parameters import Values
from aws_ipfailover.state.cloud_answers import Answers, Tables, Wanted, routes_found
from aws_ipfailover.state.node_names import NodeNames

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import NetworkInterface, RouteTable, Subnet

NO_ROUTE, NO_TABLE = "no route", "no such table"
AVAILABLE = "available"


class Holder(NamedTuple):
    """An instance; `node`, `name` (its tag Name) and `state` (running, …) are empty where they are not known."""

    instance_id: str
    node: str = ""
    name: str = ""
    state: str = ""

    def __str__(self) -> str:
        known = self.node or self.name
        return f"{known} ({self.instance_id})" if known else self.instance_id


class RouteState(NamedTuple):
    """A route of a table; `state` is EC2's word, such as active or blackhole, or NO_ROUTE, or NO_TABLE.

    `network_interface_id` is empty where the target is no ENI. `holder`: `None` where no instance has the ENI, or that
    is not known. `subnets`: those that use the table; `None` where that is not known.
    """

    route_table_id: str
    destination: str
    network_interface_id: str
    state: str
    holder: Optional[Holder] = None
    main: bool = False
    subnets: Optional[Tuple[Subnet, ...]] = None


class AttachmentState(NamedTuple):
    """The ENI that moves; `status`: attaching, attached, detaching, or available, and then without a holder."""

    network_interface_id: str
    status: str
    holder: Optional[Holder]
    device_index: Optional[int]
    availability_zone: str
    addresses: Tuple[Address, ...]


class AddressState(NamedTuple):
    """A private address, and the ENI of this node's subnet that has it; empty where none has."""

    address: Address
    network_interface_id: str
    holder: Optional[Holder]


class ElasticIpState(NamedTuple):
    """An Elastic IP, and what it is associated with; empty without an association."""

    allocation_id: str
    public_ip: str
    network_interface_id: str
    private_address: Optional[Address]
    holder: Optional[Holder]


class CloudState(NamedTuple):
    """What EC2 says of one resource; which of the parts there are follows from its mode.

    `wrong`: what is not as a start leaves it. `unknown`: what could not be found out of where the addresses lead.
    `notes`: what could not be found out beside that, such as names of instances.
    """

    routes: Tuple[RouteState, ...] = ()
    attachment: Optional[AttachmentState] = None
    addresses: Tuple[AddressState, ...] = ()
    elastic_ip: Optional[ElasticIpState] = None
    wrong: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()

    @property
    def holders(self) -> Tuple[Holder, ...]:
        """The instances to which EC2 sends the addresses' traffic, each once."""
        found = [one.holder for one in self.routes if one.state == "active"]
        found += [one.holder for one in self.addresses]
        if self.attachment is not None:
            found.append(self.attachment.holder)
        return tuple({one.instance_id: one for one in found if one is not None}.values())


def state_of(wanted: Wanted, answers: Answers, names: NodeNames) -> CloudState:
    """What the answers say of one of the resources that they are about."""
    return _Reading(wanted, answers, names).state()


class _Reading:
    def __init__(self, wanted: Wanted, answers: Answers, names: NodeNames) -> None:
        self._key = wanted.key
        self._values = wanted.values
        self._answers = answers
        self._names = names
        self._wrong: List[str] = []
        self._unknown: List[str] = []
        self._notes: List[str] = []

    def state(self) -> CloudState:
        routes: Tuple[RouteState, ...] = ()
        attachment: Optional[AttachmentState] = None
        addresses: Tuple[AddressState, ...] = ()
        if self._values.mode == "overlay-ip":
            routes = tuple(self._routes())
        elif self._values.mode == "eni":
            attachment = self._attachment(self._values.required_network_interface_id)
        else:
            addresses = tuple(self._addresses())
        state = CloudState(routes, attachment, addresses)
        elastic_ip = self._elastic_ip(state)
        return state._replace(
            elastic_ip=elastic_ip,
            wrong=_once(self._wrong),
            unknown=_once(self._unknown),
            notes=_once(self._notes),
        )

    # -- overlay-ip ----------------------------------------------------------------------------------------------

    def _routes(self) -> List[RouteState]:
        tables = self._answers.tables.get(self._key)
        if not isinstance(tables, Tables):
            self._unknown.append(str(tables))
            return []
        states = [
            RouteState(table, str(cidr), "", NO_TABLE) for table in tables.missing for cidr in self._values.destination
        ]
        self._wrong += [f"EC2 knows no route table {table}" for table in tables.missing]
        self._wrong += [f"no route table has what routing_table names by {name}" for name in tables.unmatched]
        for table, cidr, route in routes_found(self._values, tables.found):
            subnets = self._subnets(table)
            if route is None:
                self._wrong.append(f"{table.route_table_id} has no route to {cidr}")
                states.append(RouteState(table.route_table_id, str(cidr), "", NO_ROUTE, None, table.main, subnets))
                continue
            eni = route.network_interface_id
            if route.state != "active":
                self._wrong.append(f"the route to {cidr} in {table.route_table_id} is {route.state}")
            elif not eni:
                self._wrong.append(f"the route to {cidr} in {table.route_table_id} leads to no network interface")
            holder = self._holder_of(eni, needed=route.state == "active") if eni else None
            found = self._answers.interfaces.get(eni)
            if found is not None and found.source_dest_check:
                self._wrong.append(f"the source/destination check of {eni} is on, so EC2 drops the addresses' packets")
            elif found is not None and found.source_dest_check is None:
                self._unknown.append(f"{CHECK_UNTOLD} of {eni}")
            states.append(RouteState(table.route_table_id, str(cidr), eni, route.state, holder, table.main, subnets))
        return states

    def _subnets(self, table: RouteTable) -> Optional[Tuple[Subnet, ...]]:
        """The subnets that use a table; those of the main one are associated with no other."""
        subnets = self._answers.subnets.get(table.vpc_id)
        if subnets is None or isinstance(subnets, Error):
            self._notes.append(f"which subnets use the tables is not known: {subnets}")
            return None
        ids = set(table.subnet_ids)
        if table.main:
            others = self._answers.vpc_tables.get(table.vpc_id)
            if others is None or isinstance(others, Error):
                self._notes.append(f"which subnets use the main table is not known: {others}")
                return None
            taken = {subnet for other in others for subnet in other.subnet_ids}
            ids |= {one.subnet_id for one in subnets if one.subnet_id not in taken}
        return tuple(one for one in subnets if one.subnet_id in ids)

    # -- eni -----------------------------------------------------------------------------------------------------

    def _attachment(self, eni: str) -> Optional[AttachmentState]:
        found = self._answers.interfaces.get(eni)
        if found is None:
            if self._answers.interfaces_error is not None:
                self._unknown.append(str(self._answers.interfaces_error))
            else:
                self._wrong.append(f"EC2 knows no network interface {eni}")
            return None
        held = found.attachment
        status = AVAILABLE if held is None else held.status
        if status != "attached":
            self._wrong.append(f"{eni} is {status}" + (", attached to no instance" if held is None else ""))
        self._of_parameter_ip(found)
        return AttachmentState(
            eni,
            status,
            self._holder_of(eni),
            None if held is None else held.device_index,
            found.availability_zone,
            found.addresses,
        )

    def _of_parameter_ip(self, found: NetworkInterface) -> None:
        """In this mode addresses of `ip` are added to the ENI's own in the kernel alone, and need not be the ENI's."""
        missing = [str(one) for one in self._values.ip if one not in found.addresses]
        if missing:
            self._notes.append(f"{', '.join(missing)} of ip is no address of {found.network_interface_id} in EC2")

    # -- private-ip ----------------------------------------------------------------------------------------------

    def _addresses(self) -> List[AddressState]:
        nearby = self._answers.nearby
        if isinstance(nearby, Error):
            self._unknown.append(str(nearby))
            return []
        states = []
        for address in self._values.ip:
            eni = next((one.network_interface_id for one in nearby if address in one.addresses), "")
            if not eni:
                self._wrong.append(f"no network interface of this node's subnet has {address}")
            states.append(AddressState(address, eni, self._holder_of(eni) if eni else None))
        return states

    # -- both ----------------------------------------------------------------------------------------------------

    def _elastic_ip(self, state: CloudState) -> Optional[ElasticIpState]:
        allocation = self._values.allocation_id
        if allocation is None:
            return None
        found = self._answers.elastic_ips.get(allocation)
        if found is None or isinstance(found, Error):
            self._unknown.append(f"Elastic IP {allocation}: {found}")
            return None
        eni = found.network_interface_id
        expected = _expected_interfaces(state)
        if not eni:
            self._wrong.append(f"Elastic IP {allocation} is associated with nothing")
        elif expected and eni not in expected:
            self._wrong.append(f"Elastic IP {allocation} is associated with {eni} and not with {expected[0]}")
        elif self._values.mode == "private-ip" and found.private_address not in (None, *_first_ipv4(self._values)):
            self._wrong.append(f"Elastic IP {allocation} is associated with {found.private_address} of {eni}")
        return ElasticIpState(
            allocation,
            found.public_ip,
            eni,
            found.private_address,
            self._holder_of(eni, needed=False) if eni else None,
        )

    def _holder_of(self, eni: str, *, needed: bool = True) -> Optional[Holder]:
        """The instance that has an ENI; `needed`: whether the answer to where the addresses lead depends on it."""
        found = self._answers.interfaces.get(eni)
        if found is None:
            error = self._answers.interfaces_error
            text = f"which instance has {eni} is not known: {error or 'EC2 does not know it in this region'}"
            (self._unknown if needed else self._notes).append(text)
            return None
        if found.attachment is None:
            return None
        instance = found.attachment.instance_id
        described = self._answers.instances.get(instance)
        addresses = (*found.addresses, *(described.addresses if described is not None else ()))
        if described is None and self._answers.instances_error is not None:
            self._notes.append(f"names and states of instances are not known: {self._answers.instances_error}")
        node = self._names.node_of(instance, addresses)
        if described is None:
            return Holder(instance, node)
        if needed and described.state not in ("running", ""):
            self._wrong.append(f"{Holder(instance, node, described.name)} is {described.state}")
        return Holder(instance, node, described.name, described.state)


def _expected_interfaces(state: CloudState) -> Sequence[str]:
    """The ENIs with which a start leaves the Elastic IP associated."""
    if state.attachment is not None:
        return (state.attachment.network_interface_id,)
    found = [one.network_interface_id for one in state.routes if one.state == "active"]
    found += [one.network_interface_id for one in state.addresses]
    return tuple(dict.fromkeys(one for one in found if one))


def _first_ipv4(values: Values) -> Tuple[Address, ...]:
    return tuple(one for one in values.ip if one.version == 4)[:1]


def _once(texts: Sequence[str]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
