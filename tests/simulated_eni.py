"""A small EC2 with one ENI, on a clock of its own, and the states in which a move can find that ENI."""

from __future__ import annotations

import math
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Set, Tuple, cast

from aws_ipfailover.address import Cidr
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.models import Attachment, Instance, NetworkInterface
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import (
    ChangingError,
    DetachedError,
    Error,
    IndexTakenError,
    InUseError,
    LimitError,
    NetworkCardError,
    NodeError,
)
from aws_ipfailover.holdings.eni_attachment import EniAttachment

ENI = "eni-0123456789abcdef0"
ME, OTHER = "i-0000000000000000a", "i-0000000000000000b"
NEVER = math.inf


class Killed(BaseException):
    """The process dies here: no clean-up runs."""


class Cloud:
    """EC2 with one ENI; time passes only where the agent pauses.

    `steps_left` counts down to the moment at which the process dies: before and after each call, and in each pause.
    """

    def __init__(self) -> None:
        self.steps_left: Optional[int] = None
        self.now = 0.0
        self.attachment: Optional[Attachment] = None
        self.ends_at = NEVER  # when attaching or detaching ends
        self.attach_seconds = self.detach_seconds = self.force_seconds = 1.0
        self.states = {ME: "running", OTHER: "running"}
        self.zones = {ENI: "zone-a", ME: "zone-a"}
        self.indexes: Dict[str, Set[int]] = {ME: {0}, OTHER: {0}}
        self.hidden: Set[int] = set()  # indexes of ME that are taken and that no read shows
        self.leaving: Dict[int, float] = {}  # indexes of ME, and when the detachment of what is there ends
        self.leaving_is_shown = True  # else reads show it as attached
        self.limit = 100  # interfaces of an instance
        self.index_first = False  # EC2 looks at the device index before it looks at the ENI
        self.cards = 1  # network cards of an instance
        self.on_other_cards: Set[Tuple[int, int]] = set()  # further interfaces of ME: network card and device index
        self.stale: List[Optional[Attachment]] = []  # what the next reads answer instead
        self.errors: Dict[str, Error] = {}
        self.changing_until: Dict[str, float] = {}  # until when an operation is refused: something is changing
        self.asked: List[Tuple[float, str]] = []  # the writes
        self.fenced_at = NEVER

    def deadline(self, seconds: float) -> Deadline:
        """A deadline on this clock."""
        return Deadline(seconds, lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.step()
        self.now += seconds

    def step(self) -> None:
        """One step nearer to the death of the process."""
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise Killed
            self.steps_left -= 1

    def holds(
        self, instance_id: str, status: str = "attached", index: int = 1, ends_in: float = NEVER, card: int = 0
    ) -> None:
        """Attach it to an instance, in this status, which ends by itself in so many seconds."""
        self.attachment = Attachment(f"eni-attach-{len(self.asked)}", instance_id, index, status, card)
        self.ends_at = self.now + ends_in

    def _advance(self) -> None:
        if self.now >= self.fenced_at:
            self.states[OTHER] = "stopped"
        if self.attachment is not None and self.now >= self.ends_at:
            if self.attachment.status == "attaching":
                self.attachment = self.attachment._replace(status="attached")
            elif self.attachment.status == "detaching":
                self.attachment = None
            self.ends_at = NEVER

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        """As `Ec2.network_interface`."""
        self.step()
        self._advance()
        self._fail("DescribeNetworkInterfaces")
        shown = self.stale.pop(0) if self.stale else self.attachment
        addresses = (ip_address("10.0.1.60"),)
        zone = self.zones[ENI]
        return NetworkInterface(ENI, "vpc-1", True, "subnet-1", zone, "06:00:00:00:00:01", addresses, shown)

    def instance(self, instance_id: str) -> Instance:
        """As `Ec2.instance`."""
        self.step()
        self._advance()
        self._fail("DescribeInstances")
        if instance_id not in self.states:
            raise NodeError(f"DescribeInstances: EC2 does not know {instance_id} in this region")
        zone = self.zones.get(instance_id, "zone-a")
        taken = [(0, index) for index in self.indexes[instance_id]]
        taken += self.on_other_cards if instance_id == ME else []
        leaving = [(0, index) for index in self._leaving()] if instance_id == ME else []
        here = self.attachment if self.attachment and self.attachment.instance_id == instance_id else None
        return Instance(
            instance_id,
            self.states[instance_id],
            zone,
            (*taken, *leaving, *([(here.network_card_index, here.device_index or 0)] if here else [])),
            changing=tuple(leaving) if self.leaving_is_shown else (),
            network_interface_ids=(ENI,) if here else (),
        )

    def _leaving(self) -> List[int]:
        return [index for index, until in self.leaving.items() if self.now < until]

    def subnet_cidrs(self, subnet_id: str) -> List[Cidr]:
        """As `Ec2.subnet_cidrs`."""
        return [ip_network("10.0.1.0/24")]

    def attach(
        self, network_interface_id: str, instance_id: str, device_index: int, network_card_index: Optional[int]
    ) -> None:
        """As `Ec2.attach`."""
        self.step()
        self._advance()
        card = network_card_index or 0
        told = "" if network_card_index is None else f" of card {network_card_index}"
        self.asked.append((self.now, f"attach {device_index}{told}"))
        self._fail("AttachNetworkInterface")
        if card >= self.cards:
            raise NetworkCardError("AttachNetworkInterface: InvalidParameterValue: no such network card")
        held = self.attachment
        if held is not None and not (self.index_first and held[1:3] == (instance_id, device_index)):
            raise InUseError("AttachNetworkInterface: InvalidNetworkInterface.InUse")
        taken = {(0, index) for index in self.indexes[instance_id] | self.hidden} | self.on_other_cards
        taken |= {(0, index) for index in self._leaving()}
        if held is not None or (card, device_index) in taken:
            raise IndexTakenError("AttachNetworkInterface: InvalidParameterValue")
        if len(taken) >= self.limit:
            raise LimitError("AttachNetworkInterface: AttachmentLimitExceeded")
        self.holds(instance_id, "attaching", device_index, self.attach_seconds, card)
        self.step()

    def detach(self, attachment_id: str, *, force: bool) -> None:
        """As `Ec2.detach`."""
        self.step()
        self._advance()
        self.asked.append((self.now, "force" if force else "detach"))
        self._fail("DetachNetworkInterface")
        if self.attachment is None or self.attachment.attachment_id != attachment_id:
            raise DetachedError("DetachNetworkInterface: InvalidAttachmentID.NotFound")
        self.attachment = self.attachment._replace(status="detaching")
        self.ends_at = min(self.ends_at, self.now + (self.force_seconds if force else self.detach_seconds))
        self.step()

    def _fail(self, operation: str) -> None:
        if operation in self.errors:
            raise self.errors[operation]
        if self.now < self.changing_until.get(operation, 0.0):
            raise ChangingError(f"{operation}: IncorrectState")

    @property
    def writes(self) -> List[str]:
        """What was asked of EC2 so far: `attach INDEX` or `attach INDEX of card INDEX`, `detach`, `force`."""
        return [what for _, what in self.asked]

    def is_here(self, index: int = 1, card: int = 0) -> bool:
        """Whether the ENI is attached to ME, at this index of this network card."""
        return self.attachment is not None and self.attachment[1:5] == (ME, index, "attached", card)

    def put(self, state: str) -> None:
        """Bring about one of STATES."""
        found = STATES[state]
        if found.holder is not None:
            self.holds(found.holder, found.status, ends_in=found.ends_in)
            self.states[found.holder] = found.holder_state
            if not found.holder_state:
                del self.states[found.holder]

    def holding(
        self, directory: Path, seconds: float = 300.0, index: Optional[int] = None, card: int = 0
    ) -> EniAttachment:
        """The ENI's attachment to ME, as a new process makes it.

        `directory` holds what the node remembers; `seconds` until the deadline; `index`, `card`: the configured ones.
        """
        memory = WriteMemory({"HA_RSCTMP": str(directory)}, ENI)
        return EniAttachment(ENI, index, card, ME, cast("Ec2", self), memory, self.deadline(seconds))


class State(NamedTuple):
    """Where a move finds the ENI: who has it, how, seconds until that ends by itself, and the holder's own state.

    `holder_state` is empty for an instance that EC2 has forgotten. `writes` take the ENI from there to ME.
    """

    holder: Optional[str]
    status: str
    ends_in: float
    holder_state: str
    writes: List[str]


STATES: Dict[str, State] = {
    "available": State(None, "", NEVER, "running", ["attach 1"]),
    "here": State(ME, "attached", NEVER, "running", []),
    "being attached here": State(ME, "attaching", 5, "running", []),
    "being detached here": State(ME, "detaching", 5, "running", ["attach 1"]),
    "stuck in its detachment here": State(ME, "detaching", NEVER, "running", ["force", "attach 1"]),
    "elsewhere": State(OTHER, "attached", NEVER, "running", ["detach", "attach 1"]),
    "with a stopped instance": State(OTHER, "attached", NEVER, "stopped", ["force", "attach 1"]),
    "with a stopping instance": State(OTHER, "attached", NEVER, "stopping", ["detach", "attach 1"]),
    "with an instance that shuts down": State(OTHER, "attached", NEVER, "shutting-down", ["detach", "attach 1"]),
    "being detached from a stopping instance": State(OTHER, "detaching", 5, "stopping", ["attach 1"]),
    "with a terminated instance": State(OTHER, "attached", NEVER, "terminated", ["force", "attach 1"]),
    "with a rebooting instance": State(OTHER, "attached", NEVER, "pending", ["detach", "attach 1"]),
    "with an instance that EC2 forgot": State(OTHER, "attached", NEVER, "", ["detach", "attach 1"]),
    "being attached for ever to a stopped instance": State(OTHER, "attaching", NEVER, "stopped", ["force", "attach 1"]),
    "being attached elsewhere": State(OTHER, "attaching", 5, "running", ["detach", "attach 1"]),
    "being detached elsewhere": State(OTHER, "detaching", 5, "running", ["attach 1"]),
    "being detached from a stopped instance": State(OTHER, "detaching", NEVER, "stopped", ["force", "attach 1"]),
    "stuck in its detachment elsewhere": State(OTHER, "detaching", NEVER, "running", ["force", "attach 1"]),
}
