"""What the holdings of one action need: the kernel, this node, EC2's clients and the deadline.

Creating a `Context` loads the SDKs and fetches credentials, so only an action that needs the cloud creates one.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Collection, Optional, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import Error, MissingError
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.memory import Memory, key_of
from aws_ipfailover.node import Node, named_link
from aws_ipfailover.parameters import Values

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.imds import Imds

log = logging.getLogger(__name__)

# Seconds by which the SDK gives up before its caller does, so that its error reaches the caller.
_TO_TELL = 0.2
# Seconds that stop gives IMDS to find an interface that carries no mark; a working IMDS answers in milliseconds.
_AT_ONCE = 2.0
# Connections to EC2 that are kept open at most; one for each route that is written.
_MOST_CONNECTIONS = 256
_LOOKED_UP = 50  # tables that are assumed where they have to be looked up


class Context:
    """This node, EC2, and the deadline for both.

    `ec2` has the node's own credentials; `role_ec2` those of `routing_table_role`, or the node's own without one.
    """

    def __init__(
        self, kernel: Kernel, node: Node, ec2: Ec2, role_ec2: Ec2, deadline: Deadline, progress: Progress
    ) -> None:
        self.kernel = kernel
        self.node = node
        self.ec2 = ec2
        self.role_ec2 = role_ec2
        self.deadline = deadline
        self.progress = progress

    def node_subnet_cidrs(self, versions: Collection[int]) -> Sequence[Cidr]:
        """The CIDRs of the subnet that the node's interface is in, of both IP versions.

        From IMDS, or from EC2 if IMDS tells none of one of `versions`: IMDS can answer 404 for a single key.
        """
        found = self.node.subnet_cidrs()
        if set(versions) <= {cidr.version for cidr in found}:
            return found
        return Task(self._subnet_cidrs_by_ec2).result(self.deadline, self.progress)

    def _subnet_cidrs_by_ec2(self) -> Sequence[Cidr]:
        own = self.ec2.network_interface(self.node.network_interface_id())
        return self.ec2.subnet_cidrs(own.subnet_id)

    def memory(self, key: str) -> WriteMemory:
        """The record of this node's last write under `key`."""
        return WriteMemory(os.environ, key)

    def memory_of(self, addresses: Sequence[Address]) -> WriteMemory:
        """The record of this node's last write for these addresses."""
        return self.memory(key_of(addresses))

    @staticmethod
    def mac_memory(network_interface_id: str) -> Memory:
        """The record of an ENI's MAC address, by which a stop finds its interface before it carries a mark."""
        return Memory(os.environ, f"mac-{network_interface_id}")

    @staticmethod
    def tables_memory(values: Values) -> Memory:
        """The record of the tables that this node saw lead to the addresses, for the present `routing_table` alone."""
        return Memory(os.environ, f"tables-{key_of((*values.ip, values.routing_table))}")


class MetadataLookup:
    """Finds the MAC address of an ENI: as the last start has recorded it, or in IMDS, within a few seconds."""

    def __init__(self, deadline: Deadline, profile: Optional[str] = None) -> None:
        self._deadline = deadline.within(_AT_ONCE)
        self._profile = profile

    def mac_of(self, network_interface_id: str, macs: Sequence[str]) -> Optional[str]:
        """The one of `macs` that is the ENI's, never the primary ENI's; `None` if IMDS does not tell in time."""
        recorded = Context.mac_memory(network_interface_id).read().get("mac")
        if recorded in macs:
            return str(recorded)
        try:
            metadata = imds(self._deadline, self._profile)
            others = [mac for mac in macs if mac != metadata.primary_mac()]
            return next((mac for mac in others if metadata.network_interface_id(mac) == network_interface_id), None)
        except Error as error:
            log.info("%s", error)
            return None


def imds(deadline: Deadline, profile: Optional[str] = None) -> Imds:
    """The instance metadata service, where variables and profile say it is.

    Raises:
        MissingError: requests is not installed.
    """
    try:
        from aws_ipfailover.aws.imds import Imds
        from aws_ipfailover.aws.imds_endpoint import endpoint
    except ImportError as error:
        raise _missing(error) from None
    where = endpoint(os.environ, profile)
    return Imds(where.url, deadline, where.otherwise)


def connect(values: Values, kernel: Kernel, deadline: Deadline, resource_id: str = "") -> Context:
    """Find the interface that the parameters name, and connect to IMDS and EC2.

    `resource_id`: for which resource, where it is not the one that Pacemaker has started this process for.

    Raises:
        NodeError: no such interface or profile.  MissingError: boto3 or requests is not installed.
        DeniedError, UnknownError, Error: no credentials, the role cannot be assumed, or no answer.
    """
    chosen = named_link(kernel.links, values.interface) if values.interface else None
    # It gives up before what waits for it does, so that its reason is told.
    metadata = imds(deadline.earlier(2 * _TO_TELL), values.profile)
    progress = Progress("connecting to EC2")
    work = Task(lambda: _clients(values, metadata, deadline.earlier(_TO_TELL), progress, resource_id))
    own, by_role = work.result(deadline, progress)
    node = Node(kernel.links, metadata, own, chosen, deadline)
    return Context(kernel, node, own, by_role or own, deadline, progress)


def _clients(
    values: Values, metadata: Imds, deadline: Deadline, progress: Progress, resource_id: str
) -> Tuple[Ec2, Optional[Ec2]]:
    try:
        from aws_ipfailover.aws.certificate_authorities import preload

        preload(os.environ)
        from aws_ipfailover.aws.client import Ec2
        from aws_ipfailover.aws.session import Account, configured_region, ec2_calls
    except ImportError as error:
        raise _missing(error) from None
    region = values.region or configured_region(values.profile)
    if not region:
        progress.text = "the region, from instance metadata (IMDS)"
        region = _region_of_instance(metadata)
    account = Account(region, values.profile, values.endpoint_url, insecure=values.insecure_endpoint)
    connections = connections_for(values)
    own = Ec2(ec2_calls(account, deadline, metadata, progress, connections), region)
    if values.mode != "overlay-ip" or values.routing_table_role is None:
        return own, None
    account = account._replace(role=values.routing_table_role, external_id=values.external_id, resource=resource_id)
    return own, Ec2(ec2_calls(account, deadline, metadata, progress, connections), region)


def connections_for(values: Values) -> int:
    """How many calls of EC2 are made at the same time, at most: those that write the routes."""
    tables = len(values.routing_table.ids) + (_LOOKED_UP if values.routing_table.need_lookup else 0)
    return max(10, min(_MOST_CONNECTIONS, tables * len(values.destination) + 2))


def _region_of_instance(metadata: Imds) -> str:
    try:
        return metadata.region()
    except Error as error:
        raise type(error)(f"AWS region not known, set parameter region: {error}") from None


def _missing(error: ImportError) -> MissingError:
    return MissingError(f"a Python package is missing for this interpreter: {error}; install boto3 and requests")
