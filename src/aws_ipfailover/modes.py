"""The modes: one row each, with what it needs, what it holds in start order, and what else on a node disturbs it.

What stop and a probe use is made without anything that could reach IMDS or EC2, and without importing it: a probe takes
30 ms, most of which is imports. So each mode imports its holdings when it makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from aws_ipfailover.context import Context
    from aws_ipfailover.failover import Holding, LocalPart
    from aws_ipfailover.holdings.eni_interface import Metadata
    from aws_ipfailover.kernel.kernel import Kernel
    from aws_ipfailover.parameters import Held, Values

# Seconds between the moment when calls of EC2 are given up and the one when nothing more is waited for.
_TO_SUM_UP = 0.1


class Mode(NamedTuple):
    """One mode.

    `required`: parameters that it cannot do without. `disturbed_by`: programs of `coexistence` that change what it
    configures. `makes_before_breaks`: the next node can take over while this one still answers. `released_in_cloud`:
    stop also asks EC2, as far as EC2 answers. `holdings`: makes what it holds, in start order: an address comes before
    what leads to it, as packets that arrive earlier are answered with a reset; an ENI has to be attached before it can
    have anything.
    """

    name: str
    required: Tuple[str, ...]
    disturbed_by: Tuple[str, ...]
    makes_before_breaks: bool
    released_in_cloud: bool
    holdings: Callable[[Context, Values], Tuple[Holding, ...]]


def local_parts(kernel: Kernel, what: Held, metadata: Optional[Metadata] = None) -> List[LocalPart]:
    """What a probe looks at and stop removes, whatever the mode: each part by itself, for any of them can be here."""
    if what.network_interface_id is not None:
        from aws_ipfailover.holdings.eni_interface import FoundInterface

        extra = what.addresses[0] if what.addresses else None
        return [FoundInterface(kernel, what.network_interface_id, extra, metadata)]
    from aws_ipfailover.holdings.local_address import FoundAddress

    return [FoundAddress(kernel, address) for address in what.addresses]


def _overlay_ip(context: Context, values: Values) -> Tuple[Holding, ...]:
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.local_address import LocalAddress
    from aws_ipfailover.holdings.overlay_routes import OverlayRoutes

    address = values.required_ip
    link = context.node.link()
    local = LocalAddress(context.kernel, address, link, values.iflabel, prefix_length=address.max_prefixlen)
    routes = OverlayRoutes(
        address,
        values.routing_table,
        context.node.network_interface_id(),
        context.ec2,
        context.role_ec2,
        context.memory(str(address)),
        # Where one table does not answer, what became of the others is told before all of it is given up.
        context.deadline.earlier(_TO_SUM_UP),
        context.progress,
    )
    return local, Bounded(routes, context.deadline, context.progress)


def _private_ip(context: Context, values: Values) -> Tuple[Holding, ...]:
    from aws_ipfailover.holdings.announcement import Announcement
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.local_address import LocalAddress
    from aws_ipfailover.holdings.secondary_address import SecondaryAddress, subnet_prefix

    address, node = values.required_ip, context.node
    link, eni = node.link(), node.network_interface_id()
    prefix_length = subnet_prefix(context.node_subnet_cidrs(), address)
    local = LocalAddress(context.kernel, address, link, values.iflabel, prefix_length)
    secondary = SecondaryAddress(address, eni, node, context.ec2, context.memory(str(address)), context.deadline)
    return local, Bounded(secondary, context.deadline, context.progress), Announcement(address, link)


def _eni(context: Context, values: Values) -> Tuple[Holding, ...]:
    from aws_ipfailover.holdings.bounded import Bounded
    from aws_ipfailover.holdings.eni_attachment import EniAttachment
    from aws_ipfailover.holdings.eni_interface import EniInterface

    eni = values.required_network_interface_id
    attachment = EniAttachment(
        eni,
        values.device_index,
        context.node.instance_id(),
        context.ec2,
        context.memory(eni),
        context.deadline,
    )
    interface = EniInterface(context.kernel, eni, values.ip, attachment, _primary_mtu(context), context.deadline)
    return Bounded(attachment, context.deadline, context.progress), interface


def _primary_mtu(context: Context) -> Optional[int]:
    from aws_ipfailover.errors import Error

    try:
        return context.node.primary_link().mtu
    except Error:
        return None  # it stays as it is


MODES: Tuple[Mode, ...] = (
    Mode(
        "overlay-ip",
        required=("ip", "routing_table"),
        disturbed_by=("nm-cloud-setup",),
        makes_before_breaks=True,
        released_in_cloud=False,
        holdings=_overlay_ip,
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
    ),
)


def mode_named(name: str) -> Mode:
    """The mode of that name, which is one of `MODES`."""
    return next(mode for mode in MODES if mode.name == name)
