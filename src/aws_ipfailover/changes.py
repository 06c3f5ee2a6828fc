"""What this process has changed so far, in EC2 and in the kernel, for the record of the action at its end.

A process of the agent performs one action, so that this is kept once for the whole process. Every probe loads this
module: it imports nothing.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

# Entries of each kind that are kept: a process that goes on for days must not collect them without end.
_MOST = 5000
NO_ANSWER = "no answer"

WRITES = frozenset(
    (
        *("AssignIpv6Addresses", "AssignPrivateIpAddresses", "AssociateAddress", "AttachNetworkInterface"),
        *("CreateRoute", "DetachNetworkInterface", "ModifyNetworkInterfaceAttribute", "ReplaceRoute"),
        "UnassignIpv6Addresses",
    )
)
"""The operations of EC2 that the agent writes by."""

# Of a call that writes: what is written, and what beside it tells where it leads.
_OF = ("RouteTableId", "AttachmentId", "AllocationId", "PrivateIpAddresses", "Ipv6Addresses", "NetworkInterfaceId")
_TO = ("NetworkInterfaceId", "InstanceId")
_DESTINATION = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "PrivateIpAddress")


class Write:
    """One call of EC2 that writes; `result`: `ok`, EC2's error code, or NO_ANSWER as long as there is none."""

    __slots__ = ("destination", "of", "operation", "result", "to")

    def __init__(self, operation: str, of: Tuple[str, ...], to: str, destination: str) -> None:
        self.operation = operation
        self.of = of
        self.to = to
        self.destination = destination
        self.result = NO_ANSWER

    def done(self) -> None:
        """EC2 has confirmed it."""
        self.result = "ok"

    def failed(self, text: str) -> None:
        """EC2 has refused it, or not answered: in `text` the error code, if there is one, follows the operation."""
        import re  # noqa: PLC0415 - here, because a probe has no call that fails

        found = re.search(rf"\b{self.operation}: ([A-Za-z][A-Za-z0-9.]*)(?=[:)]|$)", text)
        if found:
            self.result = found.group(1)


class Changes:
    """Writes of EC2, addresses added and removed, and where the addresses were led before, as far as that was seen."""

    def __init__(self) -> None:
        self.writes: List[Write] = []
        self.added: List[str] = []
        self.removed: List[str] = []
        self.sources: Dict[str, None] = {}

    def begin(self, operation: str, arguments: Mapping[str, Any]) -> Optional[Write]:
        """Note a call before it is made; `None` if it writes nothing: a read, or a dry run."""
        if operation not in WRITES or arguments.get("DryRun") or len(self.writes) >= _MOST:
            return None
        of = next((arguments[name] for name in _OF if arguments.get(name)), ())
        to = next((arguments[name] for name in _TO if arguments.get(name) and arguments[name] != of), "")
        destination = next((arguments[name] for name in _DESTINATION if arguments.get(name)), "")
        write = Write(operation, (of,) if isinstance(of, str) else tuple(map(str, of)), str(to), str(destination))
        self.writes.append(write)
        return write

    def address_added(self, address: object, device: str) -> None:
        """Note an address that was added to a network interface of this node."""
        if len(self.added) < _MOST:
            self.added.append(f"{address} {device}")

    def address_removed(self, address: object, device: str) -> None:
        """Note an address that was removed from a network interface of this node."""
        if len(self.removed) < _MOST:
            self.removed.append(f"{address} {device}")

    def came_from(self, what: str) -> None:
        """Note an ENI or instance that had, or was led, what is moved."""
        if what and len(self.sources) < _MOST:
            self.sources[what] = None

    def __bool__(self) -> bool:
        """Whether anything was changed, or its change asked for."""
        return bool(self.writes or self.added or self.removed)


changes = Changes()
"""Those of this process."""
