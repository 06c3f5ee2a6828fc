"""From parameters to a `Failover`: the only place that knows the modes, and the one that imports the SDKs, when needed.

What stop and a probe use is built without anything that could reach IMDS or EC2.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from aws_ipfailover.address import HostAddress
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import MissingError
from aws_ipfailover.failover import Failover
from aws_ipfailover.last_write import LastWrite
from aws_ipfailover.linux import Linux
from aws_ipfailover.node import ThisNode
from aws_ipfailover.parameters import Address, Values
from aws_ipfailover.routes import OverlayRoutes
from aws_ipfailover.validation import check_overlay

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Ec2
    from aws_ipfailover.imds import Credentials, Imds

# How much earlier than whoever waits for it the SDK gives up, so that its reason is heard.
_TO_TELL = 0.2


class Cloud:
    """Makes the clients of IMDS and EC2, once each, for one resource on this node."""

    def __init__(self, values: Values, deadline: Deadline) -> None:
        self._values = values
        self._deadline = deadline
        self._imds: Optional[Imds] = None
        self.progress = Progress("connecting to EC2")

    def imds(self) -> Imds:
        """The metadata service.

        Raises:
            MissingError: requests is not installed.
        """
        if self._imds is None:
            try:
                from aws_ipfailover.imds import Imds, endpoint
            except ImportError as error:
                raise _missing(error) from None
            self._imds = Imds(endpoint(os.environ), self._deadline)
        return self._imds

    def region(self) -> str:
        """The parameter, the SDK's configuration, or this instance's own region."""
        try:
            from aws_ipfailover.ec2 import configured_region
        except ImportError as error:
            raise _missing(error) from None
        return self._values.region or configured_region(self._values.profile) or self.imds().region()

    def ec2(self, *, role: Optional[str] = None, connections: int = 10) -> Ec2:
        """A client of EC2, with the credentials of `role` where one is given.

        Raises:
            MissingError: boto3 or requests is not installed.  Error: no credentials, or no role.
        """
        try:
            from aws_ipfailover.ec2 import Account, Ec2
        except ImportError as error:
            raise _missing(error) from None
        values = self._values
        account = Account(self.region(), values.profile, values.endpoint_url, role)
        return Ec2(account, self._deadline.earlier(_TO_TELL), self._credentials, self.progress, connections)

    def _credentials(self) -> Optional[Credentials]:
        self.progress.text = "credentials of the instance's role from IMDS"
        return self.imds().credentials()


def _missing(error: ImportError) -> MissingError:
    return MissingError(f"a Python package is missing for this interpreter: {error}; install boto3 and requests")


def local_part(address: Address, deadline: Deadline) -> Failover:
    """What a probe and stop need to know: the address, wherever it is on this node."""
    return Failover((HostAddress(Linux(deadline), address, _nowhere, None),))


def _nowhere() -> str:
    raise AssertionError("neither looking for an address nor removing it asks for an interface")


def failover(values: Values, deadline: Deadline, cloud_deadline: Deadline) -> Failover:
    """Everything that the resource holds, in start order.

    The address comes first: routes that arrive before it lead to a node that answers with a reset.
    """
    cloud = Cloud(values, cloud_deadline)
    node = ThisNode(Linux(deadline), cloud.imds, values.interface)
    return Failover((_host_address(values, deadline, node), _routes(values, cloud_deadline, node, cloud)))


def validate_here(values: Values, deadline: Deadline, cloud_deadline: Deadline) -> None:
    """Check the parameters against this node and the VPC. Changes nothing.

    Raises:
        NodeError, DeniedError, MissingError, UnknownError: the first thing that is wrong or cannot be found out.
    """
    cloud = Cloud(values, cloud_deadline)
    node = ThisNode(Linux(deadline), cloud.imds, values.interface)
    _host_address(values, deadline, node).prepare()
    # The routes may be read by a role that can see nothing else.
    own = Task(cloud.ec2).result(cloud_deadline, cloud.progress)
    tables = own
    if values.routing_table_role:
        connect = Task(lambda: cloud.ec2(role=values.routing_table_role))
        tables = connect.result(cloud_deadline, cloud.progress)
    check = Task(lambda: check_overlay(values, node, cloud.imds(), own, tables))
    check.result(cloud_deadline, cloud.progress)


def _host_address(values: Values, deadline: Deadline, node: ThisNode) -> HostAddress:
    return HostAddress(Linux(deadline), values.ip, node.device, values.iflabel)


def _routes(values: Values, deadline: Deadline, node: ThisNode, cloud: Cloud) -> OverlayRoutes:
    return OverlayRoutes(
        values.ip,
        values.routing_table,
        node.network_interface_id,
        lambda: cloud.ec2(role=values.routing_table_role, connections=len(values.routing_table)),
        LastWrite(os.environ, str(values.ip)),
        deadline,
        cloud.progress,
    )
