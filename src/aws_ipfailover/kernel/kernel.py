"""The kernel's state by subject, all read and changed within one deadline."""

from __future__ import annotations

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.kernel.addresses import Addresses
from aws_ipfailover.kernel.command import Ip
from aws_ipfailover.kernel.links import Links
from aws_ipfailover.kernel.rules import Rules


class Kernel:
    """The network namespace that this process is in."""

    def __init__(self, deadline: Deadline) -> None:
        ip = Ip(deadline)
        self.addresses = Addresses(ip)
        self.links = Links(ip)
        self.rules = Rules(ip)
