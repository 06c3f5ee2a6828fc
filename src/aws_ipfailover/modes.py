"""The modes: one row each, with what it needs, what it holds in start order, and what else on a node disturbs it.

`local_parts`, which stop and a probe use, imports nothing that reaches IMDS or EC2: a probe takes 30 ms, most of it
imports. For the same reason each mode imports its holdings only when it creates them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from aws_ipfailover.context import Context
    from aws_ipfailover.holdings.chosen_tables import ChosenTables
    from aws_ipfailover.holdings.destinations import Destinations
    from aws_ipfailover.holdings.elastic_ip import ElasticIpAssociation
    from aws_ipfailover.holdings.eni_interface import Metadata
    from aws_ipfailover.holdings.local_address import OwnRule
    from aws_ipfailover.interfaces import LocalPart, PlannedHolding
    from aws_ipfailover.kernel.kernel import Kernel
    from aws_ipfailover.parameters import Held, Values

# Seconds by which calls of EC2 are given up before the deadline, so that their results can still be reported.
_TO_SUM_UP = 0.1


class Mode(NamedTuple):
    """One mode.

    `required`: parameters that must be given. `disturbed_by`: programs of `coexistence` that change what it
    configures. `makes_before_breaks`: the next node can take over while this one still answers. `released_in_cloud`:
    stop also asks EC2 to release it, and succeeds without an answer. `holdings`: creates the holdings, in start order.
    The address comes before the route to it, because this node does not accept packets that arrive earlier. An ENI is
    attached before its interface is configured. The Elastic IP is requested when the address is here, and waited for
    last. `dynamic_is_own`, `gateway_is_own`: see `OwnRule`; AWS's DHCP gives an ENI's primary IPv4 address only, its
    DHCPv6 any address of the ENI, and a moving ENI may be configured by either.
    """

    name: str
    required: Tuple[str, ...]
    disturbed_by: Tuple[str, ...]
    makes_before_breaks: bool
    released_in_cloud: bool
    holdings: Callable[[Context, Values], Tuple[PlannedHolding, ...]]
    dynamic_is_own: Tuple[int, ...] = ()
    gateway_is_own: bool = False


def local_parts(kernel: Kernel, what: Held, metadata: Optional[Metadata] = None) -> List[LocalPart]:
    """What a probe looks for and stop removes, in any mode; each part can be here without the others."""
    if what.network_interface_id is not None:
        from aws_ipfailover.holdings.eni_interface import FoundInterface

        return [FoundInterface(kernel, what.network_interface_id, (*what.addresses, *what.others), metadata)]
    from aws_ipfailover.holdings.local_address import FoundAddresses

    own = _own_rule(what.mode)
    return [FoundAddresses(kernel, addresses, own) for addresses in (what.addresses, what.others) if addresses]


def _own_rule(mode_name: str) -> OwnRule:
    from aws_ipfailover.holdings.local_address import OwnRule

    mode = mode_named(mode_name)
    return OwnRule(mode.dynamic_is_own, mode.gateway_is_own)


def _overlay_ip(context: Context, values: Values) -> Tuple[PlannedHolding, ...]:
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.local_address import LocalAddresses
    from aws_ipfailover.holdings.overlay_routes import OverlayRoutes

    own = _own_rule(values.mode)
    lengths = {address: address.max_prefixlen for address in values.ip}
    local = LocalAddresses(context.kernel, lengths, own, context.node.link(), values.iflabel)
    routes = OverlayRoutes(
        destinations_of(values),
        chosen_tables(context, values),
        context.node.network_interface_id(),
        context.ec2,
        context.role_ec2,
        context.memory_of(values.ip),
        # Earlier than `Bounded`: if one table does not answer, the error still reports the results of the others.
        context.deadline.earlier(_TO_SUM_UP),
        context.progress,
    )
    bounded = Bounded(routes, context.deadline, context.progress)
    association = elastic_ip(context, values, context.node.network_interface_id())
    if association is None:
        return local, bounded
    from aws_ipfailover.holdings.elastic_ip import WithElasticIp

    return local, WithElasticIp(bounded, association), association


def destinations_of(values: Values) -> Destinations:
    """The destinations of an overlay address's routes."""
    from aws_ipfailover.holdings.destinations import Destinations

    return Destinations(values.ip, values.destination)


