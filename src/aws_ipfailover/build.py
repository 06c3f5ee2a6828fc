"""From parameters to a `Failover`: the only place that knows the modes, and the one that imports the SDKs, when needed.

What stop and a probe use is built without anything that could reach IMDS or EC2, and without importing it: a probe
takes 30 ms, most of which is imports.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Callable, List, NoReturn, Optional, Sequence, Tuple

from aws_ipfailover.address import HostAddress
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import Error, MissingError, ParameterError
from aws_ipfailover.failover import Failover, Holding
from aws_ipfailover.interface import ServiceInterface
from aws_ipfailover.linux import Linux
from aws_ipfailover.node import ThisNode
from aws_ipfailover.parameters import Address, Held, Values

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Ec2
    from aws_ipfailover.imds import Credentials, Imds

log = logging.getLogger(__name__)

# How much earlier than whoever waits for it the SDK gives up, so that its reason is heard.
_TO_TELL = 0.2
# How long stop asks IMDS for an interface that carries no mark: a service that is well answers in milliseconds.
_AT_ONCE = 2.0


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

    def ec2(self, *, role: Optional[str] = None, connections: int = 10) -> Callable[[], Ec2]:
        """What gives the client of EC2, made at the first call, with the credentials of `role` where one is given.

        Calling it raises MissingError (boto3 or requests is not installed) or Error (no credentials, no role).
        """
        made: List[Ec2] = []

        def connect() -> Ec2:
            if not made:
                made.append(Task(lambda: self._connect(role, connections)).result(self._deadline, self.progress))
            return made[0]

        return connect

    def _connect(self, role: Optional[str], connections: int) -> Ec2:
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


class Resource:
    """One resource on this node: its parts, made where they are needed. The only place that knows the modes."""

    def __init__(self, values: Values, deadline: Deadline, cloud_deadline: Deadline) -> None:
        self.values = values
        self._linux = Linux(deadline)
        self._deadline = cloud_deadline
        self._cloud = Cloud(values, cloud_deadline)
        self._node = ThisNode(self._linux, self._cloud.imds, values.interface)
        self._ec2 = self._cloud.ec2(role=values.routing_table_role, connections=max(10, len(values.routing_table)))

    def failover(self) -> Failover:
        """Everything that the resource holds, in start order.

        An address comes before what leads to it: packets that arrive earlier are answered with a reset. An ENI has to
        be attached before it can have anything.
        """
        modes = {"overlay-ip": self._overlay_ip, "private-ip": self._private_ip, "eni": self._eni}
        return Failover(modes[self.values.mode]())

    def validate(self) -> None:
        """Check the parameters against this node and the VPC. Changes nothing.

        Raises:
            NodeError, DeniedError, MissingError, UnknownError: the first thing that is wrong or cannot be found out.
        """
        from aws_ipfailover.attachment import EniAttachment
        from aws_ipfailover.coexistence import warnings
        from aws_ipfailover.validation import check_overlay

        holdings = self.failover().holdings
        for holding in holdings:
            holding.prepare()
        mac = next((one.details().mac for one in holdings if isinstance(one, EniAttachment)), None)
        for warning in warnings(self.values.mode, mac):
            log.warning("%s", warning)
        if self.values.mode == "overlay-ip":
            # The routes may be read by a role that can see nothing else.
            own, tables = self._cloud.ec2()(), self._ec2()
            address, imds = _address(self.values.ip), self._cloud.imds()
            check = Task(lambda: check_overlay(address, self.values.routing_table, self._node, imds, own, tables))
            check.result(self._deadline, self._cloud.progress)

    def _overlay_ip(self) -> Tuple[Holding, ...]:
        from aws_ipfailover.last_write import LastWrite
        from aws_ipfailover.routes import OverlayRoutes

        address, node = _address(self.values.ip), self._node
        routes = OverlayRoutes(
            address,
            self.values.routing_table,
            node.network_interface_id,
            self._ec2,
            LastWrite(os.environ, str(address)),
            self._deadline,
            self._cloud.progress,
        )
        return HostAddress(self._linux, address, node.device, self.values.iflabel), routes

    def _private_ip(self) -> Tuple[Holding, ...]:
        from aws_ipfailover.last_write import LastWrite
        from aws_ipfailover.private_ip import PrivateIp, Subnet

        address, node, progress = _address(self.values.ip), self._node, self._cloud.progress
        subnet = Subnet(node, self._ec2, self._deadline, progress)
        local = HostAddress(
            self._linux, address, node.device, self.values.iflabel, lambda: subnet.prefix_length(address)
        )
        memory = LastWrite(os.environ, str(address))
        return local, PrivateIp(address, node, subnet, self._ec2, memory, self._deadline, progress)

    def _eni(self) -> Tuple[Holding, ...]:
        from aws_ipfailover.attachment import EniAttachment
        from aws_ipfailover.last_write import LastWrite

        eni = _interface_id(self.values.network_interface_id)
        attachment = EniAttachment(
            eni,
            self.values.device_index,
            lambda: self._cloud.imds().instance_id(),
            self._ec2,
            LastWrite(os.environ, eni),
            self._deadline,
            self._cloud.progress,
        )
        interface = ServiceInterface(
            self._linux,
            eni,
            self.values.ip,
            self._deadline,
            attachment.details,
            lambda: attachment.subnet,
            lambda macs: self._mac_by_metadata(eni, macs),
        )
        return attachment, interface

    def _mac_by_metadata(self, network_interface_id: str, macs: Sequence[str]) -> Optional[str]:
        """Which of these MAC addresses is the ENI's by IMDS, if it says so at once.

        Never the primary one: whatever the parameter says, that is the node's own and nothing to be quiesced.
        """

        def ask() -> Optional[str]:
            imds = self._cloud.imds()
            others = [mac for mac in macs if mac != imds.primary_mac()]
            return next((mac for mac in others if imds.network_interface_id(mac) == network_interface_id), None)

        try:
            return Task(ask).result(self._deadline.within(_AT_ONCE), self._cloud.progress)
        except Error as error:
            log.info("%s", error)
            return None


def local_parts(what: Held, deadline: Deadline) -> List[Failover]:
    """What a probe looks at, and stop where it needs no cloud: each part by itself, for any of them can be here."""
    linux = Linux(deadline)
    if what.network_interface_id is not None:
        extra = what.addresses[0] if what.addresses else None
        interface = ServiceInterface(linux, what.network_interface_id, extra, deadline, _not_asked, _not_asked)
        return [Failover((interface,))]
    return [Failover((HostAddress(linux, address, _not_asked, None),)) for address in what.addresses]


def _not_asked() -> NoReturn:
    raise AssertionError("neither looking for an address nor removing it asks for this")


def _address(given: Optional[Address]) -> Address:
    if given is None:
        raise ParameterError("parameter ip is missing, expected an IPv4 or IPv6 address")
    return given


def _interface_id(given: Optional[str]) -> str:
    if given is None:
        raise ParameterError("parameter network_interface_id is missing, expected the id of a network interface")
    return given
