"""What a resource was last started or reloaded with on this node: Pacemaker tells a reload the new parameters only."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.memory import Memory, key_of

if TYPE_CHECKING:
    from aws_ipfailover.parameters import Held, Values


class Configured(NamedTuple):
    """The service addresses, and the text of what leads to them in EC2: destinations, route tables, an Elastic IP.

    `network_interface_id`: of the ENI that moves, empty in the other modes.
    """

    addresses: Tuple[Address, ...]
    cloud: Tuple[str, ...]
    network_interface_id: str = ""

    @property
    def destinations(self) -> Tuple[Cidr, ...]:
        """The CIDRs of its routes."""
        found = []
        for text in self.cloud:
            try:
                found.append(ip_network(text))
            except ValueError:
                continue  # a route table or an Elastic IP
        return tuple(found)


def configured(values: Values) -> Configured:
    """The part of the parameters that a start or reload has an effect by."""
    tables = values.routing_table
    return Configured(
        values.ip,
        (
            *map(str, values.destination),
            *tables.ids,
            *(f"tag:{key}={value}" for key, value in tables.tags),
            *(["auto"] if tables.auto else []),
            *([values.allocation_id] if values.allocation_id else []),
        ),
        (values.network_interface_id or "") if values.mode == "eni" else "",
    )


class LastConfigured:
    """The record for the resource with this id; by hand, where there is none, for its addresses or its ENI."""

    def __init__(self, environ: Mapping[str, str], resource_id: str, what: Held) -> None:
        self._memory = Memory(
            environ, f"configured-{resource_id or what.network_interface_id or key_of(what.addresses)}"
        )

    def remember(self, what: Configured) -> None:
        """Record this; after a failure, which is only logged, nothing is recorded.

        What was recorded before can be another resource's by the next stop, which would remove it.
        """
        noted = {"addresses": list(map(str, what.addresses)), "cloud": list(what.cloud)}
        if not self._memory.remember({**noted, "network_interface_id": what.network_interface_id}):
            self._memory.forget()

    def forget(self) -> None:
        """Delete the record."""
        self._memory.forget()

    def read(self) -> Optional[Configured]:
        """The record, or `None` if there is none."""
        noted = self._memory.read()
        try:
            addresses = [ip_address(text) for text in _texts(noted["addresses"])]
            # A record of an earlier version has no ENI.
            eni = str(noted.get("network_interface_id", ""))
            return Configured(tuple(addresses), tuple(_texts(noted["cloud"])), eni)
        except (KeyError, TypeError, ValueError):
            return None


def _texts(noted: object) -> List[str]:
    if not isinstance(noted, list):
        raise TypeError
    return [str(one) for one in noted]
