"""Tells the neighbours in the subnet where the addresses are now, as IPaddr2 does.

A neighbour that has sent to the former holder of an address keeps that holder's MAC address until its entry expires.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, List, Sequence

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error
from aws_ipfailover.failover import HERE, Look
from aws_ipfailover.kernel.announcements import announce
from aws_ipfailover.kernel.links import Link

if TYPE_CHECKING:
    from aws_ipfailover.steps import Step

log = logging.getLogger(__name__)


def announce_all(addresses: Sequence[Address], link: Link) -> None:
    """Announce addresses on an interface; a failure is logged, as the address works without it."""
    for address in addresses:
        try:
            announce(address, link.name, link.mac)
        except Error as error:
            log.warning("%s is not announced: %s", address, error)


class Announcement:
    """`addresses` announced on `link`; the last holding, because EC2 has to deliver to this node first."""

    local = True

    def __init__(self, addresses: Sequence[Address], link: Link) -> None:
        self._addresses = addresses
        self._link = link

    def take(self) -> None:
        """Announce them."""
        announce_all(self._addresses, self._link)

    def release(self) -> None:
        """Nothing: the next holder announces them."""

    def look(self) -> Look:
        """HERE: an announcement leaves no state that could be checked."""
        return HERE

    def plan(self) -> List[Step]:
        """What `take` would do."""
        from aws_ipfailover.steps import of_announcement

        return [of_announcement(self._addresses, self._link.name)]
