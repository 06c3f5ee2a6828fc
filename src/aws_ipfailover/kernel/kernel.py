"""The kernel's state by subject, all read and changed within one deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.kernel.addresses import Addresses
from aws_ipfailover.kernel.command import Changed, Ip
from aws_ipfailover.kernel.links import Links
from aws_ipfailover.kernel.rules import Rules

if TYPE_CHECKING:
    from aws_ipfailover.kernel.rehearsal import Rehearsal
    from aws_ipfailover.kernel.sysctls import Sysctls


class Kernel:
    """The network namespace that this process is in; `changed` is told of each change that has been made."""

    def __init__(self, deadline: Deadline, changed: Optional[Changed] = None) -> None:
        self._deadline = deadline
        self._changed = changed
        ip = Ip(deadline, changed)
        self.addresses = Addresses(ip)
        self.links = Links(ip)
        self.rules = Rules(ip)

    @property
    def sysctls(self) -> Sysctls:
        """The parameters of interfaces."""
        from aws_ipfailover.kernel.sysctls import Sysctls  # a probe has no use for it

        return Sysctls(self._changed)

    def rehearsal(self) -> Rehearsal:
        """The same namespace, read and never changed: it keeps what it is told to change."""
        from aws_ipfailover.kernel.rehearsal import Rehearsal  # an action of the agent has no use for it

        return Rehearsal(self._deadline)