def chosen_tables(context: Context, values: Values) -> ChosenTables:
    """The route tables that `routing_table` names."""
    from aws_ipfailover.holdings.chosen_tables import ChosenTables

    return ChosenTables(
        values.routing_table,
        destinations_of(values),
        context.role_ec2,
        context.node.vpc_id,
        context.tables_memory(values),
        context.deadline,
    )


def _private_ip(context: Context, values: Values) -> Tuple[PlannedHolding, ...]:
    from aws_ipfailover.holdings.announcement import Announcement
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.delegated_prefixes import refuse_own_prefixes
    from aws_ipfailover.holdings.local_address import LocalAddresses
    from aws_ipfailover.holdings.secondary_address import SecondaryAddresses, subnet_prefix

    node = context.node
    link, eni = node.link(), node.network_interface_id()
    cidrs = context.node_subnet_cidrs({address.version for address in values.ip})
    lengths = {address: subnet_prefix(cidrs, address) for address in values.ip}
    refuse_own_prefixes(values.ip, eni, node, context.ec2, context.deadline, context.progress)
    local = LocalAddresses(context.kernel, lengths, _own_rule(values.mode), link, values.iflabel)
    association = elastic_ip(context, values, eni)
    secondary = SecondaryAddresses(
        values.ip,
        eni,
        node,
        context.ec2,
        context.memory_of(values.ip),
        context.deadline,
        # It needs an address that is assigned, and not that IMDS lists it.
        when_assigned=None if association is None else association.begin,
    )
    address = Bounded(secondary, context.deadline, context.progress)
    announcement = Announcement(values.ip, link)
    if association is None:
        return local, address, announcement
    return local, address, announcement, association


def _eni(context: Context, values: Values) -> Tuple[PlannedHolding, ...]:
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.eni_attachment import EniAttachment
    from aws_ipfailover.holdings.eni_interface import EniInterface

    eni = values.required_network_interface_id

    def remember(mac: str) -> None:
        context.mac_memory(eni).remember({"mac": mac})

    attachment = EniAttachment(
        eni,
        values.device_index,
        values.network_card_index,
        context.node.instance_id(),
        context.ec2,
        context.memory(eni),
        context.deadline,
        found=remember,
    )
    interface = EniInterface(context.kernel, eni, values.ip, attachment, _primary_mtu(context), context.deadline)
    attached = Bounded(attachment, context.deadline, context.progress)
    association = elastic_ip(context, values, eni)
    if association is None:
        return attached, interface
    return attached, interface, association


def elastic_ip(context: Context, values: Values, network_interface_id: str) -> Optional[ElasticIpAssociation]:
    """The Elastic IP's association, if one is to follow: in private-ip with the first IPv4 address of the service.

    Not in `Bounded`: what it raises at the deadline would end a start whose address is served.
    """
    if values.allocation_id is None:
        return None
    from aws_ipfailover.holdings.elastic_ip import ElasticIpAssociation

    return ElasticIpAssociation(
        values.allocation_id,
        network_interface_id,
        next((one for one in values.ip if one.version == 4), None) if values.mode == "private-ip" else None,
        context.ec2,
        context.memory(values.allocation_id),
        context.deadline,
        context.progress,
    )


def _primary_mtu(context: Context) -> Optional[int]:
    from aws_ipfailover.errors import Error

    try:
        return context.node.primary_link().mtu
    except Error:
        return None  # the MTU stays as it is


MODES: Tuple[Mode, ...] = (
    Mode(
        "overlay-ip",
        required=("ip", "routing_table"),
        disturbed_by=("nm-cloud-setup",),
        makes_before_breaks=True,
        released_in_cloud=False,
        holdings=_overlay_ip,
        dynamic_is_own=(4, 6),
        gateway_is_own=True,
    ),
    Mode(
        "eni",
        required=("network_interface_id",),
        disturbed_by=(
            "nm-cloud-setup",
            "cloud-netconfig",
            "amazon-ec2-net-utils",
            "systemd-networkd",
            "NetworkManager",
        ),
        makes_before_breaks=False,
        released_in_cloud=True,
        holdings=_eni,
    ),
    Mode(
        "private-ip",
        required=("ip",),
        disturbed_by=("nm-cloud-setup", "cloud-netconfig", "amazon-ec2-net-utils"),
        makes_before_breaks=False,
        released_in_cloud=False,
        holdings=_private_ip,
        dynamic_is_own=(4,),
    ),
)


def mode_named(name: str) -> Mode:
    """The mode with this name, which must be one of `MODES`."""
    return next(mode for mode in MODES if mode.name == name)
