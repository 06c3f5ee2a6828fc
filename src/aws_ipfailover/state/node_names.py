"""Which node of the cluster an instance is, by what the cluster itself tells of its nodes. Pure."""

from __future__ import annotations

from typing import Collection, Dict, Mapping, NamedTuple, Optional

from aws_ipfailover.address import Address
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.corosync import node_addresses

_INSTANCE = "i-"


class NodeNames(NamedTuple):
    """Nodes' names by instance ids, and by private addresses."""

    by_instance: Mapping[str, str] = {}
    by_address: Mapping[Address, str] = {}

    def node_of(self, instance_id: str, addresses: Collection[Address] = ()) -> str:
        """The name of the node that an instance with these private addresses is; empty where that is not known."""
        known = self.by_instance.get(instance_id)
        if known:
            return known
        names = {self.by_address[one] for one in addresses if one in self.by_address}
        return names.pop() if len(names) == 1 else ""

    def and_own(self, instance_id: str, node: str) -> NodeNames:
        """The same, and that this node is that instance; nothing more where one of both is empty."""
        if not instance_id or not node:
            return self
        return self._replace(by_instance={**self.by_instance, instance_id: node})


def node_names(cib: Optional[Cib], corosync: str) -> NodeNames:
    """The names from the maps of fence devices, and from corosync's addresses.

    `cib`: `None` where the cluster does not answer. `corosync`: the text of corosync.conf; empty where there is none.
    """
    by_instance: Dict[str, str] = {}
    targets = cib.fencing.targets() if cib is not None else {}
    for node, target in targets.items():
        if target.startswith(_INSTANCE):
            by_instance[target] = node
    by_address = {address: node for node, some in node_addresses(corosync).items() for address in some}
    return NodeNames(by_instance, by_address)
